"""Asks every question under AV, A and V and keeps all responses.

The unit of work is one question under three settings. AV is asked first; A and V only where AV can
still be solved, and within a setting sampling stops once correctness can no longer reach the
threshold. Every PEM label needs AV solved, so labels are those of exhaustive sampling.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from avcurate.engines.base import Engine, Failure, Reply, Request, Sampling
from avcurate.engines.canary import check_hearing
from avcurate.errors import RowError
from avcurate.media.ablate import Ablation, show
from avcurate.media.decode import DecodedClip, DecodeSpec, decode
from avcurate.metrics.answers import is_correct, parse_answer
from avcurate.metrics.solvability import can_reach, needed
from avcurate.prompts import get_prompt
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row, Stage, WorkLog
from avcurate.schema import Setting, arrow_schema
from avcurate.seeds import derive_seed

FIRST, LATER = (Setting.AV,), (Setting.A, Setting.V)


@dataclass(frozen=True)
class SampleSpec:
    """What is asked, and how. All of it is part of the stage's identity."""

    prompt: str = "cot@1"
    n: int = 8
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    ablation: Ablation = "drop"
    interleaved: bool = False
    early_exit: bool = True
    tau_acc: float = 0.75
    media: DecodeSpec = field(default_factory=DecodeSpec)


@dataclass
class _Asked:
    """One setting of one question so far."""

    responses: list[dict[str, Any]] = field(default_factory=list)
    right: int = 0
    prompt_tokens: int | None = None
    audio_tokens: int | None = None
    video_tokens: int | None = None
    done: bool = False


@dataclass
class _Unit:
    """One question × {AV, A, V} in flight."""

    row: Row
    clip: Future[DecodedClip]
    asked: dict[Setting, _Asked] = field(default_factory=dict)
    in_flight: int = 0
    dead: Dead | None = None


class ClipCache:
    """Decodes clips ahead in worker threads, each decode an ffmpeg child; a clip is decoded once.

    Clips in use are held; of the others the most recently used stay until ``max_bytes``.
    """

    def __init__(self, root: Path, spec: DecodeSpec, workers: int, max_bytes: int = 1 << 30) -> None:
        self.root = root
        self.spec = spec
        self.max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._clips: OrderedDict[tuple[str, Any, Any], Future[DecodedClip]] = OrderedDict()
        self.decoded = 0

    def get(self, row: Row) -> Future[DecodedClip]:
        """The clip of a row, decoding or decoded."""
        key = (row["media"], row["start"], row["end"])
        future = self._clips.get(key)
        if future is None:
            self.decoded += 1
            future = self._pool.submit(decode, self.root / key[0], self.spec, key[1], key[2])
            self._clips[key] = future
        self._clips.move_to_end(key)
        self._trim()
        return future

    def _trim(self) -> None:
        held = 0
        for key, future in reversed(list(self._clips.items())):
            if not future.done():
                continue
            held += future.result().nbytes if future.exception() is None else 0
            if held > self.max_bytes:
                del self._clips[key]

    def close(self) -> None:
        """Stop decoding ahead."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class SampleStage(Stage):
    """Columns added: ``schema.SAMPLE``.

    Args:
        engine: the model that answers.
        spec: what is asked and how.
        media_root: folder that ``media`` paths are relative to.
        workers: clips decoded at the same time.
    """

    name = "sample"
    version = 1

    def __init__(self, engine: Engine, spec: SampleSpec, media_root: Path, workers: int = 2) -> None:
        self.engine = engine
        self.spec = spec
        self.media_root = media_root
        self.workers = workers
        self.output = arrow_schema("sample")
        self.prompt = get_prompt(spec.prompt)
        self.generated_tokens = 0

    def identity(self) -> dict[str, Any]:
        """Engine, prompt, sampling, ablation, media decoding and early exit."""
        spec = asdict(self.spec) | {"prompt": self.prompt.name}
        limits = ("timeout_s", "memory_mb", "max_bytes")
        spec["media"] = {k: v for k, v in spec["media"].items() if k not in limits}
        if not self.spec.early_exit:
            # exhaustive sampling does not look at correctness
            spec.pop("tau_acc")
        return {"engine": self.engine.identity(), **spec}

    def setup(self) -> None:
        """Load the engine and prove that it hears and sees."""
        self.engine.setup()
        check_hearing(self.engine)

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Stream units through the engine; see :class:`_Units`."""
        clips = ClipCache(self.media_root, self.spec.media, self.workers)
        units = _Units(self, rows, clips, log)
        try:
            yield from units.finished()
            for answer in self.engine.generate(units):
                units.settle(answer)
                yield from units.finished()
            yield from units.finished()
        finally:
            clips.close()


