"""A page of rows, and how many rows each filter would leave."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from avcurate.errors import UserError
from avcurate.viewer.index import Column, Index, Shown, q
from avcurate.viewer.query import Condition, parse
from avcurate.viewer.responses import containing
from avcurate.viewer.tables import KEY

if TYPE_CHECKING:
    import duckdb

MAX_PAGE = 200
FACETS = 14


def search(
    index: Index, number: int, text: str, sort: str = "", *, descending: bool = False, offset: int = 0, limit: int = 50
) -> dict[str, Any]:
    """One page of a run's rows.

    Args:
        number: which run; the other one is joined to it by key.
        text: what is in the search box.
        sort: a column; empty: the order of the input.

    Returns:
        ``total``, ``rows`` (key, title, label, state, reason, and the other run's label), ``facets`` (counts of each
        value of the columns with few values, each without its own condition) and ``ms``.

    Raises:
        UserError: the search names a column that does not exist, or compares it with something that is no number.
    """
    began = time.perf_counter()
    index.refresh()
    shown = index.runs[number]
    other = index.runs[1 - number] if len(index.runs) > 1 else None
    condition = parse(text, shown.columns, other.columns if other else {}, shown.view.label)
    con = index.cursor()
    source = f"run{number} r" + (f" LEFT JOIN run{1 - number} o ON o.{KEY} = r.{KEY}" if other else "")
    if condition.words:
        con.register("said", pa.table({KEY: containing(shown, condition.words)}))
        source += f" SEMI JOIN said ON said.{KEY} = r.{KEY}"
    where, parameters = condition.where()
    total = con.execute(f"SELECT count(*) FROM {source} WHERE {where}", parameters).fetchall()[0][0]  # noqa: S608
    order = _order(shown, sort, descending)
    rows = con.execute(
        f"SELECT {_brief(shown, other, sort)} FROM {source} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",  # noqa: S608
        [*parameters, min(max(limit, 1), MAX_PAGE), max(offset, 0)],
    )
    names = [d[0] for d in rows.description]
    # JSON has no NaN
    page = [{n: None if v != v else v for n, v in zip(names, r, strict=True)} for r in rows.fetchall()]
    facets = [_facet(con, source, condition, column) for column in facet_columns(shown)]
    return {"total": total, "rows": page, "facets": facets, "ms": round(1000 * (time.perf_counter() - began), 1)}


def facet_columns(shown: Shown) -> list[Column]:
    """Columns with few values, the label first; those with one value tell nothing."""
    first = [shown.view.label, "state", shown.view.reason, "reason", "stage"]
    found = [c for c in shown.columns.values() if len(c.values) > 1]
    found.sort(key=lambda c: first.index(c.name) if c.name in first else len(first))
    return found[:FACETS]


def _facet(con: duckdb.DuckDBPyConnection, source: str, condition: Condition, column: Column) -> dict[str, Any]:
    where, parameters = condition.where(without=column.name)
    counted = con.execute(
        f"SELECT CAST(r.{q(column.name)} AS VARCHAR), count(*) FROM {source} WHERE {where} GROUP BY 1",  # noqa: S608
        parameters,
    ).fetchall()
    counts = dict(counted)
    return {"name": column.name, "values": [{"value": v, "n": counts.get(v, 0)} for v in column.values]}


def _brief(shown: Shown, other: Shown | None, sort: str) -> str:
    have = shown.columns
    columns = {"key": f"r.{KEY}", "title": shown.title, "state": "r.state", "reason": "r.reason"}
    if "message" in have:
        columns["message"] = "r.message"
    for name, column in (("label", shown.view.label), ("why", shown.view.reason)):
        if column in have:
            columns[name] = f"r.{q(column)}"
    if other and other.view.label in other.columns:
        columns["other"] = f"o.{q(other.view.label)}"
        columns["paired"] = f"o.{KEY} IS NOT NULL"
    if sort in have:
        columns["sorted"] = f"r.{q(sort)}"
    return ", ".join(f"{sql} AS {q(name)}" for name, sql in columns.items())


def _order(shown: Shown, sort: str, descending: bool) -> str:
    if sort and sort not in shown.columns:
        raise UserError(f"there is no column {sort[:40]!r} to sort by.", "Choose one of the list.")
    way = "DESC" if descending else "ASC"
    # the row's number and key make the order the same each time
    return (f"r.{q(sort)} {way} NULLS LAST, " if sort else "") + f'r."row", r.{KEY}'
