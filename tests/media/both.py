"""Decoding both ways: by ffmpeg alone, and with a process of PyAV's. They must not differ."""

import functools

import numpy as np

from avcurate.errors import MediaError
from avcurate.media import decode as media
from avcurate.media.reader import Reader, available


@functools.cache
def reader():
    return Reader() if available() else None


def outcome(*arguments, **keywords):
    try:
        return media.decode(*arguments, **keywords)
    except MediaError as e:
        return e


def same(one, two):
    """Whether two clips, or two errors, are the same."""
    if isinstance(one, MediaError) or isinstance(two, MediaError):
        return type(one) is type(two) and (one.reason, one.message) == (two.reason, two.message)
    pictures = one.frames is two.frames is None or np.array_equal(one.frames, two.frames)
    # the last bit of a resampled sound may differ between versions of ffmpeg's libraries
    sounds = one.audio is two.audio is None or (
        one.audio.shape == two.audio.shape and np.abs(one.audio - two.audio).max() < 1e-5
    )
    facts = [(c.fps, c.duration, c.sha256, c.tracks, c.not_shown) for c in (one, two)]
    return pictures and sounds and facts[0] == facts[1]


def decode(*arguments, **keywords):
    """:func:`avcurate.media.decode.decode`, both ways."""
    one = outcome(*arguments, **keywords)
    if reader() is not None:
        two = outcome(*arguments, **keywords, reader=reader())
        assert same(one, two), (one, two)
    if isinstance(one, MediaError):
        raise one
    return one
