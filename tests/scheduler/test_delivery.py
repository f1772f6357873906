"""Token accounting: each of its comparisons refuses what the others let through."""

import numpy as np
import pytest

from avcurate.engines.base import Reply, Request, Sampling
from avcurate.errors import RowError
from avcurate.scheduler.delivery import refuse_undelivered
from tests.engines.cheats import Honest

AUDIO, FRAMES = np.zeros(6400, np.float32), np.zeros((4, 28, 28, 3), np.uint8)


def request(audio=AUDIO, frames=FRAMES):
    return Request("q/av/0", "Q?", audio, frames, 2.0, 1, 0, Sampling())


class Unknowing(Honest):
    """Cannot tell what a request must cost."""

    def expected_tokens(self, request):
        return None


def check(asked, audio, video, engine=None, before=None):
    refuse_undelivered(engine or Honest(), asked, Reply("q/av/0", (), 50, audio, video), "clip under av", before or {})


def test_what_was_sent_arrives():
    check(request(), 10, 8)
    check(request(), -1, -1)


@pytest.mark.parametrize(
    ("asked", "audio", "video", "says"),
    [
        (request(), 0, 8, "the audio was sent, yet 0"),
        (request(), 10, 0, "the video was sent, yet 0"),
        (request(audio=None), 10, 8, "the audio was not sent"),
        (request(frames=None), 10, 8, "the video was not sent"),
        (request(), 9, 8, "9 audio tokens were received, 10 were sent"),
        (request(), 10, 12, "12 video tokens were received, 8 were sent"),
    ],
)
def test_what_does_not_is_refused(asked, audio, video, says):
    with pytest.raises(RowError, match=says):
        check(asked, audio, video)


def test_conditions_of_a_clip_must_agree_also_where_the_cost_is_not_known():
    check(request(), 7, 3, Unknowing())
    with pytest.raises(RowError, match="7 audio tokens were received, 6 under a"):
        check(request(), 7, 3, Unknowing(), {"a": {"audio_tokens": 6, "video_tokens": 0}})
    with pytest.raises(RowError, match="3 video tokens were received, 5 under v"):
        check(request(), 7, 3, Unknowing(), {"v": {"audio_tokens": 0, "video_tokens": 5}})
