"""A question under several conditions, n responses each: asked in full, or no further than its label needs.

With early exit AV is asked first, A and V only where AV can still be solved, and within a setting sampling stops once
correctness can no longer reach the threshold. Every PEM needs AV solved, so labels are those of exhaustive sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from avcurate.engines.base import Engine, Reply, Request
from avcurate.errors import MediaError, RowError
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodedClip
from avcurate.metrics.answers import is_correct, parse_answer
from avcurate.metrics.solvability import can_reach, needed
from avcurate.prompts import Prompt
from avcurate.runner.stage import Filtered, Kept, Outcome, Row
from avcurate.scheduler.delivery import refuse_undelivered
from avcurate.scheduler.showing import request_of, unaskable
from avcurate.scheduler.spec import AskSpec, Condition
from avcurate.scheduler.unit import Unit
from avcurate.schema import Setting

RECEIVED = ("prompt_tokens", "audio_tokens", "video_tokens", "first_logprobs")
_AV = str(Setting.AV)


@dataclass
class Asked:
    """One condition of one question so far."""

    responses: list[dict[str, Any]] = field(default_factory=list)
    right: int = 0
    received: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EarlyExit:
    """Ask no further than the PEM label at this correctness threshold needs; for A, V and AV, and a blind condition.

    Attributes:
        waves: ask a setting's responses in waves; false where an engine would read the prompt again for each, which
            costs more than the responses that are saved: then a setting is asked in full or not at all.
    """

    tau_acc: float
    waves: bool = True

    def wanted(self, asked: dict[str, Asked], n: int) -> list[str]:
        """Settings that need (more) responses before the label of a question is decided."""

        def solvable(state: Asked) -> bool:
            return can_reach(state.right, len(state.responses), n, self.tau_acc)

        def decided(state: Asked) -> bool:
            return len(state.responses) >= n or not solvable(state)

        if not decided(asked[_AV]):
            return [_AV]
        others = [name for name in asked if name != _AV]
        return [s for s in others if solvable(asked[_AV]) and not decided(asked[s])]

    def wave(self, one: Asked, n: int) -> int:
        """Responses to ask for next: the fewest that can decide a setting, but at least half of what is left."""
        left = n - len(one.responses)
        if not self.waves:
            return left
        slack = n - needed(self.tau_acc, n) - (len(one.responses) - one.right)
        return min(left, slack + 1 if not one.responses else max(slack + 1, (left + 1) // 2))


def count_right(row: Row, responses: Sequence[dict[str, Any]], prompt: Prompt) -> int:
    """Right answers among responses to a prompt."""
    answers = (parse_answer(prompt.read(r["text"]), row["choices"]) for r in responses)
    return sum(is_correct(a, row["answer"]) for a in answers)


class QuestionUnit(Unit):
    """One question on one clip.

    Args:
        row: of the table ``questions``.
        clip: its media, decoding.
        engine: the model; knows what media must cost, and which texts it cannot take.
        spec: how it is asked.
        conditions: under what.
        columns: the row's columns, once it is done.
        early_exit: stop where the label is decided; ``None`` asks every condition in full.
        other: the clip shown in place of its own under ``shuffled``, decoding.
    """

    def __init__(
        self,
        row: Row,
        clip: Future[DecodedClip],
        engine: Engine,
        spec: AskSpec,
        conditions: Sequence[Condition],
        columns: Callable[[QuestionUnit], Row],
        early_exit: EarlyExit | None = None,
        other: Future[DecodedClip] | None = None,
    ) -> None:
        super().__init__(str(row["question_id"]), row)
        self._clip, self._engine, self._spec, self._other = clip, engine, spec, other
        self._columns, self._early_exit = columns, early_exit
        self.conditions = {c.name: c for c in conditions}
        self.asked = {name: Asked() for name in self.conditions}
        self._pending: set[str] = set()

    @property
    def clip(self) -> DecodedClip:
        """The decoded clip."""
        return self._clip.result()

    @property
    def waiting_for(self) -> Future[Any]:
        """The clip."""
        return self._clip

    def begin(self) -> Filtered | None:
        """Filtered where the clip lacks a track that a condition shows.

        Raises:
            RowError: ``other_clip_unreadable``.
        """
        if self._other is not None:
            try:
                self._other.result()
            except MediaError as e:
                raise RowError("other_clip_unreadable", f"shuffled: {e.message}", e.hint) from e
        settings = [c.setting for c in self.conditions.values() if c.setting is not None and not c.other]
        return unaskable(self._engine, self.row, self._clip.result(), settings)

    def absorb(self, key: str, piece: Any) -> None:
        """Responses of one wave; pieces of a condition that this run does not use, or out of order, are ignored."""
        name, first = key.rsplit("/", 1)
        asked = self.asked.get(name)
        if asked is None or int(first) != len(asked.responses):
            return
        asked.responses += piece["responses"]
        asked.received = {k: piece.get(k) for k in RECEIVED}
        asked.right += count_right(self.row, piece["responses"], self._spec.prompt)

    def requests(self) -> list[Request]:
        """The next wave of every condition that is needed and not in flight."""
        wave = []
        for name in self._wanted():
            if name in self._pending:
                continue
            asked = self.asked[name]
            size = self._spec.n - len(asked.responses)
            if self._early_exit is not None:
                size = self._early_exit.wave(asked, self._spec.n)
            self._pending.add(name)
            wave.append(self._request(self.conditions[name], size))
        return wave

    def _wanted(self) -> list[str]:
        if self._early_exit is not None:
            return self._early_exit.wanted(self.asked, self._spec.n)
        return [name for name, asked in self.asked.items() if len(asked.responses) < self._spec.n]

    def _request(self, condition: Condition, size: int) -> Request:
        first = len(self.asked[condition.name].responses)
        shown = self._other if condition.other and self._other is not None else self._clip
        return request_of(self._engine, self._spec, self.row, shown.result(), condition, size, first)

    def accept(self, request: Request, reply: Reply) -> tuple[str, Any]:
        """One wave's responses, once the media that were sent are known to have arrived."""
        _, name, first = request.key.rsplit("/", 2)
        self._pending.discard(name)
        # another clip costs other tokens
        other = self.conditions[name].other
        before = {n: a.received for n, a in self.asked.items() if a.received and self.conditions[n].other == other}
        refuse_undelivered(self._engine, request, reply, f"{self.row['media']} under {name}", before)
        prefix = self.conditions[name].prefix
        piece = {
            "responses": [dict(vars(r)) | {"text": prefix + r.text} for r in reply.responses],
            "prompt_tokens": reply.prompt_tokens,
            "audio_tokens": reply.audio_tokens,
            "video_tokens": reply.video_tokens,
            "first_logprobs": _as_list(reply.first_logprobs),
        }
        return f"{name}/{first}", piece

    def outcome(self) -> Outcome:
        """The row with its columns."""
        return Kept(self._columns(self))


def _as_list(logprobs: dict[str, float] | None) -> list[dict[str, Any]] | None:
    return None if logprobs is None else [{"token": t, "logprob": p} for t, p in logprobs.items()]


def question_units(
    engine: Engine,
    spec: AskSpec,
    conditions: Sequence[Condition],
    clips: ClipCache,
    columns: Callable[[QuestionUnit], Row],
    early_exit: EarlyExit | None = None,
) -> Callable[[Row], Unit]:
    """A function from a row of ``questions`` to its unit: decoding begins at once."""

    def unit(row: Row) -> Unit:
        clip, other = clips.get(row["media"], row["start"], row["end"]), None
        if any(c.other for c in conditions):
            other = clips.get(row["other_media"], row["other_start"], row["other_end"])
        return QuestionUnit(row, clip, engine, spec, conditions, columns, early_exit, other)

    return unit
