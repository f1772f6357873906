"""Where a prompt's sinks lie: cells marked on the frames, and moments on the waveform."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.errors import AvcurateError
from avcurate.media.decode import DecodedClip, DecodeSpec, decode
from avcurate.runner.rundir import RunDir
from avcurate.store.atomic import write_atomic

COLORS = {"cross": "#059669", "uni": "#b91c1c", "object": "#d97706"}
"""Of cross-modal sinks, uni-modal sinks, and (a dot) those at which something known is seen or heard."""
FOLDER = "sinks"
COLUMNS, TILE, WAVE = 5, 224, 90
BARS = 240


def picture_of(run: RunDir, question: str) -> Path:
    """Where the picture of a row is kept."""
    return run.root / FOLDER / f"{question}.jpg"


def draw_sinks(run: RunDir, rows: int) -> None:
    """Draw the first rows of a ``probe sinks`` run; those whose clip has gone are left out, and all without Pillow."""
    try:
        import PIL  # noqa: F401
    except ImportError:
        return
    record = run.record()
    media = record["recipe"]["media"]
    spec = DecodeSpec(**{k: media[k] for k in ("fps", "max_frames", "max_pixels", "max_seconds", "timeout_s")})
    root = run.path_of("swapped", record) or run.path_of("media", record)
    left = rows
    for table in run.parts("probe_sinks").rows(columns=["question_id", "media", "start", "end", "probed"]):
        for row in table.slice(0, left).to_pylist():
            left -= 1
            entry = row["probed"][0]
            if root is None or not entry.get("grid"):
                continue
            try:
                clip = decode(root / row["media"], spec, row["start"], row["end"])
            except AvcurateError:
                continue
            draw(picture_of(run, row["question_id"]), clip, entry)
        if left <= 0:
            return


def cells_of(entry: dict[str, Any], of: str) -> list[tuple[int, dict[str, Any]]]:
    """Number of the token among those of its modality, and the sink, of each sink of a modality."""
    count = entry["media"][of]
    return [(round(s["place"] * count), s) for s in entry["sinks"] if s["of"] == of]


def draw(path: Path, clip: DecodedClip, entry: dict[str, Any]) -> None:
    """Write a JPEG: the first frame of each pair with its sinks' cells outlined, and the waveform with theirs."""
    from PIL import Image, ImageDraw

    pairs, rows, columns = entry["grid"]
    frames = clip.frames if clip.frames is not None else np.zeros((2 * pairs, TILE, TILE, 3), np.uint8)
    shown = min(pairs, len(frames) // 2)
    height = max(1, round(TILE * frames.shape[1] / frames.shape[2]))
    across = min(COLUMNS, shown)
    down = -(-shown // across)
    sheet = Image.new("RGB", (across * TILE, down * height + WAVE), "white")
    pen = ImageDraw.Draw(sheet)
    for t in range(shown):
        tile = Image.fromarray(frames[2 * t]).resize((TILE, height))
        sheet.paste(tile, (t % across * TILE, t // across * height))
        # a light edge, so that one frame ends where the next begins
        corner = (t % across * TILE, t // across * height)
        pen.rectangle((*corner, corner[0] + TILE - 1, corner[1] + height - 1), outline="white", width=2)
    for number, sink in cells_of(entry, "video"):
        t, cell = divmod(number, rows * columns)
        if t >= shown:
            continue
        row, column = divmod(cell, columns)
        left, top = t % across * TILE + column * TILE / columns, t // across * height + row * height / rows
        right, bottom = left + TILE / columns - 1, top + height / rows - 1
        pen.rectangle((left, top, right, bottom), outline=COLORS[sink["group"]], width=3)
        if sink["object"]:
            pen.ellipse((left + 4, top + 4, left + 11, top + 11), fill=COLORS["object"])
    _wave(pen, (0, down * height, across * TILE, WAVE), clip.audio, entry)

    def save(partial: Path) -> Any:
        sheet.save(partial, "JPEG", quality=85)

    path.parent.mkdir(exist_ok=True)
    write_atomic(path, save)


def _wave(pen: Any, box: tuple[int, int, int, int], audio: NDArray[np.float32] | None, entry: dict[str, Any]) -> None:
    left, top, width, height = box
    middle = top + height / 2
    peaks = [] if audio is None else [float(np.abs(x).max()) for x in np.array_split(audio, BARS) if len(x)]
    for i, peak in enumerate(peaks):
        x = left + (i + 0.5) * width / len(peaks)
        reach = max(0.5, peak * (height / 2 - 6))
        pen.line((x, middle - reach, x, middle + reach), fill="#94a3b8", width=1)
    count = max(1, entry["media"]["audio"])
    for number, sink in cells_of(entry, "audio"):
        x = left + (number + 0.5) * width / count
        pen.line((x, top + 4, x, top + height - 4), fill=COLORS[sink["group"]], width=2)
        if sink["object"]:
            pen.ellipse((x - 4, top + 2, x + 4, top + 10), fill=COLORS["object"])
