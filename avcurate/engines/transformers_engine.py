"""Answers through transformers, on CPU or one GPU: the embedded default.

One prefill serves all responses of a request: the prompt's keys and values are computed once and
repeated. What differs between model families is in their files; torch is imported when the engine is set up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from avcurate.engines.base import DRAWS, Engine, Failure, Perception, Reply, Request, Response, Source, text_logprobs
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.guidance import Guidance
from avcurate.engines.head import logits_from
from avcurate.engines.loading import loading
from avcurate.engines.messages import messages_of
from avcurate.engines.prefill import Prefill, Sampled
from avcurate.errors import UserError
from avcurate.families.base import Family
from avcurate.families.tokens import MediaTokens

if TYPE_CHECKING:
    from torch import Tensor

    from avcurate.attention.cut import Cut, Rule
    from avcurate.attention.plan import Plan
    from avcurate.engines.decoding import Guide
    from avcurate.maam.decoding import MaskRows
    from avcurate.maam.mask import Scope

# scopes of avcurate.maam.mask, named here so that torch is not imported for them
SCOPES = ("inner", "inner+open_tag", "span")
FLOATS = ("input_features", "pixel_values_videos")
TOP = 20


class TransformersEngine(Engine):
    """An omni model, or the part of it that reads and answers, in this process.

    Args:
        checkpoint: the model.
        max_sequences: responses generated at the same time.
        dtype: ``auto`` is float32 on CPU (bfloat16 is many times slower there) and bfloat16 on GPU.
        maam: decode separate-then-fuse responses under the modality-asymmetric attention mask of this scope.
        knockout: cuts of attention to answer under, such as ``response->audio:0-14``.
        decode: a guided decoder; see :mod:`avcurate.engines.guidance`.
        guidance: values that replace the decoder's own.
        placed: whether setting up moves the model to the device; a training that shards it does so itself.

    Raises:
        UserError: an option is unknown, or a guided decoder is to run under a mask or a cut.
    """

    name = "transformers"

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        max_sequences: int = 96,
        dtype: str = "auto",
        device: str = "auto",
        maam: Scope | None = None,
        knockout: str | Sequence[str] = (),
        decode: str | None = None,
        guidance: Mapping[str, float] | None = None,
        placed: bool = True,
    ) -> None:
        self.checkpoint = checkpoint
        self._family = checkpoint.family_in(self.name)
        self.max_sequences = max_sequences
        self.dtype = dtype
        self.device = device
        self.placed = placed
        self.wrapper: Any = None
        """What a training wraps the model in to shard its weights; called in its place."""
        if maam is not None and maam not in SCOPES:
            raise UserError(f"unknown MAAM scope {maam!r}.", f"Scopes are: {', '.join(SCOPES)}.")
        self.maam = maam
        self.knockout = (knockout,) if isinstance(knockout, str) else tuple(knockout)
        self.guidance = None if decode is None else Guidance.of(decode, guidance or {})
        if self.guidance is not None and (maam is not None or self.knockout):
            raise UserError(
                f"--decode {decode} cannot run with {'--maam' if maam is not None else '--knockout'}: its second pass "
                "would read without the mask.",
                "Leave one of them out.",
            )

    def identity(self) -> dict[str, Any]:
        """Model, number format and mask; device and batch size do not change what is drawn."""
        mask = {"maam": self.maam} if self.maam else {}
        cuts = {"knockout": list(self.knockout)} if self.knockout else {}
        own = {"engine": self.name, **self.checkpoint.identity(), "dtype": self.dtype, "draws": DRAWS}
        guided = {"decode": self.guidance.identity()} if self.guidance is not None else {}
        return own | mask | cuts | guided

    def setup(self) -> None:
        """Load processor and weights (safetensors only, no remote code)."""
        try:
            import torch
            import transformers

            import avcurate.engines.torchvision_cpu  # noqa: F401
        except ImportError as e:
            raise UserError(
                f"the transformers engine needs {e.name}.",
                "Install it: pip install 'avcurate[transformers]'.",
            ) from None
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.torch = torch
        self._device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        dtype = {"cpu": torch.float32}.get(self._device, torch.bfloat16)
        if self.dtype != "auto":
            dtype = getattr(torch, self.dtype)
        options = {"revision": self.checkpoint.pinned, "trust_remote_code": False}
        with loading(f"the model {self.checkpoint.model}", "Check --model and --revision, or fetch the model again."):
            self.processor = transformers.AutoProcessor.from_pretrained(self.checkpoint.path, **options)
            self.model = getattr(transformers, self._family.model_class).from_pretrained(
                self.checkpoint.path, dtype=dtype, use_safetensors=True, **options
            )
        self.model.eval()
        if self.placed:
            self.model.to(self._device)
        self.tokens = MediaTokens.of(self.model.config, self._family)
        self._refuse_other_tokenizer()
        ends = self.model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])
        why = self.maam and self._family.refuse_masking(self.text_config)
        if why:
            raise UserError(f"{why}.", "Leave maam out.")
        self.cuts: tuple[Cut, ...] = ()
        if self.knockout or (self.guidance is not None and self.guidance.edits):
            from avcurate.engines.watched import watch

            watch(self)
        if self.knockout:
            from avcurate.attention.cut import Cut

            layers = int(self.text_config.num_hidden_layers)
            self.cuts = tuple(Cut.parse(rule).within(layers) for rule in self.knockout)

    def provenance(self) -> dict[str, Any]:
        """Hashes of the hub's files that were loaded."""
        blobs = self.checkpoint.blobs()
        return {"files": blobs} if blobs else {}

    @property
    def family(self) -> Family:
        """The checkpoint's."""
        return self._family

    @property
    def text_config(self) -> Any:
        """Configuration of the text decoder."""
        return self.model.config.get_text_config(decoder=True)

    def _refuse_other_tokenizer(self) -> None:
        """Refuse a tokenizer that is not the model's: transformers silently replaces one with missing files.

        Raises:
            UserError: the marks of media are not the model's.
        """
        for name, expected in (("audio_token", self.tokens.audio), ("video_token", self.tokens.video)):
            mark = getattr(self.processor, name, None)
            if mark is None or expected is None:
                continue
            if self.processor.tokenizer.convert_tokens_to_ids(mark) != expected:
                raise UserError(
                    f"the tokenizer of {self.checkpoint.model} is not its model's: {mark} is not token {expected}.",
                    "Its tokenizer files are missing or another model's; fetch the model again.",
                )

    @property
    def banned(self) -> list[int]:
        """Token ids that no response may hold: placeholders of media and their marks."""
        return sorted(self.tokens.never_sampled)

    @property
    def on_cpu(self) -> bool:
        """Whether the model runs on the CPU."""
        return self._device == "cpu"

    @property
    def forward(self) -> Any:
        """What is called to run the model."""
        return self.model if self.wrapper is None else self.wrapper

    def _without_gradients(self) -> Any:
        # a training that shards weights updates in place what was gathered here, which inference_mode forbids
        return self.torch.inference_mode() if self.wrapper is None else self.torch.no_grad()

    def close(self) -> None:
        """Drop the model."""
        self.model = self.wrapper = self.processor = None

    @property
    def special_tokens(self) -> frozenset[str]:
        """Those of the checkpoint's tokenizer."""
        return self.checkpoint.special_tokens

    def expected_tokens(self, request: Request) -> tuple[int, int] | None:
        """From the checkpoint's own constants."""
        return self.checkpoint.media_tokens(request)

    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """Answer in batches of up to ``max_sequences`` responses."""
        while batch := self._collect(source):
            yield from self._answer(batch)

    def _collect(self, source: Source) -> list[Request]:
        batch: list[Request] = []
        while sum(r.n for r in batch) < self.max_sequences:
            request = source.take(wait=True)
            if request is None:
                break
            batch.append(request)
        return batch

    def _answer(self, batch: list[Request]) -> Iterator[Reply | Failure]:
        try:
            replies = self._generate(batch)
        except (UserError, MemoryError):
            raise
        except Exception as e:
            # a processor may raise anything for one odd text, StopIteration included
            if _out_of_memory(e):
                raise UserError(
                    f"the device has no memory left for {sum(r.n for r in batch)} responses at once.",
                    "Lower model.max_sequences or media.max_pixels in the recipe, then run the same command again.",
                ) from e
            if len(batch) == 1:
                yield Failure(batch[0].key, "engine_error", f"{type(e).__name__}: {e}"[:500])
                return
            # one request of the batch is bad: run each alone, so that only that one fails
            for request in batch:
                yield from self._answer([request])
            return
        yield from replies

    def inputs(self, batch: list[Request]) -> dict[str, Any]:
        """Model inputs for requests of one frame rate: prompts padded on the left, and their media."""
        texts = [
            self.processor.apply_chat_template(messages_of(r), tokenize=False, add_generation_prompt=True) + r.prefix
            for r in batch
        ]
        audios = [self._family.whole(r.audio) for r in batch if r.audio is not None]
        videos = [r.frames for r in batch if r.frames is not None]
        shown: dict[str, Any] = {"audio": audios} if audios else {}
        shown |= {"videos": videos} if videos else {}
        interleaved = any(r.interleaved for r in batch)
        arguments = self._family.processor_arguments(audios, videos, batch[0].fps, interleaved)
        inputs = self.processor(text=texts, **shown, **arguments, return_tensors="pt")
        moved = {k: v.to(self._device) if hasattr(v, "to") else v for k, v in inputs.items()}
        # not every tower casts what it hears and sees to its own number format
        return {k: v.to(self.model.dtype) if k in FLOATS else v for k, v in moved.items()}

    def prefill(
        self,
        batch: list[Request],
        cuts: Sequence[Rule] | None = None,
        planned_by: Callable[[Tensor, Tensor], Plan] | None = None,
    ) -> Prefill:
        """Read the prompts.

        Args:
            batch: of one frame rate.
            cuts: replace the engine's own.
            planned_by: makes the plan of the prompts' ids and mask, (B, P) both, in place of any cuts.
        """
        inputs, plan = self.inputs(batch), None
        if planned_by is not None:
            plan = planned_by(inputs["input_ids"], inputs["attention_mask"])
        elif cuts or (cuts is None and self.cuts):
            from avcurate.engines.watched import plan_of

            plan = plan_of(self, batch, inputs["input_ids"], inputs["attention_mask"], cuts or self.cuts)
        planned = {} if plan is None else {"plan": plan}
        positions = self._family.positions(self.model, inputs, any(r.interleaved for r in batch))
        with self._without_gradients(), logits_from(self.model, -1):
            encoded = self._family.encoded(self.model, inputs)
            out = self.forward(**encoded, position_ids=positions, use_cache=True, **planned)
        return Prefill(
            out.logits[:, -1],
            out.past_key_values,
            inputs["attention_mask"],
            positions[..., -1].reshape(-1, len(batch)).amax(0) + 1,
            inputs["input_ids"],
            len(positions) if positions.ndim == 3 else 0,
            plan,
        )

    def _generate(self, batch: list[Request]) -> list[Reply]:
        groups: dict[tuple[Any, ...], list[Request]] = {}
        for r in batch:
            alone = () if self._family.mixed_batches else (r.audio is None, r.frames is None)
            groups.setdefault((r.fps, r.interleaved, r.sampling, alone), []).append(r)
        return [reply for group in groups.values() for reply in self._generate_alike(group)]

    def _generate_alike(self, batch: list[Request]) -> list[Reply]:
        if self.guidance is not None and len(batch) > 1:
            # guides are made for one prompt at a time
            return [reply for r in batch for reply in self._generate_alike([r])]
        sampled = self.sample(batch)
        return [self._reply(r, i, sampled) for i, r in enumerate(batch)]

    def sample(
        self,
        batch: list[Request],
        cuts: Sequence[Rule] | None = None,
        watch: Callable[[list[int], Tensor], None] | None = None,
    ) -> Sampled:
        """Token ids of the responses to requests of one frame rate and one set of sampling values.

        ``cuts`` replace the engine's own; they need a model that is watched. ``watch`` takes rows and logits of a step.
        """
        from avcurate.engines.decoding import decode_responses
        from avcurate.engines.sampling import SeededSampler

        torch = self.torch
        start, guide = self._guided(batch) if self.guidance is not None else (self.prefill(batch, cuts), None)
        first = self._first_logprobs(start.logits, batch[0].sampling.first_logprobs)
        owner = [i for i, r in enumerate(batch) for _ in range(r.n)]
        rows = torch.tensor(owner, device=self._device)
        seeds = [r.seed + j for r in batch for j in range(r.n)]
        sampler = SeededSampler(seeds, batch[0].sampling, self.banned, self._device)
        start.cache.batch_select_indices(rows)
        if start.plan is not None:
            start.plan.select(rows)
        if guide is not None:
            guide.keep(rows)
        prefilled = (start.cache, start.logits[rows], start.mask[rows], start.next_position[rows])
        written = decode_responses(
            self.forward,
            prefilled,
            sampler,
            self._ends,
            axes=start.axes,
            rows=self._rows(start.ids[rows]),
            plan=start.plan,
            guide=guide,
            watch=watch,
            inference=self.wrapper is None,
        )
        return Sampled(owner, seeds, written, start.ids, start.mask.sum(1).tolist(), first)

    def _guided(self, batch: list[Request]) -> tuple[Prefill, Guide | None]:
        from avcurate.engines.guided import guided_prefill

        assert self.guidance is not None
        if len(batch) > 1:
            raise UserError("a guided decoder reads one prompt at a time.", "Leave --decode out.")
        return guided_prefill(self, batch[0], self.guidance)

    def _rows(self, prompts: Tensor) -> MaskRows | None:
        if self.maam is None:
            return None
        from avcurate.maam.attention import refuse_attention
        from avcurate.maam.decoding import MaskRows

        refuse_attention(self.text_config._attn_implementation)
        audio, video = (self.tokens.where(prompts, kind) for kind in ("audio", "video"))
        return MaskRows(audio, video, self.decode, self.maam, lambda m: self._family.layered(self.text_config, m))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a response's token ids, without special tokens."""
        return str(self.processor.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _reply(self, r: Request, i: int, sampled: Sampled) -> Reply:
        responses = []
        for row, owner in enumerate(sampled.owner):
            if owner != i:
                continue
            ids = sampled.written[row]
            ended = bool(ids) and ids[-1] in self._ends
            text = self.decode(ids)
            responses.append(Response(sampled.seeds[row], text, "stop" if ended else "length", len(ids)))
        audio, video = self._media_tokens(sampled.prompts[i])
        return Reply(r.key, tuple(responses), sampled.lengths[i], audio, video, sampled.first[i])

    def _media_tokens(self, ids: Tensor) -> tuple[int, int]:
        return self.tokens.count(ids)

    def _first_logprobs(self, logits: Tensor, count: int) -> list[dict[str, float] | None]:
        """For each prompt, its likeliest first tokens as text."""
        if not count:
            return [None] * len(logits)
        top = logits.float().log_softmax(-1).topk(min(count, logits.shape[-1]))
        decode = self.processor.tokenizer.decode
        return [
            text_logprobs((decode([i]), p) for i, p in zip(ids, values, strict=True))
            for ids, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
        ]

    def perceive(self, request: Request) -> Perception:
        """Prefill alone: token counts and the likeliest first tokens."""
        start = self.prefill([request])
        audio, video = self._media_tokens(start.ids[0])
        top = start.logits[0].float().log_softmax(-1).topk(TOP)
        logprobs = {str(i): p for i, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)}
        return Perception(start.ids.shape[1], audio, video, logprobs)


def _out_of_memory(e: BaseException) -> bool:
    """Whether an accelerator or the host ran out of memory, which is not one row's fault."""
    return type(e).__name__ == "OutOfMemoryError" or "not enough memory" in str(e)
