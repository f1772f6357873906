"""Records of an annotation file, one at a time, each with its number; bad ones by name.

Reads JSON arrays and JSON Lines as a stream (a half-written file yields the records before the
break), CSV and Parquet. Knows no dataset.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.errors import UserError

CHUNK = 1 << 16
MAX_RECORD = 16 << 20


@dataclass(frozen=True)
class Record:
    """One raw record, or what is wrong with it.

    Attributes:
        row: 1-based number in the file (for CSV and JSON Lines, of the data line).
        value: the record's fields; ``None`` where it could not be read.
        reason: ``bad_json``, ``truncated_json``, ``not_utf8``, ``not_a_record`` or ``bad_csv_row``.
    """

    row: int
    value: dict[str, Any] | None
    reason: str = ""
    message: str = ""
    raw: str = ""
    size: int = 0


def read_records(path: Path) -> Iterator[Record]:
    """Stream the records of a ``.json``, ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet`` file.

    Raises:
        UserError: the file is missing, or of a kind that is not read.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Give the annotation file as the first argument.")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _csv(path, "\t" if suffix == ".tsv" else ",")
    if suffix == ".parquet":
        return _parquet(path)
    if suffix in (".jsonl", ".ndjson"):
        return _lines(path)
    if suffix == ".json":
        return _json(path)
    raise UserError(
        f"{path.name}: annotation files end in .json, .jsonl, .csv, .tsv or .parquet, not {suffix!r}.",
        "Rename the file to what it holds.",
    )


def _decode(data: bytes, row: int) -> str | Record:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        text = data.decode("utf-8", "replace")
        return Record(row, None, "not_utf8", f"record {row} is not UTF-8 (byte {e.start}).", text[:2000])


def _as_record(row: int, value: Any, raw: str) -> Record:
    if not isinstance(value, dict):
        return Record(row, None, "not_a_record", f"record {row} is a {type(value).__name__}, not an object.", raw)
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except (UnicodeEncodeError, RecursionError) as e:
        shown = raw.encode("utf-8", "replace").decode()
        return Record(row, None, "not_utf8", f"record {row} holds half a character: {type(e).__name__}.", shown)
    return Record(row, value)


def _lines(path: Path) -> Iterator[Record]:
    row = 0
    with path.open("rb") as f:
        while line := f.readline(MAX_RECORD):
            row += 1
            if row == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if not line.strip():
                continue
            text = _decode(line, row)
            if isinstance(text, Record):
                yield text
                continue
            try:
                yield _as_record(row, json.loads(text), text[:2000])
            except (ValueError, RecursionError) as e:
                cut = not text.endswith("\n")
                reason = "truncated_json" if cut else "bad_json"
                yield Record(row, None, reason, f"line {row} is not JSON: {e}", text[:2000])


def _json(path: Path) -> Iterator[Record]:
    """Objects of a top-level array, read without holding the whole file."""
    with path.open("rb") as f:
        head = f.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"{"):
        whole = _whole_object(path)
        yield from _lines(path) if whole is None else whole
        return
    if not head.startswith(b"["):
        yield Record(1, None, "bad_json", f"{path.name} holds no JSON array.", head[:64].decode("utf-8", "replace"))
        return
    yield from _array(path)


def _whole_object(path: Path) -> Iterator[Record] | None:
    """A dictionary of records by id, or a dictionary that holds one list of records."""
    try:
        value = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    lists = [v for v in value.values() if isinstance(v, list)]
    if len(lists) == 1:
        items: list[Any] = lists[0]
    elif value and all(isinstance(v, dict) for v in value.values()):
        items = [{"id": k, **v} for k, v in value.items()]
    else:
        items = [value]
    return (_as_record(i, v, str(v)[:2000]) for i, v in enumerate(items, 1))


def _array(path: Path) -> Iterator[Record]:
    decoder = json.JSONDecoder()
    with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        text, at, row = f.read(CHUNK).lstrip()[1:], 0, 0
        ended = False
        while True:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if at < len(text) and text[at] == "]":
                return
            try:
                if at >= len(text):
                    raise ValueError("end of text")
                value, stop = decoder.raw_decode(text, at)
                if stop == len(text) and not ended:
                    raise ValueError("may go on")
            except (ValueError, RecursionError) as e:
                if not ended and len(text) - at < MAX_RECORD:
                    more = f.read(max(CHUNK, len(text) - at))
                    ended = not more
                    text, at = text[at:] + more, 0
                    continue
                row += 1
                rest = text[at : at + 2000]
                yield Record(
                    row,
                    None,
                    "truncated_json",
                    f"{path.name} breaks off in record {row}: {e}. Records before it were read.",
                    rest.encode("utf-8", "replace").decode(),
                )
                return
            row += 1
            raw, at = text[at:stop], stop
            if _has_surrogate(raw):
                clean = raw.encode("utf-8", "replace").decode()
                yield Record(row, None, "not_utf8", f"record {row} of {path.name} is not UTF-8.", clean[:2000])
            else:
                yield _as_record(row, value, raw[:2000])
            if at > 4 * CHUNK:
                text, at = text[at:], 0


def _has_surrogate(text: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in text) if not text.isascii() else False


def _csv(path: Path, delimiter: str) -> Iterator[Record]:
    csv.field_size_limit(MAX_RECORD)
    with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        reader = csv.reader(f, delimiter=delimiter)
        try:
            header = next(reader)
        except StopIteration:
            return
        row = 0
        while True:
            row += 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as e:
                yield Record(row, None, "bad_csv_row", f"data row {row} of {path.name}: {e}")
                continue
            raw = delimiter.join(fields)
            if _has_surrogate(raw):
                clean = raw.encode("utf-8", "replace").decode()
                yield Record(row, None, "not_utf8", f"data row {row} of {path.name} is not UTF-8.", clean[:2000])
            elif len(fields) != len(header):
                message = f"data row {row} of {path.name} has {len(fields)} fields, the header {len(header)}."
                yield Record(row, None, "bad_csv_row", message, raw[:2000])
            else:
                yield Record(row, dict(zip(header, fields, strict=True)))


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except Exception as e:
        raise UserError(f"{path} cannot be read as Parquet: {e}", "Check the file.") from None
    row = 0
    for batch in file.iter_batches(batch_size=1024):
        for value in batch.to_pylist():
            row += 1
            yield Record(row, value)
