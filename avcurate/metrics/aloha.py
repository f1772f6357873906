"""ALOHa: hallucination by meaning, through the similarity of objects and an optimal matching.

Source: Petryk et al., "ALOHa: A New Measure for Hallucination in Captioning Models", NAACL 2024.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[list[str]], NDArray[np.float32]]
Object = tuple[str, ...]
"""One object, or the alternatives of "a cat or a dog"."""

_UNSURE = "(possibly)"


def parse_objects(reply: str) -> list[Object]:
    """Objects of a model's list: lines that begin with ``-``.

    Lines under three letters and unsure ones are dropped; commas separate objects, " or " alternatives.
    """
    objects: list[Object] = []
    for line in reply.splitlines():
        if not line.strip().startswith("-") or _UNSURE in line.lower():
            continue
        for item in line.strip().lstrip("- ").split(","):
            names = tuple(n for n in (re.sub(r"\s+", " ", x).strip(" .;:") for x in item.split(" or ")) if n)
            if names and len(" or ".join(names)) >= 3:
                objects.append(names)
    return objects


def match(similarity: NDArray[np.float64], *, as_released: bool = False) -> NDArray[np.float64]:
    """Score of each candidate object: its similarity to the reference object that the best assignment gives it.

    Args:
        similarity: (C, R), in [-1, 1].

    Returns:
        (C,) scores; 0 for candidates beyond the number of references. The released code is meant to append
        those zeros but adds them to the other scores, so surplus objects cost nothing there; ``as_released``
        likewise leaves them out: fewer than C scores.
    """
    from scipy.optimize import linear_sum_assignment

    scores = np.zeros(len(similarity))
    if similarity.size:
        rows, columns = linear_sum_assignment(similarity, maximize=True)
        scores[rows] = similarity[rows, columns]
        if as_released:
            matched: NDArray[np.float64] = scores[rows]
            return matched
    return scores


def aloha(
    candidates: Sequence[Object], references: Sequence[Object], embed: Embed, *, as_released: bool = False
) -> tuple[float | None, list[float]]:
    """Score of one caption and of each of its objects.

    Args:
        candidates: objects of the caption.
        references: objects that are present.
        embed: texts to vectors of any length.
        as_released: see :func:`match`; and a caption without objects then scores 0, as in the released code.

    Returns:
        (the minimum object score, every object's score in [-1, 1]); (``None``, []) for a caption without objects,
        which says nothing wrong and nothing right.
    """
    if not candidates:
        return (0.0 if as_released else None), []
    if not references:
        return 0.0, [0.0] * len(candidates)
    words = list(dict.fromkeys(w for o in (*candidates, *references) for w in o))
    vectors = embed(words).astype(np.float64)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    at = {w: vectors[i] for i, w in enumerate(words)}
    similarity = np.array([[max(at[x] @ at[y] for x in c for y in r) for r in references] for c in candidates])
    scores = match(similarity, as_released=as_released)
    return float(scores.min()), [float(s) for s in scores]
