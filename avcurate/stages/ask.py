"""Asks every question under a list of conditions, for evaluation: A, V, AV, and AV with a forced PEM.

Like the sampling stage it believes responses only between two passed canaries; unlike it, it knows no thresholds:
every condition is asked in full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from avcurate.engines.base import Engine, Failure, Reply, Request
from avcurate.engines.canary import NotHearing, check_hearing
from avcurate.errors import RowError
from avcurate.media.ablate import show
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodedClip
from avcurate.metrics.answers import is_correct
from avcurate.metrics.evaluation import read_answer
from avcurate.metrics.pem import pem_of, said_pem
from avcurate.prompts import get_prompt
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row, Stage, WorkLog
from avcurate.schema import PEM, Setting, arrow_schema
from avcurate.seeds import derive_seed
from avcurate.stages.sample_spec import SampleSpec

RECHECK_EVERY = 64


@dataclass(frozen=True)
class Condition:
    """What is shown, and the PEM that the response is made to begin with, if any (SFFL Table 2)."""

    name: str
    setting: Setting
    pem: PEM | None = None

    @property
    def prefix(self) -> str:
        """What the response begins with."""
        return f"<mod>{self.pem}</mod>" if self.pem else ""


CONDITIONS: dict[str, Condition] = {
    **{str(s): Condition(str(s), s) for s in Setting},
    **{f"av+{p}": Condition(f"av+{p}", Setting.AV, p) for p in PEM},
}


@dataclass
class _Open:
    row: Row
    clip: Future[DecodedClip]
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending: int = 0
    dead: Dead | None = None
    unlogged: list[str] = field(default_factory=list)


class AskStage(Stage):
    """Columns added: ``schema.EVAL``."""

    name = "eval"
    version = 1

    def __init__(
        self, engine: Engine, spec: SampleSpec, conditions: list[Condition], media_root: Path, workers: int = 2
    ) -> None:
        self.engine = engine
        self.spec = spec
        self.conditions = conditions
        self.media_root = media_root
        self.workers = workers
        self.output = arrow_schema("eval")

    def identity(self) -> dict[str, Any]:
        """Engine, prompt, sampling, conditions, and how media are decoded."""
        spec = asdict(self.spec) | {"prompt": get_prompt(self.spec.prompt).name}
        limits = ("timeout_s", "memory_mb", "max_bytes")
        spec["media"] = {k: v for k, v in spec["media"].items() if k not in limits}
        del spec["tau_acc"], spec["early_exit"]
        return {"engine": self.engine.identity(), "conditions": [c.name for c in self.conditions], **spec}

    def setup(self) -> None:
        """Load the engine and prove that it hears and sees.

        Raises:
            NotHearing: a modality does not reach the model.
        """
        self.engine.setup()
        check_hearing(self.engine, self.spec.interleaved)

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Stream requests through the engine; hand rows on after each passed canary.

        Raises:
            NotHearing: a canary failed during the run; the rows since the last one are dead.
        """
        clips = ClipCache(self.media_root, self.spec.media, self.workers)
        source = _Source(self, rows, clips, log)
        try:
            while True:
                for reply in self.engine.generate(source):
                    source.settle(reply)
                    if source.unbelieved >= RECHECK_EVERY:
                        yield from self._believe(source)
                yield from self._believe(source)
                if source.exhausted:
                    return
        finally:
            clips.close()

    def _believe(self, source: _Source) -> Iterator[tuple[str, Outcome]]:
        try:
            if source.unbelieved:
                check_hearing(self.engine, self.spec.interleaved)
        except NotHearing as e:
            for row_id in source.doubtful():
                yield row_id, Dead("modality_not_delivered", e.message, e.hint)
            raise
        yield from source.release()


