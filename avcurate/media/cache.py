"""Clips decoded ahead and only once, shared by every setting and question that shows them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from avcurate.media.decode import DecodedClip, DecodeSpec, decode
from avcurate.media.reader import Reader, available

LEAST_AHEAD = 8
Key = tuple[str, float | None, float | None]


class ClipCache:
    """Decodes in worker threads, in killable children: a process of PyAV's for each thread, or ffmpeg for each clip.

    Decoded clips are kept, most recently used first, up to ``max_bytes``; a clip in use is
    kept by its future.
    """

    def __init__(self, root: Path, spec: DecodeSpec, workers: int, max_bytes: int = 1 << 30) -> None:
        self.root = root
        self.spec = spec
        self.max_bytes = max_bytes
        self.workers = workers
        self.decoded = 0
        self._mean_bytes = 0.0
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._readers = threading.local()
        self._children: list[Reader] = []
        self._clips: OrderedDict[Key, Future[DecodedClip]] = OrderedDict()

    def get(self, media: str, start: float | None, end: float | None) -> Future[DecodedClip]:
        """The clip, decoding or decoded; its errors are raised by the future."""
        key = (media, start, end)
        future = self._clips.get(key)
        if future is None:
            self.decoded += 1
            future = self._pool.submit(self._decode, self.root / media, start, end)
            self._clips[key] = future
        self._clips.move_to_end(key)
        self._trim()
        return future

    def ahead(self) -> int:
        """How many clips to decode before their turn: enough for every worker to have a next one, while they fit."""
        most = max(LEAST_AHEAD, 2 * self.workers)
        fit = int(self.max_bytes / self._mean_bytes) if self._mean_bytes else LEAST_AHEAD
        return max(self.workers, min(most, fit))

    def _decode(self, path: Path, start: float | None, end: float | None) -> DecodedClip:
        # from a thread's first clip on: the last bits of a sound differ between ffmpeg and PyAV's libraries, and which
        # clip is whose first depends on chance
        own = self._readers
        if not hasattr(own, "reader"):
            own.reader = Reader() if available() else None
            if own.reader is not None:
                self._children.append(own.reader)
        clip = decode(path, self.spec, start, end, own.reader)
        # of the latest: clips of one set are alike, and nothing is wrong if two threads write at once
        self._mean_bytes = 0.9 * self._mean_bytes + 0.1 * clip.nbytes if self._mean_bytes else float(clip.nbytes)
        return clip

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
        if self._children:
            # once their threads have ended, without anybody waiting for a clip that is still being decoded
            threading.Thread(target=self._end, name="decode-end", daemon=True).start()

    def _end(self) -> None:
        self._pool.shutdown(wait=True)
        for reader in self._children:
            reader.close()
