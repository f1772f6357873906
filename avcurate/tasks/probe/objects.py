"""Tokens at which something known is seen or heard: boxes, masks and stretches of time laid on the tokens of a prompt.

The rule is crossmodal-hub's (§3.2 and its release): a cell of the video tokens' grid is an object token where
the object covers more than a fifth of it in both frames of the pair; sound tokens are those of important stretches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.errors import UserError
from avcurate.media.folder import refuse_name
from avcurate.runner.rundir import RunDir
from avcurate.sources.records import read_records
from avcurate.store.digest import file_digest

COVERED = 0.2
"""Share of a cell that an object covers, at least (the release's "high")."""
BRIGHT = 20
"""Grey value above which a pixel of a mask counts."""
RASTER = 20
"""Points per side of a cell at which boxes are sampled."""
EXAMPLE = '{"clip": "a.mp4", "boxes": [{"at": 0.5, "box": [0.1, 0.2, 0.6, 0.9]}], "seconds": [[2, 4]]}'

Box = tuple[float, float, float, float]
Cover = Callable[[int, int], NDArray[np.float64]]


@dataclass
class Located:
    """Where things are in one clip.

    Attributes:
        boxes: by time in seconds, (x0, y0, x1, y1) in parts of the frame; masks: by time, files of grey pictures.
        seconds: stretches of important sound.
        examined: where set, times are parts of the clip's first so many seconds.
    """

    boxes: dict[float, list[Box]] = field(default_factory=dict)
    masks: dict[float, list[Path]] = field(default_factory=dict)
    seconds: list[tuple[float, float]] = field(default_factory=list)
    examined: float | None = None

    def timed(self, duration: float) -> Located:
        """The same in seconds of a clip of that length."""
        if self.examined is None:
            return self
        length = min(self.examined, duration)
        return Located({part * length: found for part, found in self.boxes.items()})


class Objects:
    """Where things are in each clip.

    Args:
        source: a run of ``avcurate objects``, or a table with ``clip`` and any of ``boxes``, ``masks`` and ``seconds``;
            masks are files beside the table.

    Raises:
        UserError: it is neither, or a record is not of that form.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self._of: dict[str, Located] = {}
        for name, located in _from_run(RunDir(source)) if source.is_dir() else _from_table(source):
            self._of.setdefault(_stem(name), located)

    def identity(self) -> dict[str, Any]:
        """What the positions depend on."""
        if self.source.is_dir():
            record = RunDir(self.source).record()
            return {"objects": record["stages"]["objects"]["identity"]}
        return {"objects": file_digest(self.source)}

    def of(self, media: str, duration: float) -> Located | None:
        """What is known of a clip of so many seconds."""
        located = self._of.get(_stem(media))
        return None if located is None else located.timed(duration)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem if PurePosixPath(name).suffix else name


def _from_run(run: RunDir) -> Iterator[tuple[str, Located]]:
    record = run.require("objects", made_by="objects")
    seconds = float(record["recipe"]["seconds"])
    columns = ["media", "frames", "frame_height", "frame_width", "detections", "threshold"]
    for table in run.parts("objects").rows(columns=columns):
        for row in table.to_pylist():
            size = (row["frame_width"], row["frame_height"])
            # frames are spread evenly over what was examined
            located = Located({i / row["frames"]: [] for i in range(row["frames"])}, examined=seconds)
            for d in row["detections"]:
                if d["score"] >= row["threshold"]:
                    x0, y0, x1, y1 = (float(v) / size[i % 2] for i, v in enumerate(d["box"]))
                    located.boxes[d["frame"] / row["frames"]].append((x0, y0, x1, y1))
            yield row["media"], located


def _from_table(path: Path) -> Iterator[tuple[str, Located]]:
    for record in read_records(path):
        value = record.value or {}
        try:
            yield str(value["clip"]), _located(value, path.parent)
        except (KeyError, TypeError, ValueError):
            raise UserError(
                f"{path}, record {record.row}: it needs clip, and boxes, masks or seconds.", f"For example {EXAMPLE}."
            ) from None


def _located(value: dict[str, Any], folder: Path) -> Located:
    located = Located()
    for entry in value.get("boxes", []):
        x0, y0, x1, y1 = (float(v) for v in entry["box"])
        if not all(math.isfinite(v) for v in (x0, y0, x1, y1)):
            raise ValueError
        located.boxes.setdefault(_time(entry["at"]), []).append((x0, y0, x1, y1))
    for entry in value.get("masks", []):
        refuse_name(entry["file"])
        located.masks.setdefault(_time(entry["at"]), []).append(folder / entry["file"])
    located.seconds = [(_time(a), _time(b)) for a, b in value.get("seconds", [])]
    if not (located.boxes or located.masks or located.seconds):
        raise ValueError
    return located


def _time(value: Any) -> float:
    seconds = float(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError
    return seconds


def video_cells(located: Located, grid: tuple[int, int, int], fps: float, pair: int = 2) -> NDArray[np.bool_]:
    """Which video tokens are of an object: bool (T · H · W,), in the order of the tokens.

    Args:
        located: of the clip.
        grid: pairs of frames, rows and columns of tokens.
        fps: frames per second; pair: frames that share a token.

    A frame has the boxes of the time nearest to its own.
    """
    pairs, rows, columns = grid
    times = sorted({*located.boxes, *located.masks})
    if not times:
        return np.zeros(pairs * rows * columns, bool)
    known: dict[float, NDArray[np.bool_]] = {}
    cells = np.ones((pairs, rows, columns), bool)
    for t in range(pairs):
        for k in range(pair):
            at = min(times, key=lambda x: abs(x - (t * pair + k) / fps))
            if at not in known:
                known[at] = _covered(located, at, rows, columns) > COVERED
            cells[t] &= known[at]
    return cells.reshape(-1)


def _covered(located: Located, at: float, rows: int, columns: int) -> NDArray[np.float64]:
    """Share of each cell that is covered, (rows, columns)."""
    raster = np.zeros((rows * RASTER, columns * RASTER), bool)
    y = (np.arange(rows * RASTER) + 0.5) / (rows * RASTER)
    x = (np.arange(columns * RASTER) + 0.5) / (columns * RASTER)
    for x0, y0, x1, y1 in located.boxes.get(at, []):
        raster |= ((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None]
    for file in located.masks.get(at, []):
        raster |= _mask(file, raster.shape)
    return np.asarray(raster.reshape(rows, RASTER, columns, RASTER).mean((1, 3)))


def _mask(file: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    from PIL import Image

    try:
        with Image.open(file, formats=("PNG", "JPEG")) as picture:
            grey = picture.convert("L").resize((shape[1], shape[0]), Image.Resampling.NEAREST)
    except (OSError, ValueError, Image.DecompressionBombError) as e:
        raise UserError(f"the mask {file} cannot be read: {e}.", "Give a PNG of the frame's shape.") from None
    return np.asarray(grey) > BRIGHT


def sound_blocks(located: Located, tokens: int, seconds: float) -> NDArray[np.bool_]:
    """Which sound tokens lie in an important stretch, by their middle: bool (tokens,)."""
    middle = (np.arange(tokens) + 0.5) * seconds / max(1, tokens)
    chosen = np.zeros(tokens, bool)
    for begin, end in located.seconds:
        chosen |= (middle >= begin) & (middle < end)
    return chosen
