"""Language models that read text alone, through transformers: judges and extractors on one machine.

Each response is drawn from its own seed, as with the thinkers, so that batches change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from avcurate.engines.base import DRAWS, Engine, Failure, Perception, Reply, Request, Response, Source
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.loading import loading
from avcurate.engines.messages import system_of
from avcurate.errors import UserError


class TextEngine(Engine):
    """A causal language model in this process; requests with media are refused by name.

    Args:
        checkpoint: the model.
        max_sequences: responses generated at the same time.
        dtype: ``auto`` is float32 on CPU and the checkpoint's own on GPU.
    """

    name = "transformers"
    perceives = False

    def __init__(
        self, checkpoint: Checkpoint, *, max_sequences: int = 16, dtype: str = "auto", device: str = "auto"
    ) -> None:
        self.checkpoint = checkpoint
        self.max_sequences = max_sequences
        self.dtype = dtype
        self.device = device

    def identity(self) -> dict[str, Any]:
        """Model and number format."""
        return {"engine": self.name, **self.checkpoint.identity(), "dtype": self.dtype, "draws": DRAWS}

    def setup(self) -> None:
        """Load tokenizer and weights (safetensors only, no remote code)."""
        try:
            import torch
            import transformers
        except ImportError as e:
            raise UserError(
                f"the transformers engine needs {e.name}.", "Install it: pip install 'avcurate[transformers]'."
            ) from None
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.torch = torch
        self._device = self.device if self.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        dtype: Any = torch.float32 if self._device == "cpu" else "auto"
        if self.dtype != "auto":
            dtype = getattr(torch, self.dtype)
        options = {"revision": self.checkpoint.pinned, "trust_remote_code": False}
        with loading(f"the language model {self.checkpoint.model}", "Serve it with vLLM and use --engine server."):
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.checkpoint.path, **options)
            self.model = transformers.AutoModelForCausalLM.from_pretrained(
                self.checkpoint.path, dtype=dtype, use_safetensors=True, **options
            )
        self.model.eval().to(self._device)
        ends = self.model.generation_config.eos_token_id
        self._ends = {*(ends if isinstance(ends, list) else [ends]), self.tokenizer.eos_token_id} - {None}
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token_id = self.tokenizer.eos_token_id

    def close(self) -> None:
        """Drop the model."""
        self.model = self.tokenizer = None

    @property
    def special_tokens(self) -> frozenset[str]:
        """Those of the checkpoint's tokenizer."""
        return self.checkpoint.special_tokens

    def expected_tokens(self, request: Request) -> tuple[int, int] | None:
        """No media, so no media tokens."""
        return None

    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """Answer in batches of up to ``max_sequences`` responses."""
        while True:
            batch: list[Request] = []
            while sum(r.n for r in batch) < self.max_sequences and (request := source.take(wait=True)) is not None:
                if request.audio is None and request.frames is None:
                    batch.append(request)
                else:
                    message = f"{self.checkpoint.model} reads only text."
                    yield Failure(request.key, "text_only_model", message, "Name an omni model.")
            if not batch:
                return
            # responses of a batch stop together, so other sampling values get a batch of their own
            for sampling in dict.fromkeys(r.sampling for r in batch):
                yield from self._answer([r for r in batch if r.sampling == sampling])

    def prompt(self, request: Request) -> str:
        """The request's text, as the chat template has it."""
        message = [*system_of(request), {"role": "user", "content": request.prompt}]
        if self.tokenizer.chat_template is None:
            return request.prompt + "\n" + request.prefix
        text = self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
        return str(text) + request.prefix

    def _answer(self, batch: list[Request]) -> list[Reply]:
        from avcurate.engines.decoding import decode_responses
        from avcurate.engines.sampling import SeededSampler

        torch, owner = self.torch, [i for i, r in enumerate(batch) for _ in range(r.n)]
        inputs = self.tokenizer(
            [self.prompt(r) for r in batch],
            return_tensors="pt",
            padding=True,
            padding_side="left",
            add_special_tokens=False,
        )
        mask = inputs["attention_mask"].to(self._device)
        seeds = [r.seed + j for r in batch for j in range(r.n)]
        sampler = SeededSampler(seeds, batch[0].sampling, [], self._device)
        rows = torch.tensor(owner, device=self._device)
        with torch.inference_mode():
            position = mask.long().cumsum(-1).sub(1).clamp(min=0)
            out = self.model(
                input_ids=inputs["input_ids"].to(self._device),
                attention_mask=mask,
                position_ids=position,
                use_cache=True,
            )
            cache, logits = out.past_key_values, out.logits[:, -1][rows]
            cache.batch_select_indices(rows)
        prompt_tokens = mask.sum(1).tolist()
        prefilled = (cache, logits, mask[rows], position[rows, -1] + 1)
        written = decode_responses(self.model, prefilled, sampler, self._ends)
        replies = []
        for i, r in enumerate(batch):
            responses = []
            for row in (k for k, request in enumerate(owner) if request == i):
                ids = written[row]
                ended = bool(ids) and ids[-1] in self._ends
                text = self.tokenizer.decode(ids, skip_special_tokens=True)
                responses.append(Response(seeds[row], text, "stop" if ended else "length", len(ids)))
            replies.append(Reply(r.key, tuple(responses), prompt_tokens[i], 0, 0))
        return replies

    def perceive(self, request: Request) -> Perception:
        """A text model perceives nothing."""
        return Perception(-1, -1, -1)
