"""Rows whose responses contain a word: the responses stay on disk, and are read for this alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from avcurate.viewer.index import Shown


def containing(shown: Shown, words: list[str]) -> pa.Array:
    """Keys of the rows that say every word in one of their responses or captions, whatever the case."""
    tables = {p.name: p for p in shown.run.tables(shown.run.record()).values()}
    found = []
    for name in shown.tables.chain:
        for commit in tables[name].commits():
            file = tables[name].file(commit.part)
            if file.relative_to(shown.run.root).as_posix() not in commit.files:
                continue
            columns = {f.name: f.type for f in pq.read_schema(file) if texts_of(f.type)}
            if columns:
                found.append(_keys(pq.read_table(file, columns=[shown.tables.key, *columns]), shown.tables.key, words))
    return pa.concat_arrays(found) if found else pa.array([], pa.string())


def texts_of(kind: pa.DataType) -> str:
    """Name of the field of a list of structures that holds what was said; empty where there is none."""
    if not (pa.types.is_list(kind) and pa.types.is_struct(kind.value_type)):
        return ""
    return next((n for n in ("text", "texts") if kind.value_type.get_field_index(n) >= 0), "")


def _keys(table: pa.Table, key: str, words: list[str]) -> pa.Array:
    said = [_said(table.column(n), words) for n in table.column_names if n != key]
    # in any column, every word
    keep = np.logical_or.reduce([np.zeros((len(words), len(table)), bool), *said]).all(0)
    keys: pa.Array = table.column(key).cast(pa.string()).combine_chunks().filter(pa.array(keep, pa.bool_()))
    return keys


def _said(column: Any, words: list[str]) -> NDArray[np.bool_]:
    """For each word, whether each row says it in this column: (words, rows)."""
    column = column.combine_chunks()
    field, parents = texts_of(column.type), pc.list_parent_indices(column)
    texts = pc.struct_field(pc.list_flatten(column), field)
    if pa.types.is_list(texts.type):
        inner = pc.list_parent_indices(texts)
        texts, parents = pc.list_flatten(texts), parents.take(inner)
    result = np.zeros((len(words), len(column)), bool)
    for number, word in enumerate(words):
        hits = pc.match_substring(texts, word, ignore_case=True).fill_null(False)
        result[number, pc.unique(parents.filter(hits)).to_numpy()] = True
    return result
