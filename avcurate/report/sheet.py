"""Contact sheets: a clip's frames side by side with their detections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avcurate.errors import UserError
from avcurate.store.atomic import write_atomic

if TYPE_CHECKING:
    from avcurate.engines.detector import Detection

COLUMNS, WIDTH = 5, 256
COLORS = ("#d97706", "#2563eb", "#059669", "#b91c1c", "#7c3aed", "#0891b2")


def draw_sheet(path: Path, frames: NDArray[np.uint8], detections: Sequence[Sequence[Detection]]) -> None:
    """Write a JPEG of all frames (T, H, W, 3), each with its boxes, labels and scores.

    Raises:
        UserError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise UserError("contact sheets need Pillow.", "Install it: pip install 'avcurate[objects]'.") from None
    count, height, width = frames.shape[:3]
    scale = WIDTH / width
    tile = (WIDTH, max(1, round(height * scale)))
    columns = min(COLUMNS, count)
    sheet = Image.new("RGB", (columns * tile[0], -(-count // columns) * tile[1]))
    for i, (frame, boxes) in enumerate(zip(frames, detections, strict=True)):
        picture = Image.fromarray(frame).resize(tile)
        pen = ImageDraw.Draw(picture)
        for d in boxes:
            color = COLORS[sum(d.label.encode()) % len(COLORS)]
            x0, y0, x1, y1 = (v * scale for v in d.box)
            pen.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=color, width=2)
            text = f"{d.label} {d.score:.2f}"
            pen.rectangle((x0, y0, x0 + pen.textlength(text) + 4, y0 + 12), fill=color)
            pen.text((x0 + 2, y0), text, fill="white")
        sheet.paste(picture, (i % columns * tile[0], i // columns * tile[1]))

    def save(partial: Path) -> Any:
        sheet.save(partial, "JPEG", quality=80)

    write_atomic(path, save)
