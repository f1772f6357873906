"""Clips decoded ahead and only once, shared by every setting and question that shows them."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from avcurate.media.decode import DecodedClip, DecodeSpec, decode

Key = tuple[str, float | None, float | None]


class ClipCache:
    """Decodes in worker threads, each decode a killable ffmpeg child.

    Decoded clips are kept, most recently used first, up to ``max_bytes``; a clip in use is
    kept by its future.
    """

    def __init__(self, root: Path, spec: DecodeSpec, workers: int, max_bytes: int = 1 << 30) -> None:
        self.root = root
        self.spec = spec
        self.max_bytes = max_bytes
        self.decoded = 0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._clips: OrderedDict[Key, Future[DecodedClip]] = OrderedDict()

    def get(self, media: str, start: float | None, end: float | None) -> Future[DecodedClip]:
        """The clip, decoding or decoded; its errors are raised by the future."""
        key = (media, start, end)
        future = self._clips.get(key)
        if future is None:
            self.decoded += 1
            future = self._pool.submit(decode, self.root / media, self.spec, start, end)
            self._clips[key] = future
        self._clips.move_to_end(key)
        self._trim()
        return future

    def _trim(self) -> None:
        held = 0
        for key, future in reversed(list(self._clips.items())):
            if future.done() and future.exception() is None:
                held += future.result().nbytes
            if held > self.max_bytes or len(self._clips) > 4096:
                del self._clips[key]

    def close(self) -> None:
        """Stop decoding ahead."""
        self._pool.shutdown(wait=False, cancel_futures=True)
