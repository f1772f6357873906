"""Summary of a dominance run."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from avcurate.metrics.answers import fold
from avcurate.metrics.dominance import by_prediction
from avcurate.runner.rundir import RunDir
from avcurate.schema import Setting


def summarise_dominance(run: RunDir) -> dict[str, Any]:
    """Counts of a finished run: dominance, reasons, hits per setting, disagreement and hallucination.

    A clip *disagrees* if audio and video alone give different answers; it is *hallucinated* if the answer
    under both is none of its labels (counts as in crossmodal-hub Tab. 13, on answers instead of captions).

    Dominance is by the folded rule: answers are equal where they are after folding (case, articles, punctuation).
    ``strict`` counts by equality of the strings as they are written, as the release compares them.
    """
    columns = ["dominance", "dominance_reason", "labels", *[f"{s}_{c}" for s in Setting for c in ("prediction", "hit")]]
    dominance: Counter[str] = Counter()
    strict: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    agree: dict[str, Counter[bool]] = defaultdict(Counter)
    hits: dict[str, Counter[bool]] = defaultdict(Counter)
    disagree = hallucinated = both = labelled = 0
    for table in run.parts("dominance").rows(columns=columns):
        for row in table.to_pylist():
            dominant = row["dominance"]
            (dominance if dominant else reasons)[dominant or row["dominance_reason"]] += 1
            exact, _ = by_prediction(*(frozenset(row[f"{s}_prediction"] or ()) or None for s in Setting))
            if exact:
                strict[exact] += 1
            heard, seen = ({fold(x) for x in row[f"{s}_prediction"] or []} for s in ("a", "v"))
            differs = bool(heard and seen) and heard != seen
            disagree += differs
            if row["labels"]:
                labelled += 1
                invented = not row["av_hit"]
                hallucinated += invented
                both += invented and differs
                for s in Setting:
                    hits[str(s)][row[f"{s}_hit"]] += 1
                if dominant:
                    agree[dominant][row["av_hit"]] += 1
    return {
        "run": str(run.root),
        "clips": sum(dominance.values()) + sum(reasons.values()),
        "dominance": dict(dominance),
        "strict": dict(strict),
        "none": dict(reasons),
        "label_agreement": {k: round(c[True] / c.total(), 4) for k, c in agree.items()},
        "hit_rate": {k: round(c[True] / c.total(), 4) for k, c in hits.items()},
        "labelled": labelled,
        "disagree": disagree,
        "hallucinated": hallucinated,
        "hallucinated_and_disagree": both,
    }
