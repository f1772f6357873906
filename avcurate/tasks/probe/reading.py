"""A response read again in one pass, with the kind of every token."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.locate import response_kinds, with_parts
from avcurate.attention.plan import Plan
from avcurate.engines.base import Request
from avcurate.engines.watched import kinds_of
from avcurate.maam.traces import decoded_traces, offsets_of
from avcurate.train.omni import Omni

_FUSION = re.compile(r"<sum>.*?(?:</sum>|$)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Answered:
    """A response and what it answers.

    Attributes:
        ids: its tokens, the end token included if it was drawn.
        text: with the prefix that it was made to begin with.
    """

    condition: str
    request: Request
    ids: tuple[int, ...]
    text: str
    answer: str | None
    correct: bool

    def row(self) -> dict[str, Any]:
        """The columns that every probe stores of it."""
        return {"condition": self.condition, "text": self.text, "answer": self.answer, "correct": self.correct}


class Reading:
    """One response after its prompt.

    Attributes:
        inputs: the model's; prompt: length of the prompt, P.
        kinds: int64 (1, P + T), parts of a separate-then-fuse response told apart.
        tokens: text of each of the T tokens.
    """

    def __init__(self, omni: Omni, request: Request, ids: Sequence[int]) -> None:
        self.omni, self.request = omni, request
        self.ids = torch.tensor([list(ids)], device=omni.engine.model.device)
        mask = torch.ones_like(self.ids, dtype=torch.float)
        self.inputs = omni.batch([request], self.ids, mask)
        self.prompt = self.inputs["input_ids"].shape[1] - len(ids)
        prompts = self.inputs["input_ids"][:, : self.prompt]
        before = kinds_of(omni.engine, [request], prompts, torch.ones_like(prompts))
        # rules of a knockout know no parts: decoding could not tell them either
        self.plain_kinds = torch.cat([before, response_kinds(mask)], 1)
        text, ends = offsets_of(list(ids), omni.decode)
        self.tokens = [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        fusion = _FUSION.search(text)
        span = None if fusion is None else self._span(ends, *fusion.span())
        self.kinds = with_parts(self.plain_kinds, [decoded_traces(text, ends, self.prompt)], [span])

    def _span(self, ends: list[int], begin: int, stop: int) -> tuple[int, int]:
        starts = [0, *ends[:-1]]
        inside = [i for i, (a, b) in enumerate(zip(starts, ends, strict=True)) if b > begin and a < stop]
        return self.prompt + inside[0], self.prompt + inside[-1] + 1

    def logits(self, plan: Plan | None = None) -> Tensor:
        """Logits (T, V) that predict the response's tokens."""
        with torch.inference_mode():
            return self.omni.run(self.omni.engine.model, dict(self.inputs), self.prompt, plan)[0]

    def log_probability(self, plan: Plan | None = None) -> float:
        """Mean log-probability of the response's tokens."""
        scores = self.logits(plan).float().log_softmax(-1)
        return float(scores.gather(-1, self.ids[0, :, None]).mean())
