"""How long a clip is, and the size at which its picture is shown."""

from __future__ import annotations


def frame_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """Width and height of frames: even, at least 2, at most ``max_pixels`` together, in the picture's proportions."""
    width, height = max(width, 2), max(height, 2)
    shrink = min(1.0, (max_pixels / (width * height)) ** 0.5)
    return max(2, int(width * shrink) // 2 * 2), max(2, int(height * shrink) // 2 * 2)


def length_of(container: float, tracks: list[tuple[float, float]]) -> float:
    """Seconds that a clip lasts: to the end of its last track, or what the container says where a track has no length.

    Not the longer of the two: what a container's header says of the whole may be off by a second, and versions of
    ffmpeg differ in which they report.

    Args:
        container: its own statement; 0 if none.
        tracks: seconds by which each track begins after the container does, and its length; 0 if not stated.
    """
    ends = [max(0.0, begins) + length for begins, length in tracks]
    stated = bool(tracks) and all(length for _, length in tracks)
    return max(ends) if stated else max([container, *(length for _, length in tracks)])
