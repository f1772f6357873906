"""Where the tagged parts of a response are among its tokens, found by characters.

The tags are not single tokens in most tokenizers and may merge with their neighbours (``"><"``), so they are searched
in the decoded text and mapped back: a token belongs to a part if any of its characters does. Needs only text and
offsets.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avcurate.maam.mask import Span, Traces

LONGEST_CHARACTER = 8
_TAG = {name: (re.compile(rf"<{name}>", re.I), re.compile(rf"</{name}>", re.I)) for name in ("v", "a")}


@dataclass(frozen=True)
class Found:
    """The parts of a response; ``malformed`` says why it gets no mask (plain causal attention), else empty."""

    traces: Traces
    malformed: str = ""


class Transcript:
    """The text of tokens as they are written, and where each token's text ends.

    Tokens are decoded in the smallest groups that give whole characters: a character of several tokens ends where its
    last token does. Valid for tokenizers whose text is the concatenation of their tokens' bytes, such as Qwen's.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self.ends: list[int] = []
        self._decode = decode
        self._closed, self._length, self._open, self._waiting = list[str](), 0, "", list[int]()

    @property
    def text(self) -> str:
        """Everything written so far; an unfinished character shows as a replacement character."""
        return "".join(self._closed) + self._open

    def add(self, token: int) -> None:
        """Append a token."""
        self._waiting.append(token)
        self._open = self._decode(self._waiting)
        whole = self._open.rstrip("\ufffd")
        self.ends.append(self._length + len(whole))
        # no character is longer than four bytes: a replacement that stays was written by the model
        if whole == self._open or len(self._waiting) > LONGEST_CHARACTER:
            self._closed.append(self._open)
            self._length += len(self._open)
            self._open, self._waiting = "", []


def offsets_of(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> tuple[str, list[int]]:
    """The text of token ids, and where each token's text ends."""
    written = Transcript(decode)
    for token in ids:
        written.add(token)
    return written.text, written.ends


MASKED = ("whole", "reversed", "unclosed", "missing", "broken")


def masked_as(text: str) -> str:
    """Which mask a finished response was decoded under, one of ``MASKED``.

    ``whole``: both parts, ``<v>`` before ``<a>``. ``reversed``: both, the other way round, so that Eq. 6 hides nothing.
    ``unclosed``: a part is never closed, and all that follows it, the answer included, was masked as part of it.
    ``missing``: there is no ``<v>`` or no ``<a>``; the other was masked. ``broken``: a tag stands twice, or closes what
    is not open; from there on nothing was masked.
    """
    parsed = find_traces(text, range(1, len(text) + 1), 0, complete=False)
    visual, audio = parsed.traces.visual, parsed.traces.audio
    if parsed.malformed:
        return "broken"
    if any(opening.search(text) and not closing.search(text) for opening, closing in _TAG.values()):
        return "unclosed"
    if visual is None or audio is None:
        return "missing"
    return "whole" if visual.open < audio.open else "reversed"


def decoded_traces(text: str, ends: Sequence[int], first: int) -> Traces:
    """The parts of a response as decoding saw them, so that a loss sees what the rollout saw.

    A part that is never closed stays masked to the end. From the token that makes a response malformed onwards,
    nothing is masked.
    """
    parsed = find_traces(text, ends, first, complete=False)
    if not parsed.malformed:
        return parsed.traces

    def broken(count: int) -> bool:
        return bool(find_traces(text[: ends[count - 1]], ends[:count], first, complete=False).malformed)

    broken_at = bisect.bisect_left(range(1, len(ends) + 1), True, key=broken)
    return (
        find_traces(text[: ends[broken_at - 1]], ends[:broken_at], first, complete=False).traces
        if broken_at
        else Traces()
    )


def find_traces(text: str, ends: Sequence[int], first: int, *, complete: bool = True) -> Found:
    """The visual and audio parts of a response.

    Args:
        text: the response.
        ends: for each token where its text ends, non-decreasing.
        first: position of the first response token in the whole sequence.
        complete: False while decoding: an open part then reaches to the end of what is written.

    Returns:
        spans in positions of the whole sequence. A tag twice, closed before it is opened, never closed (when
        complete), or parts that overlap: malformed, with no spans.
    """
    parts: dict[str, Span | None] = {}
    places: list[tuple[int, int]] = []
    for name, (opening, closing) in _TAG.items():
        opened, closed = list(opening.finditer(text)), list(closing.finditer(text))
        if not opened and not closed:
            parts[name] = None
            continue
        if len(opened) != 1 or len(closed) > 1 or (closed and closed[0].start() < opened[0].end()):
            return Found(Traces(), f"<{name}> is opened {len(opened)} times and closed {len(closed)} times")
        if not closed and complete:
            return Found(Traces(), f"<{name}> is never closed")
        stop = closed[0].end() if closed else len(text)
        places.append((opened[0].start(), stop))
        at = [_token_at(ends, c) for c in (opened[0].start(), opened[0].end())]
        # the part ends with the token that completes its closing tag: before that, a reader of prefixes cannot know
        end, close = (_token_at(ends, stop - 1), _token_after(ends, stop)) if closed else (len(ends), len(ends))
        # a token that holds the end of the opening tag and the first inner character counts as tag
        begin = at[1] if _starts_at(ends, at[1], opened[0].end()) else at[1] + 1
        # both tags may end in one token: then there is no inside, and it begins after it ends
        parts[name] = Span(first + at[0], first + begin, first + end, first + close)
    places.sort()
    if len(places) == 2 and places[0][1] > places[1][0]:
        return Found(Traces(), "<v> and <a> overlap")
    return Found(Traces(parts["v"], parts["a"]))


def _token_at(ends: Sequence[int], character: int) -> int:
    """The first token whose text reaches past a character position."""
    return bisect.bisect_right(ends, character)


def _token_after(ends: Sequence[int], character: int) -> int:
    """One past the token that holds the character before a position."""
    return min(_token_at(ends, character - 1) + 1, len(ends))


def _starts_at(ends: Sequence[int], token: int, character: int) -> bool:
    return token == 0 or token >= len(ends) or ends[token - 1] >= character