class _Units:
    """The source of requests: decodes ahead, asks AV, then A and V where it still matters."""

    def __init__(self, stage: SampleStage, rows: Iterator[Row], clips: ClipCache, log: WorkLog) -> None:
        self.stage = stage
        self.spec = stage.spec
        self.rows = rows
        self.clips = clips
        self.log = log
        self.ahead: deque[_Unit] = deque()
        self.ready: deque[Callable[[], Request]] = deque()
        self.units: dict[str, _Unit] = {}
        self.outcomes: list[tuple[str, Outcome]] = []
        self.window = 2 * stage.workers + 2

    def take(self, wait: bool) -> Request | None:
        """The next request; with ``wait``, blocks on decoding rather than give up."""
        while True:
            if self.ready:
                return self.ready.popleft()()
            if self.outcomes:
                # let the runner have finished rows before more are pulled
                return None
            self._look_ahead()
            if not self.ahead:
                return None
            if not wait and not self.ahead[0].clip.done():
                return None
            self._begin(self.ahead.popleft())

    def _look_ahead(self) -> None:
        while len(self.ahead) < self.window:
            row = next(self.rows, None)
            if row is None:
                return
            self.ahead.append(_Unit(row, self.clips.get(row)))

    def _begin(self, unit: _Unit) -> None:
        row_id = unit.row["question_id"]
        try:
            clip = unit.clip.result()
        except RowError as e:
            self.outcomes.append((row_id, Dead(e.reason, e.message, e.hint)))
            return
        for missing, reason in ((clip.audio, "no_audio_track"), (clip.frames, "no_video_track")):
            if missing is None:
                message = f"{unit.row['media']} has {reason.replace('_', ' ')}: its modality cannot be told."
                self.outcomes.append((row_id, Filtered(reason, message)))
                return
        self.units[row_id] = unit
        self._recall(unit)
        self._advance(unit)

    def _recall(self, unit: _Unit) -> None:
        """Take up responses that an earlier process journaled."""
        held = self.log.get(unit.row["question_id"])
        for setting in (*FIRST, *LATER):
            while (entry := held.get(f"{setting}/{len(self._asked(unit, setting).responses)}")) is not None:
                self._absorb(unit, setting, entry)

    def _asked(self, unit: _Unit, setting: Setting) -> _Asked:
        return unit.asked.setdefault(setting, _Asked())

    def _advance(self, unit: _Unit) -> None:
        """Ask what is still wanted of a unit, or finish it."""
        if unit.dead is None:
            stages = FIRST if not self._asked(unit, Setting.AV).done else LATER
            wanted = [s for s in stages if not self._asked(unit, s).done]
            if wanted == [] and stages == FIRST:
                wanted = [s for s in LATER if not self._asked(unit, s).done]
            if stages == LATER and self.spec.early_exit and not self._open(unit, Setting.AV):
                wanted = []
            for setting in wanted:
                self._ask(unit, setting)
        if unit.in_flight == 0:
            self._finish(unit)

    def _open(self, unit: _Unit, setting: Setting) -> bool:
        """Whether a setting can still be solved."""
        asked = self._asked(unit, setting)
        return can_reach(asked.right, len(asked.responses), self.spec.n, self.spec.tau_acc)

    def _ask(self, unit: _Unit, setting: Setting) -> None:
        unit.in_flight += 1
        first = len(self._asked(unit, setting).responses)
        size = self._wave(self._asked(unit, setting)) if self.spec.early_exit else self.spec.n - first
        self.ready.append(lambda: self._request(unit, setting, first, size))

    def _wave(self, asked: _Asked) -> int:
        """How many responses to ask for next: as few as can settle the matter, but at least half of the rest."""
        left = self.spec.n - len(asked.responses)
        slack = self.spec.n - needed(self.spec.tau_acc, self.spec.n) - (len(asked.responses) - asked.right)
        size = slack + 1 if not asked.responses else max(slack + 1, (left + 1) // 2)
        return min(left, size)

    def _request(self, unit: _Unit, setting: Setting, first: int, size: int) -> Request:
        row, clip = unit.row, unit.clip.result()
        audio, frames = show(clip, setting, self.spec.ablation)
        return Request(
            key=f"{row['question_id']}/{setting}/{first}",
            prompt=self.stage.prompt.render(row["question"], row["choices"]),
            audio=audio,
            frames=frames,
            fps=clip.fps,
            n=size,
            seed=derive_seed(self.spec.seed, row["question_id"], setting) + first,
            sampling=self.spec.sampling,
            interleaved=self.spec.interleaved and audio is not None and frames is not None,
            media_id=clip.sha256,
        )

    def settle(self, answer: Reply | Failure) -> None:
        """Take one reply of the engine."""
        row_id, name, _ = answer.key.split("/")
        setting, unit = Setting(name), self.units[row_id]
        unit.in_flight -= 1
        if isinstance(answer, Failure):
            unit.dead = unit.dead or Dead(answer.reason, answer.message, answer.hint, name)
        else:
            wrong = self._not_delivered(unit, setting, answer)
            if wrong:
                hint = "Run `avcurate doctor`: an engine that loses a modality cannot be used for labels."
                unit.dead = unit.dead or Dead("modality_not_delivered", wrong, hint, name)
            else:
                entry = {
                    "responses": [asdict(r) for r in answer.responses],
                    "prompt_tokens": answer.prompt_tokens,
                    "audio_tokens": answer.audio_tokens,
                    "video_tokens": answer.video_tokens,
                }
                self.log.put(row_id, f"{name}/{len(self._asked(unit, setting).responses)}", entry)
                self._absorb(unit, setting, entry)
        self._advance(unit)

    def _not_delivered(self, unit: _Unit, setting: Setting, reply: Reply) -> str:
        """What is wrong with the tokens the model received, if anything."""
        if not self.stage.engine.perceives and reply.audio_tokens < 0 and reply.video_tokens < 0:
            return ""
        row, clip = unit.row, unit.clip.result()
        audio, frames = show(clip, setting, self.spec.ablation)
        request = Request("", "", audio, frames, clip.fps, 1, 0, self.spec.sampling, self.spec.interleaved)
        wanted = self.stage.engine.expected_tokens(request)
        for name, given, got, index in (
            ("audio", audio, reply.audio_tokens, 0),
            ("video", frames, reply.video_tokens, 1),
        ):
            if given is None and got > 0:
                return f"{row['media']} under {setting}: {got} {name} tokens were received but none were sent."
            if given is not None and got == 0:
                return f"{row['media']} under {setting}: the {name} was sent but no {name} token was received."
            if wanted is not None and got >= 0 and got != wanted[index]:
                return (
                    f"{row['media']} under {setting}: {got} {name} tokens were received, "
                    f"{wanted[index]} were sent."
                )
            for other in (Setting.AV, Setting.A, Setting.V):
                before = getattr(self._asked(unit, other), f"{name}_tokens")
                if given is not None and before and got > 0 and before != got:
                    return (
                        f"{row['media']}: {got} {name} tokens were received under {setting} "
                        f"but {before} under {other}."
                    )
        return ""

    def _absorb(self, unit: _Unit, setting: Setting, entry: dict[str, Any]) -> None:
        asked, row = self._asked(unit, setting), unit.row
        asked.responses += entry["responses"]
        asked.prompt_tokens = entry["prompt_tokens"]
        asked.audio_tokens = entry["audio_tokens"]
        asked.video_tokens = entry["video_tokens"]
        for response in entry["responses"]:
            asked.right += is_correct(parse_answer(response["text"], row["choices"]), row["answer"])
            self.stage.generated_tokens += response["tokens"]
        asked.done = len(asked.responses) >= self.spec.n or (
            self.spec.early_exit and not self._open(unit, setting)
        )

    def _finish(self, unit: _Unit) -> None:
        row_id = unit.row["question_id"]
        self.units.pop(row_id, None)
        if unit.dead is not None:
            self.outcomes.append((row_id, unit.dead))
            return
        clip = unit.clip.result()
        added: Row = {
            "media_sha256": clip.sha256,
            "duration": clip.duration,
            "engine": self.stage.engine.name,
        }
        for setting in Setting:
            asked = self._asked(unit, setting)
            added |= {
                f"{setting}_responses": asked.responses,
                f"{setting}_asked": len(asked.responses),
                f"{setting}_prompt_tokens": asked.prompt_tokens,
                f"{setting}_audio_tokens": asked.audio_tokens,
                f"{setting}_video_tokens": asked.video_tokens,
            }
        self.outcomes.append((row_id, Kept(added)))

    def finished(self) -> Iterator[tuple[str, Outcome]]:
        """Outcomes since the last call."""
        done, self.outcomes = self.outcomes, []
        yield from done
