"""Records of an annotation file, one at a time, each with its number; bad ones with a reason, none skipped silently.

Reads JSON, JSON Lines, CSV and Parquet in bounded memory. Knows no dataset. A file that cannot be read to its end is
refused, with the line and column where it breaks; with ``salvage`` every stretch that cannot be delimited as a record
is one dead record with its byte range, and reading continues after it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.sources.json_stream import MAX_RECORD, JsonReader, as_record
from avcurate.sources.record import Record, refuse_file

__all__ = ["Record", "read_records"]
SHOWN = 2000
PARQUET_ROWS = 64
PARQUET_UNPACKED, PARQUET_SWELLS = 1 << 28, 500
TEXT = ("BYTE_ARRAY",)


def read_records(path: Path, *, salvage: bool = False) -> Iterator[Record]:
    """Stream the records of a ``.json``, ``.jsonl``, ``.csv``, ``.tsv`` or ``.parquet`` file.

    Raises:
        UserError: the file is missing, of an unsupported kind, or (without ``salvage``) breaks off or is malformed
            so that later records could not be accounted for.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Give the annotation file as the first argument.")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _csv(path, "\t" if suffix == ".tsv" else ",", salvage)
    if suffix == ".parquet":
        return _parquet(path)
    if suffix in (".jsonl", ".ndjson"):
        return _lines(path)
    if suffix == ".json":
        return _json(path, salvage)
    raise UserError(
        f"{path.name}: annotation files end in .json, .jsonl, .csv, .tsv or .parquet, not {suffix!r}.",
        "Rename the file to match its format.",
    )


def _lines(path: Path) -> Iterator[Record]:
    row = 0
    with path.open("rb") as f:
        while line := f.readline(MAX_RECORD + 1):
            row += 1
            size = len(line)
            if size > MAX_RECORD and not line.endswith(b"\n"):
                while (rest := f.readline(MAX_RECORD)) and not rest.endswith(b"\n"):
                    size += len(rest)
                yield Record(row, None, "record_too_large", f"line {row} is longer than {MAX_RECORD:,} bytes.")
                continue
            if row == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if line.strip():
                yield _line(row, line, size)


def _line(row: int, line: bytes, size: int) -> Record:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as e:
        shown = line.decode("utf-8", "replace")[:SHOWN]
        return Record(row, None, "not_utf8", f"record {row} is not UTF-8 (byte {e.start}).", shown)
    reader = JsonReader()
    try:
        value, end = reader.decode(text.strip(), 0)
    except (ValueError, RecursionError) as e:
        reason = "bad_json" if text.endswith("\n") else "truncated_json"
        return Record(row, None, reason, f"line {row} is not JSON: {e or type(e).__name__}", text[:SHOWN])
    if text.strip()[end:].strip():
        return Record(row, None, "bad_json", f"line {row} holds more than one value.", text[:SHOWN])
    return as_record(row, value, text[:SHOWN], reader.fault, size)


def _json(path: Path, salvage: bool) -> Iterator[Record]:
    with path.open("rb") as f:
        head = f.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
        while not head and (chunk := f.read(1 << 16)):
            head = chunk.lstrip(b" \t\r\n")
    if head.startswith(b"["):
        from avcurate.sources.json_array import read_array

        return read_array(path, salvage)
    if head.startswith(b"{"):
        return _object(path)
    shown = head[:64].decode("utf-8", "replace")
    if not head:
        return iter(())
    raise refuse_file(path, "its beginning", f"it holds no JSON array or object but {shown!r}")


def _object(path: Path) -> Iterator[Record]:
    """A dictionary of records by id, one that holds one list of records, one record, or JSON Lines."""
    data = path.read_bytes()
    first = data.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)
    reader = JsonReader()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise refuse_file(path, f"byte {e.start}", "it is not UTF-8") from None
    try:
        value, end = reader.decode(text, len(text) - len(text.lstrip()))
        if text[end:].strip():
            raise json.JSONDecodeError("something follows the object", text, end)
    except (ValueError, RecursionError) as e:
        if len(first) > 1 and _is_value(first[0]):
            return _lines(path)
        error = e if isinstance(e, json.JSONDecodeError) else None
        where = f"line {error.lineno}, column {error.colno}" if error else "its beginning"
        raise refuse_file(path, where, (error.msg if error else str(e) or type(e).__name__).lower()) from None
    pairs = reader.outermost
    lists = [v for _, v in pairs if isinstance(v, list) and v and all(isinstance(x, dict) for x in v)]
    if len(lists) == 1:
        items: list[tuple[Any, str]] = [(v, "") for v in lists[0]]
    elif pairs and all(isinstance(v, dict) for _, v in pairs):
        seen: set[str] = set()
        items = []
        for key, inner in pairs:
            items.append(({"id": key, **inner}, f"the id {key[:80]!r} occurs in the file twice" if key in seen else ""))
            seen.add(key)
    else:
        items = [(value, "")]
    fault = "" if len(items) > 1 else reader.fault

    def records() -> Iterator[Record]:
        for i, (item, twice) in enumerate(items, 1):
            if twice:
                yield Record(i, None, "duplicate_key", f"record {i}: {twice}.", str(item)[:SHOWN])
            else:
                yield as_record(i, item, str(item)[:SHOWN], fault)

    return records()


