"""One JSON value at a position in a text: duplicate keys and huge numbers are reported, not swallowed.

Hand-written since no maintained library offers all of it: where a value ends, which keys are repeated, and a stream
that resumes after a bad record.
"""

from __future__ import annotations

import json
from typing import Any

from avcurate.sources.record import Record

MAX_RECORD = 16 << 20
MAX_DIGITS = 400


class JsonReader:
    """Decodes one value; afterwards ``fault`` says what is wrong inside it, ``outermost`` holds its pairs in order."""

    def __init__(self) -> None:
        self.fault = ""
        self.outermost: list[tuple[str, Any]] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=self._pairs, parse_int=self._int)

    def decode(self, text: str, at: int) -> tuple[Any, int]:
        """The value that begins at a position, and where it ends.

        Raises:
            ValueError: there is none, or it does not end.
            RecursionError: it is nested too deeply.
        """
        self.fault, self.outermost = "", []
        return self._decoder.raw_decode(text, at)

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        decoded = dict(pairs)
        if len(decoded) != len(pairs):
            names = [k for k, _ in pairs]
            twice = next(k for k in names if names.count(k) > 1)
            self.fault = self.fault or f"duplicate_key: the key {twice[:80]!r} occurs twice"
        # the outermost object is decoded last
        self.outermost = pairs
        return decoded

    def _int(self, digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            self.fault = self.fault or f"number_too_long: it contains a number of {len(digits)} digits"
            return 0
        return int(digits)


def as_record(row: int, value: Any, raw: str, fault: str = "", size: int = 0) -> Record:
    """A decoded value as a record, or why it is not one."""
    shown = raw.encode("utf-8", "replace").decode()
    if fault:
        reason, _, what = fault.partition(": ")
        return Record(row, None, reason, f"record {row}: {what}.", shown)
    if not isinstance(value, dict):
        return Record(row, None, "not_a_record", f"record {row} is a {type(value).__name__}, not an object.", shown)
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return Record(row, None, "not_utf8", f"record {row} holds half a surrogate pair.", shown)
    except (RecursionError, ValueError) as e:
        return Record(row, None, "json_too_deep", f"record {row} cannot be serialised again: {e}.", shown)
    return Record(row, value, size=size or len(raw))
