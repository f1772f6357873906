"""Kinds of tokens, and the groups that rules name."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """Kinds of tokens.

    ``TEMPLATE`` is what the chat template adds: roles, system prompt, marks around media. ``START`` is the
    token that predicts the first of the response. The last three are parts of a separate-then-fuse response.
    """

    PAD = 0
    TEMPLATE = 1
    QUERY = 2
    AUDIO = 3
    VIDEO = 4
    START = 5
    GENERATED = 6
    VISUAL_TRACE = 7
    AUDIO_TRACE = 8
    FUSION = 9


WRITTEN = (Kind.GENERATED, Kind.VISUAL_TRACE, Kind.AUDIO_TRACE, Kind.FUSION)
GROUPS: dict[str, tuple[Kind, ...]] = {
    "template": (Kind.TEMPLATE,),
    "query": (Kind.QUERY,),
    "audio": (Kind.AUDIO,),
    "video": (Kind.VIDEO,),
    "generated": WRITTEN,
    "response": (Kind.START, *WRITTEN),
    "text": (Kind.TEMPLATE, Kind.QUERY, Kind.START),
    "all": tuple(k for k in Kind if k is not Kind.PAD),
}
"""Names of what a rule can be about. ``response`` is every query that predicts a token of the response."""
