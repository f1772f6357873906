"""Units of work in flight: one question under three settings, from decoding to its finished row.

AV is asked first; A and V only where AV can still be solved, and within a setting sampling stops
once correctness can no longer reach the threshold. Every PEM needs AV solved, so labels are those of
exhaustive sampling. Knows requests and replies; knows no engine and no file layout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from avcurate.engines.base import Engine, Failure, Reply, Request
from avcurate.errors import RowError
from avcurate.media.ablate import show
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodedClip
from avcurate.metrics.answers import is_correct, parse_answer
from avcurate.metrics.solvability import can_reach, needed
from avcurate.prompts import get_prompt
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row, WorkLog
from avcurate.schema import Setting
from avcurate.seeds import derive_seed
from avcurate.stages.sample_spec import SampleSpec


@dataclass
class Asked:
    """One setting of one question so far."""

    responses: list[dict[str, Any]] = field(default_factory=list)
    right: int = 0
    received: dict[str, Any] = field(default_factory=dict)
    pending: int = 0


@dataclass
class Unit:
    """One question under AV, A and V."""

    row: Row
    clip: Future[DecodedClip]
    asked: dict[Setting, Asked] = field(default_factory=lambda: {s: Asked() for s in Setting})
    unlogged: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    dead: Dead | None = None

    @property
    def row_id(self) -> str:
        """The question's id."""
        return str(self.row["question_id"])


def solvable(spec: SampleSpec, asked: Asked) -> bool:
    """Whether a setting can still reach the correctness threshold."""
    return can_reach(asked.right, len(asked.responses), spec.n, spec.tau_acc)


def wanted(spec: SampleSpec, asked: dict[Setting, Asked]) -> list[Setting]:
    """Settings that have to be asked (further) before the label of a question is decided."""

    def settled(one: Asked) -> bool:
        return len(one.responses) >= spec.n or (spec.early_exit and not solvable(spec, one))

    av = asked[Setting.AV]
    if not settled(av):
        return [Setting.AV]
    if spec.early_exit and not solvable(spec, av):
        return []
    return [s for s in (Setting.A, Setting.V) if not settled(asked[s])]


def count_right(row: Row, responses: list[dict[str, Any]]) -> int:
    """Right answers among responses."""
    return sum(is_correct(parse_answer(r["text"], row["choices"]), row["answer"]) for r in responses)


def asked_of(row: Row) -> dict[Setting, Asked]:
    """What a stored row was asked."""
    stored = {s: row[f"{s}_responses"] or [] for s in Setting}
    return {s: Asked(list(r), count_right(row, r)) for s, r in stored.items()}


_RECEIVED = ("prompt_tokens", "audio_tokens", "video_tokens", "first_logprobs")


def stored_pieces(row: Row) -> dict[str, Any]:
    """A stored row as pieces of work: one per setting, holding all its responses."""
    return {
        f"{s}/0": {"responses": row[f"{s}_responses"], **{name: row[f"{s}_{name}"] for name in _RECEIVED}}
        for s in Setting
        if row[f"{s}_responses"]
    }


def _as_list(logprobs: dict[str, float] | None) -> list[dict[str, Any]] | None:
    return None if logprobs is None else [{"token": t, "logprob": p} for t, p in logprobs.items()]


