"""A top-level JSON array, record by record, in bounded memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from avcurate.errors import UserError
from avcurate.sources.json_stream import MAX_RECORD, JsonReader, as_record
from avcurate.sources.record import Record, refuse_file

CHUNK = 1 << 16
SHOWN = 2000
_SPACE = re.compile(r"[ \t\r\n]*+")
# possessive: an unclosed string must not cause backtracking
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]]', re.DOTALL)


def read_array(path: Path, salvage: bool) -> Iterator[Record]:
    """Records of the array; see :func:`avcurate.sources.records.read_records`."""
    with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        yield from _Array(path, f, salvage).records()


class _Array:
    """The text from the current position on, and how much of the file lies before it."""

    def __init__(self, path: Path, f: TextIO, salvage: bool) -> None:
        self.path, self.f, self.salvage = path, f, salvage
        self.text, self.at, self.ended = "", 0, False
        self.bytes_before = self.lines_before = self.column_before = 0
        self.reader = JsonReader()
        # what readable records look like: where they begin in a line, and which keys they have
        self.next_record = re.compile(r"\}[ \t\r\n]*+,?[ \t\r\n]*+(?=\{)")
        self.keys: frozenset[str] = frozenset()

    def _read_on(self, size: int = CHUNK) -> None:
        """Drop what has been read, and read on."""
        behind, self.text = self.text[: self.at], self.text[self.at :]
        self.at = 0
        self._count(behind)
        chunk = self.f.read(max(CHUNK, size))
        self.ended = not chunk
        self.text += chunk

    def _count(self, behind: str) -> None:
        self.bytes_before += len(behind.encode("utf-8", "surrogateescape"))
        lines = behind.count("\n")
        self.lines_before += lines
        self.column_before = len(behind) - behind.rfind("\n") - 1 if lines else self.column_before + len(behind)

    def _where(self, at: int) -> str:
        behind = self.text[:at]
        lines = behind.count("\n")
        column = len(behind) - behind.rfind("\n") if lines else self.column_before + len(behind) + 1
        return f"line {self.lines_before + lines + 1}, column {column}"

    def _byte(self, at: int) -> int:
        return self.bytes_before + len(self.text[:at].encode("utf-8", "surrogateescape"))

    def _skip_space(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            space = _SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self._read_on()

    def records(self) -> Iterator[Record]:
        self._skip_space()
        self.at += 1
        row, expect_comma = 0, False
        while True:
            character = self._skip_space()
            if character == "]":
                self.at += 1
                if self._skip_space() == "":
                    return
                row += 1
                yield self._broken(row, self.at, "something follows the array's end")
                expect_comma = True
                continue
            if character == "," and expect_comma:
                self.at, expect_comma = self.at + 1, False
                continue
            row += 1
            if character == "" or expect_comma:
                what = "the file ends in mid-array" if character == "" else f"a comma is missing before {character!r}"
                yield self._broken(row, self.at, what)
            else:
                yield self._element(row)
            if character == "" or (self.ended and self.at >= len(self.text)):
                if self.salvage:
                    return
                continue
            expect_comma = True

    def _element(self, row: int) -> Record:
        """The record that begins here."""
        while True:
            try:
                value, stop = self.reader.decode(self.text, self.at)
                if stop == len(self.text) and not self.ended:
                    raise ValueError("it may continue")
            except RecursionError:
                return self._skipped(row, "json_too_deep", "is nested too deeply")
            except ValueError as e:
                if not self.ended and len(self.text) - self.at < MAX_RECORD:
                    self._read_on(len(self.text) - self.at)
                    continue
                if not self.ended:
                    return self._skipped(row, "record_too_large", f"is longer than {MAX_RECORD:,} bytes")
                at = e.pos if isinstance(e, json.JSONDecodeError) else self.at
                what = e.msg.lower() if isinstance(e, json.JSONDecodeError) else str(e)
                return self._broken(row, at, what)
            if not self.keys and isinstance(value, dict):
                self._learn(value)
            raw, self.at = self.text[self.at : stop], stop
            if not raw.isascii() and any("\udc80" <= c <= "\udcff" for c in raw):
                clean = raw.encode("utf-8", "replace").decode()[:SHOWN]
                return Record(row, None, "not_utf8", f"record {row} of {self.path.name} is not UTF-8.", clean)
            if self.at > 4 * CHUNK:
                self._count(self.text[: self.at])
                self.text, self.at = self.text[self.at :], 0
            return as_record(row, value, raw[:SHOWN], self.reader.fault, len(raw))

    def _learn(self, first: dict[str, object]) -> None:
        self.keys = frozenset(first)
        line = self.text[: self.at].rpartition("\n")
        if line[1] and not line[2].strip(" \t"):
            self.next_record = re.compile(rf"\n{re.escape(line[2])}(?=\{{)")

    def _skipped(self, row: int, reason: str, what: str) -> Record:
        """A record that is well delimited but unusable: skipped by matching its brackets."""
        first, shown, depth = self._byte(self.at), self.text[self.at : self.at + SHOWN], 0
        while True:
            end = self.at
            for token in _TOKEN.finditer(self.text, self.at):
                depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
                end = token.end()
                if depth == 0 and token[0] in "}]":
                    self.at = end
                    stretch = f"bytes {first:,} to {self._byte(end):,}"
                    return Record(row, None, reason, f"record {row} {what} ({stretch}).", _clean(shown))
            self.at = end
            if self.ended or len(self.text) - self.at > 4 * MAX_RECORD:
                return self._broken(row, self.at, f"record {row} {what} and does not end")
            self._read_on(MAX_RECORD)

    def _broken(self, row: int, at: int, what: str) -> Record:
        """Refuse the file, or skip the stretch up to where the next record may begin."""
        if not self.salvage:
            raise self._refused(at, what)
        first, shown = self._byte(self.at), self.text[self.at : self.at + SHOWN]
        self.at += self.text[self.at : self.at + 1] == "{"
        while True:
            mark = self.next_record.search(self.text, self.at)
            while mark is not None and not self._is_record(mark.end()):
                mark = self.next_record.search(self.text, mark.end())
            if mark is not None:
                self.at = mark.end()
                break
            if self.ended:
                self.at = len(self.text)
                break
            # keep what may be the beginning of the next record's mark
            self.at = max(self.at, self.text.rfind("}"), self.text.rfind("\n"))
            self._read_on(MAX_RECORD)
        last = self._byte(self.at)
        if self.at < len(self.text):
            # so that the loop finds a comma before the next record
            self.text = self.text[: self.at] + "," + self.text[self.at :]
            self.bytes_before -= 1
        return self._stretch(row, first, last, what, shown)

    def _is_record(self, at: int) -> bool:
        """Whether a record like the others begins here."""
        try:
            value, _ = self.reader.decode(self.text, at)
        except (ValueError, RecursionError):
            return False
        return not self.keys or 2 * len(self.keys & set(value)) >= len(self.keys)

    def _stretch(self, row: int, first: int, last: int, what: str, shown: str) -> Record:
        message = f"record {row} of {self.path.name}, bytes {first:,} to {last:,}, cannot be read: {what}."
        return Record(row, None, "not_delimited", message, _clean(shown))

    def _refused(self, at: int, what: str) -> UserError:
        return refuse_file(self.path, self._where(at), what)


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
