"""What is in the picture: detections as stored evidence, and object sets from them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcurate.engines.detector import Detection, Detector
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodedClip, DecodeSpec
from avcurate.metrics.vocabulary import Vocabulary
from avcurate.report.sheet import draw_sheet
from avcurate.runner.isolate import Isolation, guarded, tried
from avcurate.runner.stage import Dead, Filtered, Kept, Outcome, Row, Stage, WorkLog
from avcurate.schema import DETECTION, OBJECTS, columns_schema

AHEAD = 8


class DetectStage(Stage):
    """Columns added: ``schema.DETECTION``. Frames of several clips share a batch; each clip is decoded once.

    Args:
        detector: the model.
        media_root: folder of the clips.
        run: run directory, for contact sheets; ``None`` draws none.
        frames: frames a clip, spread evenly over its first ``seconds``.
        floor: least score stored.
        batch: frames in one forward pass.
        workers: clips decoded at the same time.
    """

    name = "detect"
    version = 1
    key = "clip_id"

    def __init__(
        self,
        detector: Detector,
        media_root: Path,
        run: Path | None = None,
        *,
        frames: int = 10,
        seconds: float = 10.0,
        floor: float = 0.3,
        batch: int = 40,
        workers: int = 2,
    ) -> None:
        self.detector = detector
        self.media_root = media_root
        self.run = run
        self.frames = frames
        self.seconds = seconds
        self.floor = floor
        self.batch = batch
        self.workers = workers
        self.adds = columns_schema("detect", DETECTION)

    def identity(self) -> dict[str, Any]:
        """Detector, frames, seconds and floor."""
        return {**self.detector.identity(), "frames": self.frames, "seconds": self.seconds, "floor": self.floor}

    def setup(self) -> None:
        """Load the detector."""
        self.detector.setup()

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Decode ahead, fill batches across clips, hand each clip on when all its frames are done."""
        # a rate this high is never reached: the cap on frames spreads them over the length
        spec = DecodeSpec(fps=1000.0, max_frames=self.frames, max_pixels=800 * 800, max_seconds=self.seconds)
        clips = ClipCache(self.media_root, spec, self.workers)
        waiting: deque[tuple[Row, Any]] = deque()
        group: list[tuple[Row, DecodedClip]] = []
        isolation = Isolation()

        def detected() -> Iterator[tuple[str, Outcome]]:
            outcomes = tried(group, self._detect, isolation)
            return zip([self.row_id(row) for row, _ in group], outcomes, strict=True)

        try:
            while True:
                while len(waiting) < AHEAD and (row := next(rows, None)) is not None:
                    waiting.append((row, clips.get(row["media"], None, None)))
                if not waiting:
                    break
                row, future = waiting.popleft()
                clip = guarded(isolation, future.result)
                if isinstance(clip, Dead):
                    yield self.row_id(row), clip
                    continue
                if clip.frames is None:
                    yield self.row_id(row), Filtered("no_video_track", f"{row['media']} has no picture.")
                    continue
                group.append((row, clip))
                if len(group) * self.frames >= self.batch:
                    yield from detected()
                    group = []
            yield from detected()
        finally:
            clips.close()

    def _detect(self, group: list[tuple[Row, DecodedClip]]) -> list[Outcome]:
        frames = [f for _, clip in group for f in clip.frames[: self.frames]]  # type: ignore[index]
        found: list[list[Detection]] = []
        # frames of one size share a forward pass
        for start in range(0, len(frames), self.batch):
            found += self.detector.detect(frames[start : start + self.batch], self.floor)
        outcomes, at = list[Outcome](), 0
        for row, clip in group:
            assert clip.frames is not None
            mine = clip.frames[: self.frames]
            detections = found[at : at + len(mine)]
            at += len(mine)
            added = {
                "media_sha256": clip.sha256,
                "frames": len(mine),
                "frame_height": mine.shape[1],
                "frame_width": mine.shape[2],
                "detections": [
                    {"frame": i, "label": d.label, "score": d.score, "box": list(d.box)}
                    for i, one in enumerate(detections)
                    for d in one
                ],
                "sheet": self._sheet(self.row_id(row), mine, detections),
            }
            outcomes.append(Kept(added))
        return outcomes

    def _sheet(self, clip_id: str, frames: Any, detections: list[list[Detection]]) -> str | None:
        if self.run is None:
            return None
        # a clip's id is a name from outside: its hash is the file's name
        name = f"sheets/{hashlib.sha256(clip_id.encode()).hexdigest()[:16]}.jpg"
        draw_sheet(self.run / name, frames, detections)
        return name


class ObjectsStage(Stage):
    """Columns added: ``schema.OBJECTS``. Needs no detector: another threshold is a matter of seconds."""

    name = "objects"
    version = 1
    key = "clip_id"
    cheap = True

    def __init__(self, vocabulary: Vocabulary, threshold: float = 0.9) -> None:
        self.vocabulary = vocabulary
        self.threshold = threshold
        self.adds = columns_schema("objects", OBJECTS)

    def identity(self) -> dict[str, Any]:
        """The threshold."""
        return {"threshold": self.threshold}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """Classes and detections onto one vocabulary, their union over all frames."""
        for row in rows:
            labels = sorted({d["label"] for d in row["detections"] if d["score"] >= self.threshold})
            annotated = {c: self.vocabulary.objects_of_class(c) for c in row["labels"]}
            detected = {x: self.vocabulary.objects(x) for x in labels}
            nodes = [frozenset().union(*m.values()) for m in (annotated, detected)]
            yield (
                self.row_id(row),
                Kept(
                    {
                        "annotated": sorted(nodes[0]),
                        "detected": sorted(nodes[1]),
                        "objects": sorted(nodes[0] | nodes[1]),
                        "unmapped": [name for m in (annotated, detected) for name, found in m.items() if not found],
                        "threshold": self.threshold,
                    }
                ),
            )