class Units:
    """The source an engine takes requests from, and where its replies go."""

    def __init__(
        self,
        engine: Engine,
        spec: SampleSpec,
        rows: Iterator[Row],
        clips: ClipCache,
        log: WorkLog,
        ahead: int = 8,
    ) -> None:
        self.engine = engine
        self.spec = spec
        self.rows = rows
        self.clips = clips
        self.log = log
        self.ahead = ahead
        self.asked_since_check = 0
        self.prompt = get_prompt(spec.prompt)
        self._decoding: deque[Unit] = deque()
        self._ready: deque[tuple[Unit, Setting, int]] = deque()
        self._active: dict[str, Unit] = {}
        self._finished: list[tuple[Unit | None, str, Outcome]] = []
        self._rows_ended = False

    @property
    def exhausted(self) -> bool:
        """Whether every row has been taken and answered."""
        return self._rows_ended and not (self._decoding or self._ready or self._active)

    def take(self, wait: bool) -> Request | None:
        """The next request; with ``wait`` it blocks on decoding rather than give up."""
        while not self._ready:
            if len(self._finished) > 4 * self.ahead:
                # rows that need no asking (dead, filtered, recalled) must be handed on as well
                return None
            self._look_ahead()
            if not self._decoding or not (wait or self._decoding[0].clip.done()):
                return None
            self._begin(self._decoding.popleft())
        unit, setting, size = self._ready.popleft()
        return self._request(unit, setting, size)

    def _look_ahead(self) -> None:
        while len(self._decoding) < self.ahead and not self._rows_ended:
            row = next(self.rows, None)
            if row is None:
                self._rows_ended = True
                return
            clip = self.clips.get(row["media"], row["start"], row["end"])
            self._decoding.append(Unit(row, clip))

    def _begin(self, unit: Unit) -> None:
        try:
            self.engine.refuse_special(unit.row["question"], *unit.row["choices"])
            clip = unit.clip.result()
        except RowError as e:
            self._finished.append((None, unit.row_id, Dead(e.reason, e.message, e.hint)))
            return
        for missing, reason in ((clip.audio, "no_audio_track"), (clip.frames, "no_video_track")):
            if missing is None:
                track = "sound" if reason == "no_audio_track" else "picture"
                message = f"{unit.row['media']} has no {track}, so no modality can be preferred."
                self._finished.append((None, unit.row_id, Filtered(reason, message)))
                return
        self._active[unit.row_id] = unit
        held = self.log.get(unit.row_id)
        for setting, asked in unit.asked.items():
            # responses that an earlier process journaled
            while (entry := held.get(f"{setting}/{len(asked.responses)}")) is not None:
                self._absorb(unit, setting, entry)
        self._advance(unit)

    def _advance(self, unit: Unit) -> None:
        """Ask what is still wanted of a unit, or finish it when nothing is and nothing is under way."""
        for setting in () if unit.dead else wanted(self.spec, unit.asked):
            asked = unit.asked[setting]
            if not asked.pending:
                asked.pending = self._wave(asked)
                self._ready.append((unit, setting, asked.pending))
        if not any(a.pending for a in unit.asked.values()):
            self._finish(unit)

    def _wave(self, asked: Asked) -> int:
        """Responses to ask for next: the fewest that can settle it, but at least half of what is left."""
        left = self.spec.n - len(asked.responses)
        if not self.spec.early_exit:
            return left
        wrong = len(asked.responses) - asked.right
        slack = self.spec.n - needed(self.spec.tau_acc, self.spec.n) - wrong
        return min(left, slack + 1 if not asked.responses else max(slack + 1, (left + 1) // 2))

    def _request(self, unit: Unit, setting: Setting, size: int) -> Request:
        row, clip = unit.row, unit.clip.result()
        audio, frames = show(clip, setting, self.spec.ablation)
        first = len(unit.asked[setting].responses)
        return Request(
            key=f"{unit.row_id}/{setting}/{first}",
            prompt=self.prompt.render(row["question"], row["choices"]),
            audio=audio,
            frames=frames,
            fps=clip.fps,
            n=size,
            seed=derive_seed(self.spec.seed, unit.row_id, setting) + first,
            sampling=self.spec.sampling,
            interleaved=self.spec.interleaved and audio is not None and frames is not None,
            media_id=clip.sha256,
        )

    def settle(self, answer: Reply | Failure) -> None:
        """Take one reply of the engine."""
        row_id, name, first = answer.key.split("/")
        unit, setting = self._active[row_id], Setting(name)
        size, unit.asked[setting].pending = unit.asked[setting].pending, 0
        self.asked_since_check += 1
        if isinstance(answer, Failure):
            unit.dead = unit.dead or Dead(answer.reason, answer.message, answer.hint, name)
        elif len(answer.responses) != size:
            unit.dead = unit.dead or Dead(
                "responses_missing",
                f"{len(answer.responses)} of {size} responses came back.",
                "Ask again with `avcurate retry`; if it stays, the engine's version has a fault.",
                name,
            )
        elif wrong := self._undelivered(unit, setting, answer):
            hint = "Run `avcurate doctor`: an engine that loses a modality cannot be used for labels."
            unit.dead = unit.dead or Dead("modality_not_delivered", wrong, hint, name)
        else:
            entry = {
                "responses": [dict(vars(r)) for r in answer.responses],
                "prompt_tokens": answer.prompt_tokens,
                "audio_tokens": answer.audio_tokens,
                "video_tokens": answer.video_tokens,
                "first_logprobs": _as_list(answer.first_logprobs),
            }
            unit.unlogged.append((f"{name}/{first}", entry))
            self._absorb(unit, setting, entry)
        self._advance(unit)

    def _undelivered(self, unit: Unit, setting: Setting, reply: Reply) -> str:
        """What is wrong with the media tokens the model received, if anything."""
        if reply.audio_tokens < 0 and reply.video_tokens < 0:
            return ""
        request = self._request(unit, setting, 0)
        wanted = self.engine.expected_tokens(request)
        media = unit.row["media"]
        for i, (name, given, got) in enumerate(
            (("audio", request.audio, reply.audio_tokens), ("video", request.frames, reply.video_tokens))
        ):
            if got < 0:
                continue
            if (given is not None) != (got > 0):
                sent = "sent" if given is not None else "not sent"
                return f"{media} under {setting}: the {name} was {sent}, yet {got} {name} tokens were received."
            if wanted is not None and got != wanted[i]:
                return f"{media} under {setting}: {got} {name} tokens were received, {wanted[i]} were sent."
            for other, asked in unit.asked.items():
                before = asked.received.get(f"{name}_tokens", -1)
                if got > 0 and before > 0 and before != got:
                    return f"{media}: {got} {name} tokens were received under {setting}, {before} under {other}."
        return ""

    def _absorb(self, unit: Unit, setting: Setting, entry: dict[str, Any]) -> None:
        asked = unit.asked[setting]
        asked.responses += entry["responses"]
        asked.received = {k: v for k, v in entry.items() if k != "responses"}
        asked.right += count_right(unit.row, entry["responses"])

    def _finish(self, unit: Unit) -> None:
        del self._active[unit.row_id]
        if unit.dead is not None:
            self._finished.append((unit, unit.row_id, unit.dead))
            return
        clip = unit.clip.result()
        added: Row = {"media_sha256": clip.sha256, "duration": clip.duration, "engine": self.engine.name}
        for setting, asked in unit.asked.items():
            added[f"{setting}_responses"] = asked.responses
            added[f"{setting}_asked"] = len(asked.responses)
            for name in _RECEIVED:
                added[f"{setting}_{name}"] = asked.received.get(name)
        self._finished.append((unit, unit.row_id, Kept(added)))

    def release(self) -> Iterator[tuple[str, Outcome]]:
        """What was answered since the last canary is now believed: journal it, hand on finished rows."""
        self.asked_since_check = 0
        for unit in self._active.values():
            self._log(unit)
        done, self._finished = self._finished, []
        for _, row_id, outcome in done:
            yield row_id, outcome

    def _log(self, unit: Unit) -> None:
        for key, entry in unit.unlogged:
            self.log.put(unit.row_id, key, entry)
        unit.unlogged.clear()

    def doubtful(self) -> list[tuple[str, str | None]]:
        """Rows with answers since the last canary: (question_id, setting)."""
        rows: list[tuple[str, str | None]] = []
        for unit, row_id, _ in self._finished:
            if unit is not None:
                rows.append((row_id, None))
        rows += [(u.row_id, None) for u in self._active.values() if u.unlogged]
        return rows
