"""Which modality decides a prediction: unimodal dominance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

AUDIO, VIDEO = "audio", "video"

UNREADABLE = "unreadable"
NO_MAJORITY = "no_majority"
AGREE = "all_agree"
OVERRULED = "both_overruled"
NEITHER = "neither_alone"
ALL_RIGHT = "all_right"
ALL_WRONG = "all_wrong"
TOGETHER = "only_together"
LOST = "lost_together"

ABOUT = {
    UNREADABLE: "a setting gave no readable answer",
    NO_MAJORITY: "a setting's answers are tied",
    AGREE: "audio, video and both together answer the same",
    OVERRULED: "audio alone and video alone agree, both together answer differently",
    NEITHER: "all three answer differently",
    ALL_RIGHT: "audio, video and both together are right",
    ALL_WRONG: "audio, video and both together are wrong",
    TOGETHER: "only both together are right",
    LOST: "right with one modality alone, wrong with both",
}

Answer = frozenset[str]


def by_prediction(a: Answer | None, v: Answer | None, av: Answer | None) -> tuple[str | None, str | None]:
    """Dominance from predictions alone; the label plays no part (crossmodal-hub Eq. 1-2).

    Audio-dominant where AV = A ≠ V, video-dominant where AV = V ≠ A, by strict equality; lists of
    answers are equal as sets.

    Returns:
        (``audio`` or ``video``, None) or (None, why not).
    """
    if not a or not v or not av:
        return None, UNREADABLE
    if a == v:
        return None, AGREE if av == a else OVERRULED
    if av == a:
        return AUDIO, None
    return (VIDEO, None) if av == v else (None, NEITHER)


def by_correctness(a: bool, v: bool, av: bool) -> tuple[str | None, str | None]:
    """Dominance from which settings hit the label: AV and A right and V wrong, or AV and V right and A wrong."""
    if not av:
        return None, LOST if a or v else ALL_WRONG
    if a == v:
        return None, ALL_RIGHT if a else TOGETHER
    return (AUDIO if a else VIDEO), None


def margin(logprobs: Mapping[str, float], letters: Sequence[str]) -> float | None:
    """How much likelier the first option is than the second, in nats; ``None`` where fewer than two are known.

    Args:
        logprobs: log-probabilities of first tokens.
        letters: the options' letters.
    """
    known = sorted((logprobs[x] for x in letters if x in logprobs), reverse=True)
    return known[0] - known[1] if len(known) > 1 else None


def majority(answers: Sequence[str | None]) -> tuple[str | None, float]:
    """The answer most responses give, and its share of all responses; unreadable ones count against it.

    Returns:
        (answer, share in [0, 1]); (None, share) where the first place is tied or nothing was readable.
    """
    counts = Counter(a for a in answers if a is not None).most_common(2)
    if not counts:
        return None, 0.0
    share = counts[0][1] / len(answers)
    tied = len(counts) > 1 and counts[0][1] == counts[1][1]
    return (None if tied else counts[0][0]), share
