"""The split: by source video, of the requested share, and by the seed."""

import pytest

from avcurate.publish.selection import split_of

VIDEOS = [f"video-{i}" for i in range(4000)]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.5, 1.0])
def test_the_share_is_the_requested_one(share):
    actual = sum(split_of(v, share, 0) == "validation" for v in VIDEOS) / len(VIDEOS)
    assert actual == pytest.approx(share, abs=0.025)
    assert share not in (0.0, 1.0) or actual == share


def test_another_seed_is_another_split_and_a_larger_share_keeps_the_smaller():
    tenth = {v for v in VIDEOS if split_of(v, 0.1, 0) == "validation"}
    assert tenth != {v for v in VIDEOS if split_of(v, 0.1, 1) == "validation"}
    assert tenth < {v for v in VIDEOS if split_of(v, 0.2, 0) == "validation"}
