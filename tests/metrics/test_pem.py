"""The truth table of SFFL §3.1."""

import pytest

from avcurate.metrics import pem
from avcurate.schema import PEM


@pytest.mark.parametrize(
    ("a", "v", "av", "label", "reason"),
    [
        (True, False, True, PEM.AUDIO, None),
        (False, True, True, PEM.VISUAL, None),
        (False, False, True, PEM.AUDIO_VISUAL, None),
        (True, True, True, None, pem.TRIVIAL),
        (True, True, False, None, pem.AMBIGUOUS),
        (True, False, False, None, pem.CONTRADICTORY),
        (False, True, False, None, pem.CONTRADICTORY),
        (False, False, False, None, pem.UNSOLVED),
        (None, None, False, None, pem.AV_UNSOLVED),
        (True, None, False, None, pem.AV_UNSOLVED),
        (None, False, True, None, pem.UNDECIDED),
        (True, True, None, None, pem.UNDECIDED),
    ],
)
def test_every_pattern(a, v, av, label, reason):
    assert pem.label(a, v, av) == (label, reason)


def test_every_reason_is_explained():
    assert set(pem.ABOUT) == {
        pem.TRIVIAL, pem.AMBIGUOUS, pem.CONTRADICTORY, pem.UNSOLVED, pem.AV_UNSOLVED, pem.UNDECIDED, pem.UNSURE,
    }  # fmt: skip
