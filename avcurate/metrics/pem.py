"""The truth table from which settings solve a question to its Preferred Evidence Modality."""

from __future__ import annotations

from avcurate.metrics.tags import blocks
from avcurate.schema import PEM

TRIVIAL = "trivial"
CONTRADICTORY = "contradictory"
AMBIGUOUS = "ambiguous_and_contradictory"
UNSOLVED = "unsolved"
AV_UNSOLVED = "av_unsolved"
UNDECIDED = "undecided"
UNSURE = "unsure"

ABOUT = {
    TRIVIAL: "audio alone and video alone each solve it",
    CONTRADICTORY: "one modality alone solves it, both together do not",
    AMBIGUOUS: "either modality alone solves it, both together do not",
    UNSOLVED: "no setting solves it",
    AV_UNSOLVED: "both together do not solve it; the single modalities were not fully sampled",
    UNSURE: "its confidence is below the least that was asked for",
    UNDECIDED: "the stored responses cannot decide it at these thresholds; sample again",
}


# how datasets name the modality a question asks about
_STATED = {
    "audio": PEM.AUDIO,
    "sound": PEM.AUDIO,
    "visual": PEM.VISUAL,
    "view": PEM.VISUAL,
    "video": PEM.VISUAL,
    "audio-visual": PEM.AUDIO_VISUAL,
    "both": PEM.AUDIO_VISUAL,
}


def pem_of(stated: str | None) -> PEM | None:
    """The PEM that a name of a modality means: a label's, AVQA's View, Sound, Both, or AVHBench's by task."""
    return _STATED.get(stated.strip().casefold()) if stated else None


def said_pem(text: str) -> PEM | None:
    """The PEM that a separate-then-fuse response names inside ``<mod>``; ``None`` where it names none."""
    first = next(blocks(text, "mod"), None)
    return pem_of(text[first[0] : first[1]]) if first else None


def label(a: bool | None, v: bool | None, av: bool | None) -> tuple[PEM | None, str | None]:
    """PEM, or the reason there is none, from what each setting solves (SFFL §3.1).

    ``None`` means the stored evidence does not say whether the setting solves the question. Every
    PEM needs AV solved, so an unsolved AV decides the row whatever A and V would have been.

    Returns:
        (PEM, None) or (None, reason).
    """
    if av is None:
        return None, UNDECIDED
    if av:
        if a is None or v is None:
            return None, UNDECIDED
        if a and v:
            return None, TRIVIAL
        if a:
            return PEM.AUDIO, None
        return (PEM.VISUAL if v else PEM.AUDIO_VISUAL), None
    if a is None or v is None:
        return None, AV_UNSOLVED
    if a and v:
        return None, AMBIGUOUS
    return None, CONTRADICTORY if a or v else UNSOLVED
