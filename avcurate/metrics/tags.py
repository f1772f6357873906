"""Tagged parts of a response, found in one pass: no pattern here can backtrack, whatever a model writes."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TAG = re.compile(r"<(/?)([A-Za-z]{1,24})>")


def find_tags(text: str) -> Iterator[re.Match[str]]:
    """Every ``<tag>`` and ``</tag>``: group 1 is the slash, group 2 the name as written."""
    return _TAG.finditer(text)


def blocks(text: str, tag: str) -> Iterator[tuple[int, int, int]]:
    """Each ``<tag>…</tag>``: where its inside begins and ends, and where the closing tag ends.

    A block runs from an opening tag to the first closing one after it; opening tags in between are part of its inside.
    """
    start = None
    for m in _TAG.finditer(text):
        if m[2].lower() != tag:
            continue
        if not m[1]:
            start = m.end() if start is None else start
        elif start is not None:
            yield start, m.start(), m.end()
            start = None


def sequence(text: str, tags: frozenset[str]) -> list[tuple[str, str]] | None:
    """(tag, inside) of a text made of blocks of these tags, one after another, with only white space between.

    Returns:
        Tags in lower case; ``None`` where a block is not closed, is closed by another tag, holds one of the tags
        inside, or there is other text around the blocks.
    """
    pairs: list[tuple[str, str]] = []
    at, open_tag, start = 0, "", 0
    for m in _TAG.finditer(text):
        name = m[2].lower()
        if name not in tags:
            continue
        if not open_tag:
            if m[1] or text[at : m.start()].strip():
                return None
            open_tag, start = name, m.end()
        elif m[1] and name == open_tag:
            pairs.append((name, text[start : m.start()]))
            at, open_tag = m.end(), ""
        else:
            return None
    return None if open_tag or text[at:].strip() else pairs
