"""Similarity of clips over all their captions, and each reason a donor is refused for, alone and in order."""

from dataclasses import replace

import numpy as np
import pytest

from avcurate.metrics import pairing
from avcurate.metrics.pairing import REASONS, Captions, Catalogue, Limits, compare, cost, similarity

LIMITS = Limits(threshold=0.9, longest_loop=2.0, least_level=-60.0, most_gain=20.0)


def captions(*clips):
    """Unit vectors of each clip's captions, given as angles in degrees."""
    angles = np.radians([a for clip in clips for a in clip])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32).reshape(-1, 2)
    return Captions(vectors, np.concatenate([[0], np.cumsum([len(c) for c in clips])]).astype(np.int64))


def catalogue(**changes):
    """Three clips that may lend each other their sounds."""
    plain = Catalogue(
        audio=captions([0], [90], [180]),
        video=captions([0], [90], [180]),
        source=np.arange(3),
        sound=np.arange(3),
        picture_seconds=np.full(3, 10.0),
        sound_seconds=np.full(3, 10.0),
        level=np.full(3, -20.0),
        answers=((), (), ()),
        said=(" a dog barks ", " rain ", " a train "),
    )
    return replace(plain, **changes)


def refused(clips, target=0):
    """Reason of each donor for one target; empty where it is allowed."""
    _, _, reason = compare(clips, np.array([target]), np.arange(3), LIMITS)
    return [REASONS[r] if r else "" for r in reason[0]]


@pytest.mark.parametrize("chunk", [1, 2, 256])
def test_the_nearest_of_several_captions_counts(monkeypatch, chunk):
    monkeypatch.setattr(pairing, "CHUNK", chunk)
    ours, theirs = captions([0, 60], [], [90, 91, 200]), captions([50], [], [180, 270, 0])
    found = similarity(ours, np.arange(3), theirs, np.arange(3))
    angles = [[[0, 60], [], [90, 91, 200]], [[50], [], [180, 270, 0]]]
    for i, mine in enumerate(angles[0]):
        for j, other in enumerate(angles[1]):
            wanted = max((np.cos(np.radians(a - b)) for a in mine for b in other), default=np.nan)
            assert found[i, j] == pytest.approx(wanted, abs=1e-6, nan_ok=True), (i, j)
    some = similarity(ours, np.array([2, 0]), theirs, np.array([2]))
    assert some == pytest.approx(found[[2, 0]][:, [2]], abs=1e-6)


def test_one_caption_each_gives_the_same_as_the_long_way():
    ours, theirs = captions([0], [40], [100]), captions([10], [50], [300])
    short = similarity(ours, np.arange(3), theirs, np.arange(3))
    several = captions([0, 0], [40], [100])
    assert similarity(several, np.arange(3), theirs, np.arange(3)) == pytest.approx(short, abs=1e-6)


def test_a_clip_is_never_its_own_donor_and_others_are_allowed():
    assert refused(catalogue()) == ["same_source", "", ""]


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("no_sound", {"sound_seconds": np.array([10.0, 0.0, 10.0])}),
        ("no_sound", {"audio": captions([0], [], [180])}),
        ("same_source", {"source": np.array([0, 0, 2])}),
        ("same_sound", {"sound": np.array([0, 0, 2])}),
        ("near_audio_caption", {"audio": captions([0], [25], [180])}),
        ("near_video_caption", {"video": captions([90], [90], [0])}),
        ("answer_kept", {"answers": ((" rain ",), (), ())}),
        ("too_short", {"sound_seconds": np.array([10.0, 4.9, 10.0])}),
        ("too_quiet", {"level": np.array([-50.0, -60.1, -50.0])}),
        ("level_too_far", {"level": np.array([-20.0, -40.1, -20.0])}),
    ],
)
def test_each_reason_alone(reason, changes):
    assert refused(catalogue(**changes)) == ["same_source", reason, ""]


def test_limits_are_kept_exactly():
    edge = catalogue(
        sound_seconds=np.array([10.0, 5.0, 10.0]),
        level=np.array([-40.0, -60.0, -20.0]),
        audio=captions([0], [26], [180]),
    )
    assert refused(edge) == ["same_source", "", ""]


def test_a_target_without_a_picture_gets_none_and_the_first_reason_is_given():
    blind = catalogue(picture_seconds=np.array([0.0, 10.0, 10.0]), sound_seconds=np.array([10.0, 0.0, 10.0]))
    assert refused(blind) == ["no_picture"] * 3
    assert refused(blind, target=2) == ["", "no_sound", "same_source"]


def test_what_is_not_known_is_not_checked():
    unknown = catalogue(
        sound_seconds=np.full(3, np.nan),
        level=np.full(3, np.nan),
        picture_seconds=np.full(3, np.nan),
        video=Captions(np.zeros((0, 2), np.float32), np.zeros(4, np.int64)),
    )
    assert refused(unknown) == ["same_source", "", ""]


def test_the_cost_is_the_greater_similarity_and_refusal_is_infinite():
    audio = np.array([[0.2, -0.5, np.nan, 0.9]], np.float32)
    video = np.array([[-0.1, 0.4, np.nan, 0.1]], np.float32)
    costs = cost(audio, video, np.array([[0, 0, 0, 5]], np.uint8))
    assert costs == pytest.approx(np.array([[1.2, 1.4, 1.0, np.inf]]))