class _Source:
    """Where the engine takes requests from, and where its replies go."""

    def __init__(self, stage: AskStage, rows: Iterator[Row], clips: ClipCache, log: WorkLog) -> None:
        self.stage, self.rows, self.clips, self.log = stage, rows, clips, log
        self.prompt = get_prompt(stage.spec.prompt)
        self.unbelieved = 0
        self._ahead: deque[_Open] = deque()
        self._ready: deque[Request] = deque()
        self._open: dict[str, _Open] = {}
        self._done: list[tuple[str, Outcome]] = []
        self._ended = False

    @property
    def exhausted(self) -> bool:
        """Whether every row has been taken and answered."""
        return self._ended and not (self._ahead or self._ready or self._open or self._done)

    def take(self, wait: bool) -> Request | None:
        """The next request; with ``wait`` it blocks on decoding rather than give up."""
        while not self._ready:
            # rows that need no asking are handed on as well
            if len(self._done) > 64:
                return None
            while len(self._ahead) < 8 and not self._ended:
                row = next(self.rows, None)
                if row is None:
                    self._ended = True
                else:
                    self._ahead.append(_Open(row, self.clips.get(row["media"], row["start"], row["end"])))
            if not self._ahead or not (wait or self._ahead[0].clip.done()):
                return None
            self._begin(self._ahead.popleft())
        return self._ready.popleft()

    def _begin(self, one: _Open) -> None:
        row_id = str(one.row["question_id"])
        try:
            self.stage.engine.refuse_special(one.row["question"], *one.row["choices"])
            clip = one.clip.result()
        except RowError as e:
            self._done.append((row_id, Dead(e.reason, e.message, e.hint)))
            return
        shown = {c.setting for c in self.stage.conditions}
        for track, wants in ((clip.audio, any(s.audio for s in shown)), (clip.frames, any(s.video for s in shown))):
            if track is None and wants:
                reason = "no_audio_track" if track is clip.audio else "no_video_track"
                self._done.append((row_id, Filtered(reason, f"{one.row['media']} lacks what the conditions show.")))
                return
        held = self.log.get(row_id)
        self._open[row_id] = one
        for condition in self.stage.conditions:
            if condition.name in held:
                one.replies[condition.name] = held[condition.name]
            else:
                one.pending += 1
                self._ready.append(self._request(one, condition))
        self._finish(row_id)

    def _request(self, one: _Open, condition: Condition) -> Request:
        spec, row, clip = self.stage.spec, one.row, one.clip.result()
        audio, frames = show(clip, condition.setting, spec.ablation)
        return Request(
            key=f"{row['question_id']}/{condition.name}/0",
            prompt=self.prompt.render(row["question"], row["choices"]),
            audio=audio,
            frames=frames,
            fps=clip.fps,
            n=spec.n,
            # the setting's seed: a forced PEM is compared with the free one under the same draws
            seed=derive_seed(spec.seed, row["question_id"], condition.setting),
            sampling=spec.sampling,
            interleaved=spec.interleaved and audio is not None and frames is not None,
            media_id=clip.sha256,
            prefix=condition.prefix,
        )

    def settle(self, reply: Reply | Failure) -> None:
        """Take one reply of the engine."""
        row_id, name, _ = reply.key.split("/")
        one = self._open[row_id]
        one.pending -= 1
        self.unbelieved += 1
        condition = CONDITIONS[name]
        if isinstance(reply, Failure):
            one.dead = one.dead or Dead(reply.reason, reply.message, reply.hint, name)
        elif len(reply.responses) != self.stage.spec.n:
            message = f"{len(reply.responses)} of {self.stage.spec.n} responses came back."
            one.dead = one.dead or Dead("responses_missing", message, "Run the command again.", name)
        elif (wrong := self._undelivered(one, condition, reply)) is not None:
            one.dead = one.dead or Dead("modality_not_delivered", wrong, "Run `avcurate doctor`.", name)
        else:
            one.replies[name] = {
                "texts": [condition.prefix + r.text for r in reply.responses],
                "prompt_tokens": reply.prompt_tokens,
                "audio_tokens": reply.audio_tokens,
                "video_tokens": reply.video_tokens,
            }
            one.unlogged.append(name)
        self._finish(row_id)

    def _undelivered(self, one: _Open, condition: Condition, reply: Reply) -> str | None:
        if reply.audio_tokens < 0 and reply.video_tokens < 0:
            return None
        request = self._request(one, condition)
        wanted = self.stage.engine.expected_tokens(request)
        counts = (("audio", request.audio, reply.audio_tokens), ("video", request.frames, reply.video_tokens))
        for i, (name, given, got) in enumerate(counts):
            if got >= 0 and ((given is not None) != (got > 0) or (wanted is not None and got != wanted[i])):
                return f"{one.row['media']} under {condition.name}: {got} {name} tokens were received."
        return None

    def _finish(self, row_id: str) -> None:
        one = self._open[row_id]
        if one.pending:
            return
        del self._open[row_id]
        if one.dead is not None:
            self._done.append((row_id, one.dead))
            return
        clip, row = one.clip.result(), one.row
        pem = pem_of(row["stated_modality"])
        asked = []
        for condition in self.stage.conditions:
            reply = one.replies[condition.name]
            answers = [read_answer(t, row["choices"]) for t in reply["texts"]]
            named = [said_pem(t) for t in reply["texts"]]
            asked.append(
                reply
                | {
                    "condition": condition.name,
                    "answers": answers,
                    "correct": [is_correct(a, row["answer"]) for a in answers],
                    "pems": [None if p is None else str(p) for p in named],
                }
            )
        added: Row = {
            "media_sha256": clip.sha256,
            "duration": clip.duration,
            "engine": self.stage.engine.name,
            "pem": None if pem is None else str(pem),
            "asked": asked,
        }
        self._done.append((row_id, Kept(added)))

    def _log(self, row_id: str, one: _Open) -> None:
        for name in one.unlogged:
            self.log.put(row_id, name, one.replies[name])
        one.unlogged.clear()

    def release(self) -> Iterator[tuple[str, Outcome]]:
        """What was answered since the last canary is now believed."""
        self.unbelieved = 0
        for row_id, one in self._open.items():
            self._log(row_id, one)
        done, self._done = self._done, []
        yield from done

    def doubtful(self) -> list[str]:
        """Rows with answers since the last canary."""
        kept = [row_id for row_id, outcome in self._done if isinstance(outcome, Kept)]
        return kept + [row_id for row_id, one in self._open.items() if one.unlogged]
