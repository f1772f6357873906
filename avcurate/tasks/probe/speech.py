"""Parts of speech of a response's tokens, where a tagger is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from avcurate.errors import UserError
from avcurate.train.speech import Tagger, pattern_tagger, tags_of

GROUPS = {"NN": "noun", "VB": "verb", "JJ": "adjective", "RB": "adverb", "CD": "number"}


class Speech:
    """Tags tokens; without a tagger no token has a tag."""

    def __init__(self) -> None:
        self._tagger: Tagger | None = None
        try:
            self._tagger = pattern_tagger()
        except UserError:
            return

    def identity(self) -> dict[str, Any]:
        """Whether there are tags."""
        return {"speech": self._tagger is not None}

    def of(self, ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[str] | None:
        """noun, verb, adjective, adverb, number, other (a word of another kind), or empty (no word), per token."""
        if self._tagger is None:
            return None
        return [GROUPS.get(t[:2], "other") if t else "" for t in tags_of(ids, decode, self._tagger)]
