"""CHAIR over 100,000 captions: one pass of the longest-match vocabulary against a search per name."""

from __future__ import annotations

import json
import random
import re
import sys

from avcurate.metrics.chair import as_counts, intervals, measures, score_caption
from avcurate.metrics.vocabulary import load_vocabulary
from benchmarks.harness import compare, seconds

CAPTIONS, COMPARED = 100_000, 500
PARTS = ("a dog barks", "two men play electric guitars", "a train passes by", "children sing", "rain falls on a car",
         "a hot dog lies on a table", "birds chirp in a tree")  # fmt: skip


def main() -> None:
    """Print the ratio on a sample, and the seconds for all captions."""
    rng = random.Random(0)
    vocabulary = load_vocabulary()
    captions = [" while ".join(rng.sample(PARTS, 3)) + f" in scene {i}" for i in range(CAPTIONS)]
    truth = frozenset({"dog", "person", "train"})
    names = {n: re.compile(rf"\b{re.escape(n)}s?\b") for n in vocabulary.nodes}

    def ours(some: list[str]) -> dict[str, float]:
        counts = as_counts([score_caption(c, truth, vocabulary) for c in some])
        intervals(counts)
        return measures(counts)

    def search(some: list[str]) -> int:
        return sum(len(p.findall(c)) for c in some for p in names.values())

    compare(
        f"objects of {COMPARED} captions: a search per name / one pass",
        lambda: [vocabulary.mentions(c) for c in captions[:COMPARED]],
        lambda: search(captions[:COMPARED]),
    )
    spent = seconds(lambda: ours(captions))
    print(json.dumps({"what": "CHAIR, F1 and intervals of 100,000 captions, seconds", "seconds": round(spent, 1)}))


if __name__ == "__main__":
    sys.exit(main())