def _is_value(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _has_surrogate(text: str) -> bool:
    return any("\udc80" <= c <= "\udcff" for c in text) if not text.isascii() else False


@dataclass
class _Lines:
    """Lines of a file, counted and kept until ``held`` is cleared, so that a bad stretch can be read again."""

    lines: Iterator[str]
    held: list[str]
    number: int = 0

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.number += 1
            self.held.append(line)
            yield line


def _csv(path: Path, delimiter: str, salvage: bool) -> Iterator[Record]:
    csv.field_size_limit(MAX_RECORD)
    with path.open("r", encoding="utf-8-sig", errors="surrogateescape", newline="") as f:
        source = _Lines(f, [])
        reader = csv.reader(source, delimiter=delimiter, strict=True)
        try:
            header = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            raise refuse_file(path, "its header", str(e)) from None
        repeated = next((h for h in header if header.count(h) > 1), None)
        if repeated is not None:
            raise UserError(f"{path.name} has two columns named {repeated!r}.", "Rename one of them.")
        row = 0
        while True:
            row += 1
            source.held.clear()
            first = source.number + 1
            error = ""
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as e:
                fields, error = [], str(e)
            spans = len(source.held)
            if not error and len(fields) == len(header):
                yield _csv_row(row, path, header, fields, delimiter)
                continue
            what = error or f"it has {len(fields)} fields, the header {len(header)}"
            if spans <= 1:
                shown = source.held[0].encode("utf-8", "replace").decode()[:SHOWN] if source.held else ""
                message = f"data row {row} of {path.name}: {what}."
                yield Record(row, None, "bad_csv_row", message, shown)
                if error:
                    reader = csv.reader(source, delimiter=delimiter, strict=True)
                continue
            if not salvage:
                raise refuse_file(path, f"line {first}", f"a quote there makes one row of {spans} lines ({what})")
            # a stray quote has swallowed lines: each of them is a row of its own
            swallowed = list(source.held)
            for i, line in enumerate(swallowed):
                yield _swallowed_row(row + i, path, header, line, delimiter)
            row += spans - 1
            reader = csv.reader(source, delimiter=delimiter, strict=True)


def _swallowed_row(row: int, path: Path, header: list[str], line: str, delimiter: str) -> Record:
    shown = line.encode("utf-8", "replace").decode()[:SHOWN]
    try:
        fields = next(csv.reader(io.StringIO(line.rstrip("\r\n"), newline=""), delimiter=delimiter, strict=True), [])
    except csv.Error as e:
        return Record(row, None, "bad_csv_row", f"data row {row} of {path.name}: {e}.", shown)
    if len(fields) != len(header):
        what = f"it has {len(fields)} fields, the header {len(header)}"
        return Record(row, None, "bad_csv_row", f"data row {row} of {path.name}: {what}.", shown)
    return _csv_row(row, path, header, fields, delimiter)


def _csv_row(row: int, path: Path, header: list[str], fields: list[str], delimiter: str) -> Record:
    raw = delimiter.join(fields)
    if _has_surrogate(raw):
        clean = raw.encode("utf-8", "replace").decode()
        return Record(row, None, "not_utf8", f"data row {row} of {path.name} is not UTF-8.", clean[:SHOWN])
    return Record(row, dict(zip(header, fields, strict=True)), size=len(raw))


def _parquet(path: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with pq.ParquetFile(path) as plain:
            texts = [c.path for i in range(len(plain.schema)) if (c := plain.schema.column(i)).physical_type in TEXT]
        # a kilobyte file may unpack to gigabytes: repeated values stay in their dictionary until their row is read
        file = pq.ParquetFile(path, read_dictionary=texts)
        for group in range(file.num_row_groups):
            _refuse_swelling(path, file.metadata.row_group(group))
            for batch in file.iter_batches(batch_size=PARQUET_ROWS, row_groups=[group]):
                for i in range(batch.num_rows):
                    row += 1
                    yield _parquet_row(row, batch.slice(i, 1), path)
    except (pa.ArrowException, OSError, MemoryError) as e:
        reason = " ".join(str(e).split())[:300]
        raise UserError(
            f"{path} cannot be read beyond row {row}: {reason}", "The file is damaged; fetch it again."
        ) from None


def _refuse_swelling(path: Path, group: Any) -> None:
    """Refuse a row group that would fill the memory when its pages are unpacked.

    Raises:
        UserError: it is hundreds of times larger in memory than in the file.
    """
    packed = sum(group.column(i).total_compressed_size for i in range(group.num_columns))
    if group.total_byte_size > PARQUET_UNPACKED and group.total_byte_size > PARQUET_SWELLS * packed:
        raise UserError(
            f"{path} cannot be read: {packed:,} bytes of it unpack to {group.total_byte_size:,}.",
            "If that is intended, rewrite it with smaller row groups.",
        )


def _parquet_row(row: int, batch: Any, path: Path) -> Record:
    try:
        value = batch.to_pylist()[0]
        if (size := _size(value)) > MAX_RECORD:
            return Record(row, None, "record_too_large", f"row {row} of {path.name} holds {size:,} bytes.")
        return as_record(row, value, "", "", size)
    except (UnicodeDecodeError, ValueError, OverflowError) as e:
        return Record(row, None, "not_utf8", f"row {row} of {path.name} cannot be read: {e}.")


def _size(value: Any) -> int:
    """Bytes of a value's texts, and eight for every other value."""
    if isinstance(value, dict):
        return sum(_size(v) for v in value.values())
    if isinstance(value, list):
        return sum(_size(v) for v in value)
    return len(value) if isinstance(value, (str, bytes)) else 8
