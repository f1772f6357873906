"""Decodes clips through PyAV, in a process that outlives them: what ``python -m avcurate.media.pyav`` runs.

Takes one request a line on its input, as JSON, and answers each with one line. What is plain (one picture, one sound,
shown whole, no error logged) is decoded by the same filters as ffmpeg's command line; of all else it says that it is
not sure, and the caller has ffmpeg decode it. So there is one rule of what is damaged, and results are the same.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# of streams that begin later than their file; the command line fills in frames for them
LATE = 0.02
PLAIN = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "avi", "wav"})


class Unsure(Exception):
    """This clip is for ffmpeg's command line."""


def read(request: dict[str, Any]) -> dict[str, Any]:
    """Decode one file into raw frames (``video``) and samples (``audio``).

    Args:
        request: ``path``, ``video`` and ``audio`` (files to write), ``fps``, ``max_frames``, ``max_pixels``,
            ``max_seconds``, ``rate``, ``options`` (of the container).

    Returns:
        What :class:`avcurate.media.probe.Probe` holds, with ``fps`` and ``size`` of the frames.

    Raises:
        Unsure: something about the file is not plain.
    """
    import av

    from avcurate.media.sizes import frame_size

    with (
        av.logging.Capture() as logged,
        av.open(f"file:{request['path']}", options=request["options"], metadata_errors="replace") as container,
        Path(request["video"]).open("wb") as pixels,
        Path(request["audio"]).open("wb") as samples,
    ):
        facts = _facts(container)
        limit = facts["duration"]
        if not 0 < limit <= request["max_seconds"]:
            raise Unsure("its length is unknown, or it is shown in part")
        fps = min(request["fps"], request["max_frames"] / limit)
        size = frame_size(facts["width"], facts["height"], request["max_pixels"]) if facts["has_video"] else None
        picture = _Picture(container, fps, size, (limit, request["max_frames"]), pixels) if size else None
        sound = _Sound(container, limit, request["rate"], samples) if facts["has_audio"] else None
        for packet in container.demux(*container.streams.video, *container.streams.audio):
            for frame in packet.decode():
                if getattr(frame, "is_corrupt", False):
                    raise Unsure("a frame is corrupt")
                if isinstance(frame, av.VideoFrame):
                    assert picture is not None
                    picture.take(frame)
                else:
                    assert sound is not None
                    sound.take(frame)
        for part in (picture, sound):
            if part is not None:
                part.finish()
        if logged:
            raise Unsure(f"logged: {logged[0][2][:200]}")
    return facts | {"fps": fps, "size": size}


def _facts(container: Any) -> dict[str, Any]:
    from avcurate.media.sizes import length_of

    streams = container.streams
    if container.format.name not in PLAIN:
        raise Unsure("versions of ffmpeg differ in how long such a file is")
    if len(streams.video) > 1 or len(streams.audio) > 1 or not (streams.video or streams.audio):
        raise Unsure("it has several pictures or sounds, or none")
    video = streams.video[0] if streams.video else None
    audio = streams.audio[0] if streams.audio else None
    if video is not None and int(video.disposition) != 1 and int(video.disposition) != 0:
        raise Unsure("its picture may be a cover")
    begins = (container.start_time or 0) / 1_000_000
    late = {s: float((s.start_time or 0) * s.time_base) - begins for s in (video, audio) if s is not None}
    if any(abs(seconds) > LATE for seconds in late.values()):
        raise Unsure("a track begins late")

    def seconds(stream: Any) -> float:
        if stream is None:
            return 0.0
        if stream.duration:
            return round(float(stream.duration * stream.time_base), 6)
        tag = str(stream.metadata.get("DURATION") or "").split(":")
        return 3600 * float(tag[0]) + 60 * float(tag[1]) + float(tag[2]) if len(tag) == 3 else 0.0

    tracks = [(round(late[s], 6), seconds(s)) for s in (video, audio) if s is not None]
    return {
        "duration": length_of((container.duration or 0) / 1_000_000, tracks),
        "has_audio": audio is not None,
        "has_video": video is not None,
        "width": 0 if video is None else video.codec_context.width,
        "height": 0 if video is None else video.codec_context.height,
        "sample_rate": 0 if audio is None else audio.codec_context.sample_rate,
        "channels": 0 if audio is None else audio.codec_context.channels,
        "audio_seconds": seconds(audio),
        "video_seconds": seconds(video),
    }


class _Picture:
    """Frames at a rate and a size, into a file, up to so many seconds and frames."""

    def __init__(
        self, container: Any, fps: float, size: tuple[int, int], most: tuple[float, int], file: BinaryIO
    ) -> None:
        import av
        from av.sidedata.sidedata import Type

        stream = container.streams.video[0]
        # one thread, as of ffmpeg: clips are decoded side by side
        stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        graph = av.filter.Graph()
        limit, self._most = most
        _link(
            graph,
            graph.add_buffer(template=stream),
            graph.add("fps", f"fps={fps!r}"),
            graph.add("scale", f"{size[0]}:{size[1]}:flags=bicubic"),
            graph.add("format", "pix_fmts=rgb24"),
            graph.add("trim", f"duration={limit!r}"),
            graph.add("buffersink"),
        )
        self._graph, self._file, self._frames = graph, file, 0
        self._matrix = Type.DISPLAYMATRIX

    def take(self, frame: Any) -> None:
        """One decoded frame."""
        if any(data.type == self._matrix for data in frame.side_data):
            raise Unsure("its picture is turned or mirrored")
        self._push(frame)

    def finish(self) -> None:
        """No more of them."""
        self._push(None)

    def _push(self, frame: Any) -> None:
        for shown in _through(self._graph, frame):
            if self._frames < self._most:
                self._file.write(np.ascontiguousarray(shown.to_ndarray()).data)
                self._frames += 1


class _Sound:
    """Samples, mono at a rate, into a file, up to so many seconds."""

    def __init__(self, container: Any, limit: float, rate: int, file: BinaryIO) -> None:
        import av

        graph = av.filter.Graph()
        _link(
            graph,
            graph.add_abuffer(template=container.streams.audio[0]),
            graph.add("aformat", f"sample_fmts=flt:sample_rates={rate}:channel_layouts=mono"),
            graph.add("atrim", f"duration={limit!r}"),
            graph.add("abuffersink"),
        )
        self._graph, self._file = graph, file

    def take(self, frame: Any) -> None:
        """One decoded frame; ``None``: no more of them."""
        for heard in _through(self._graph, frame):
            self._file.write(np.ascontiguousarray(heard.to_ndarray()[0]).data)

    def finish(self) -> None:
        """No more of them."""
        self.take(None)


def _link(graph: Any, *chain: Any) -> None:
    for one, following in itertools.pairwise(chain):
        one.link_to(following)
    graph.configure()


def _through(graph: Any, frame: Any) -> Iterator[Any]:
    """What comes out of a graph after a frame, or after the last (``None``)."""
    import av

    with suppress(av.EOFError):
        graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (av.BlockingIOError, av.EOFError):
            return


def main() -> None:
    """Answer requests until the input ends."""
    import av

    av.logging.set_level(av.logging.ERROR)
    for line in sys.stdin:
        try:
            answer = read(json.loads(line))
        except Unsure as e:
            answer = {"unsure": str(e)}
        except Exception as e:
            # a broken file may raise anything; ffmpeg's command line says what is wrong with it
            answer = {"unsure": f"{type(e).__name__}: {e}"[:300]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
