"""What is in the picture: stored detections, and object sets derived from them."""

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


class DetectStage(Stage):
    """Columns added: ``schema.DETECTION``. Frames of several clips share a batch; each clip is decoded once.

    Args:
        detector: the model.
        media_root: folder of the clips.
        run: run directory for contact sheets; ``None`` draws none.
        frames: frames per clip, spread evenly over its first ``seconds``.
        floor: minimum score stored.
        batch: frames per forward pass.
        workers: clips decoded in parallel.
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
        """Decode ahead, fill batches across clips, and yield each clip once all its frames are done."""
        # this rate is never reached, so the cap spreads frames over the whole length
        spec = DecodeSpec(fps=1000.0, max_frames=self.frames, max_pixels=800 * 800, max_seconds=self.seconds)
        clips = ClipCache(self.media_root, spec, self.workers)
        pending: deque[tuple[Row, Any]] = deque()
        group: list[tuple[Row, DecodedClip]] = []
        isolation = Isolation()

        def flush() -> Iterator[tuple[str, Outcome]]:
            outcomes = tried(group, self._detect, isolation)
            return zip([self.row_id(row) for row, _ in group], outcomes, strict=True)

        try:
            while True:
                while len(pending) < clips.ahead() and (row := next(rows, None)) is not None:
                    pending.append((row, clips.get(row["media"], None, None)))
                if not pending:
                    break
                row, future = pending.popleft()
                clip = guarded(isolation, future.result)
                if isinstance(clip, Dead):
                    yield self.row_id(row), clip
                    continue
                if clip.frames is None:
                    yield self.row_id(row), Filtered("no_video_track", f"{row['media']} has no picture.")
                    continue
                group.append((row, clip))
                if len(group) * self.frames >= self.batch:
                    yield from flush()
                    group = []
            yield from flush()
        finally:
            clips.close()

    def _detect(self, group: list[tuple[Row, DecodedClip]]) -> list[Outcome]:
        frames = [f for _, clip in group for f in clip.frames[: self.frames]]  # type: ignore[index]
        by_frame: list[list[Detection]] = []
        # frames of one size share a forward pass
        for start in range(0, len(frames), self.batch):
            by_frame += self.detector.detect(frames[start : start + self.batch], self.floor)
        outcomes, offset = list[Outcome](), 0
        for row, clip in group:
            assert clip.frames is not None
            clip_frames = clip.frames[: self.frames]
            detections = by_frame[offset : offset + len(clip_frames)]
            offset += len(clip_frames)
            added = {
                "media_sha256": clip.sha256,
                "frames": len(clip_frames),
                "frame_height": clip_frames.shape[1],
                "frame_width": clip_frames.shape[2],
                "detections": [
                    {"frame": i, "label": d.label, "score": d.score, "box": list(d.box)}
                    for i, boxes in enumerate(detections)
                    for d in boxes
                ],
                "sheet": self._sheet(self.row_id(row), clip_frames, detections),
            }
            outcomes.append(Kept(added))
        return outcomes

    def _sheet(self, clip_id: str, frames: Any, detections: list[list[Detection]]) -> str | None:
        if self.run is None:
            return None
        # clip ids are untrusted, so files are named by their hash
        relative_path = f"sheets/{hashlib.sha256(clip_id.encode()).hexdigest()[:16]}.jpg"
        draw_sheet(self.run / relative_path, frames, detections)
        return relative_path


class ObjectsStage(Stage):
    """Columns added: ``schema.OBJECTS``. Needs no detector: another threshold takes seconds."""

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
        """Map classes and detections to one vocabulary, and unite them over all frames."""
        for row in rows:
            labels = sorted({d["label"] for d in row["detections"] if d["score"] >= self.threshold})
            annotated = {c: self.vocabulary.objects_of_class(c) for c in row["labels"]}
            detected = {x: self.vocabulary.objects(x) for x in labels}
            object_sets = [frozenset().union(*m.values()) for m in (annotated, detected)]
            yield (
                self.row_id(row),
                Kept(
                    {
                        "annotated": sorted(object_sets[0]),
                        "detected": sorted(object_sets[1]),
                        "objects": sorted(object_sets[0] | object_sets[1]),
                        "unmapped": [name for m in (annotated, detected) for name, matches in m.items() if not matches],
                        "threshold": self.threshold,
                    }
                ),
            )
