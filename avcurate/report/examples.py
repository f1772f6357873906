"""Which rows a page shows: drawn by seed, so that the first in the file are no better placed than the last."""

from __future__ import annotations

import heapq
from typing import Any

from avcurate.runner.rundir import RunDir
from avcurate.seeds import derive_seed


def drawn_rows(
    run: RunDir, table: str, key: str, count: int, seed: int = 0, columns: list[str] | None = None
) -> list[dict[str, Any]]:
    """Some rows of a table, drawn by seed and by their own keys, in the table's order.

    Args:
        key: the column that names a row.
        columns: those that are read; ``None``: all.
    """
    keys = (i for t in run.parts(table).rows(columns=[key]) for i in t.column(0).to_pylist())
    chosen = set(heapq.nsmallest(count, keys, key=lambda i: derive_seed("example", seed, str(i))))
    rows = []
    for part in run.parts(table).rows(columns=columns):
        rows += [r for r in part.to_pylist() if r[key] in chosen]
    return rows
