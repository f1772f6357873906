"""Rows of the runs shown, as DuckDB tables of the columns that are searched and filtered by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.viewer.tables import KEY, PART, Tables
from avcurate.viewer.view import TITLES, View

if TYPE_CHECKING:
    import duckdb

Notes = Callable[[RunDir], dict[str, dict[str, str]]]
MAX_VALUES = 12
"""A column with more distinct values is not offered as a filter."""
_REFRESH_S = 3.0


@dataclass(frozen=True)
class Column:
    """A column to filter by: its values if there are few, its range if it is a number."""

    name: str
    kind: str
    values: tuple[str | None, ...] = ()
    low: float | None = None
    high: float | None = None


@dataclass
class Shown:
    """One run as it is shown."""

    run: RunDir
    view: View
    tables: Tables
    columns: dict[str, Column] = field(default_factory=dict)
    title: str = "r._key"
    rows: int = 0
    version: Any = None


class Index:
    """Tables ``run0`` and, with a second run, ``run1``: one row each for every row that came in.

    Args:
        runs: one or two, each with its task's view.
        notes: what is known of a run's rows beside its tables, by column and key, e.g. reviewers' verdicts.

    Raises:
        UserError: DuckDB is not installed, or a run cannot be read.
    """

    def __init__(self, runs: list[tuple[RunDir, View]], notes: Notes | None = None) -> None:
        try:
            import duckdb
        except ImportError:
            raise UserError("avcurate view needs DuckDB.", "Install it: pip install 'avcurate[view]'.") from None
        # nothing outside is read or fetched, whatever a query says
        self._con = duckdb.connect(config={"enable_external_access": False, "autoinstall_known_extensions": False})
        self._lock, self._notes = threading.Lock(), notes or (lambda _: {})
        self.runs = [Shown(run, view, Tables(run)) for run, view in runs]
        self._looked = 0.0
        self.refresh(force=True)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection for one thread."""
        return self._con.cursor()

    def refresh(self, *, force: bool = False) -> None:
        """Read what has been committed since; looks at the disk at most every three seconds."""
        with self._lock:
            if not force and time.monotonic() - self._looked < _REFRESH_S:
                return
            for number, shown in enumerate(self.runs):
                try:
                    notes = self._notes(shown.run)
                    version = (shown.tables.version(), notes)
                    if version != shown.version:
                        self._replace(number, shown, notes)
                        shown.version = version
                except (OSError, pa.ArrowInvalid):
                    # a part was replaced while it was read: the next look finds the new one
                    if force:
                        raise
            self._looked = time.monotonic()

    def _replace(self, number: int, shown: Shown, notes: dict[str, dict[str, str]]) -> None:
        """Build a run's table as one transaction: a search meanwhile sees the table that was there before."""
        con = self.cursor()
        con.begin()
        try:
            self._build(con, number, shown, notes)
            con.commit()
        except BaseException:
            con.rollback()
            raise

    def _build(
        self, con: duckdb.DuckDBPyConnection, number: int, shown: Shown, notes: dict[str, dict[str, str]]
    ) -> None:
        kept, lost = shown.tables.read()
        chain = shown.tables.chain
        if not kept or not len(kept[0]):
            kept, chain = [_EMPTY], ["none"]
        for i, table in enumerate(kept):
            con.register(f"t{i}", table)
        con.register("lost", _with_lost(lost))
        joins = " ".join(f"LEFT JOIN t{i} ON t{i}.{KEY} = t0.{KEY}" for i in range(1, len(kept)))
        names = [n for table in kept for n in table.column_names if n not in (KEY, PART)]
        listed = ", ".join(f"{q(n)}" for n in names if n not in ("row", "state", "stage", "reason"))
        row = f"t0.{q('row')}" if "row" in kept[0].column_names else "row_number() OVER ()"
        done = f"t{len(kept) - 1}.{KEY} IS NOT NULL"
        text = ", ".join(t for n in names if (t := _as_text(n, kept))) or "''"
        con.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE building AS
            WITH later AS (SELECT row_id, any_value(state) AS lost_state, any_value(stage) AS stage,
                any_value(reason) AS lost_reason, any_value(message) AS message, any_value(hint) AS hint,
                any_value(reproduce) AS reproduce FROM lost
                WHERE "of" <> ? AND "of" IN ({_marks(chain)}) GROUP BY row_id),
            base AS (SELECT t0.{KEY}, t0.{PART}, {row} AS "row", {listed + "," if listed else ""}
                coalesce(later.lost_state, CASE WHEN {done} THEN 'kept' ELSE 'in progress' END) AS state,
                later.stage AS stage, later.lost_reason AS reason, later.message AS message, later.hint AS hint,
                later.reproduce AS reproduce, concat_ws(' ', {text}) AS _text
                FROM t0 {joins} LEFT JOIN later ON later.row_id = t0.{KEY}),
            early AS (SELECT concat(row_id, '@', "of", '-', "row") AS {KEY}, "row", state, stage, reason,
                message, hint, reproduce, media AS lost_media, coalesce(row_id, '') AS _text
                FROM lost WHERE "of" = ? OR "of" NOT IN ({_marks(chain)}))
            SELECT * FROM base UNION ALL BY NAME SELECT * FROM early
            """,  # noqa: S608  # names are the run's own columns, quoted
            [chain[0], *chain, chain[0], *chain],
        )
        present = {n: t for n, t in con.execute("SELECT column_name, column_type FROM (DESCRIBE building)").fetchall()}
        further = _answers(present)
        further |= {n: sql for n, (needs, sql) in shown.view.columns.items() if needs in present and n not in present}
        added = "".join(f", {sql} AS {q(n)}" for n, sql in further.items())
        lists = ", ".join(q(n) for n, t in present.items() if t.endswith("[]"))
        words = "lower(concat_ws(' ', _text, reason, message)) AS _text"
        con.execute(
            f"CREATE OR REPLACE TABLE run{number} AS SELECT * EXCLUDE (_text{', ' + lists if lists else ''}), "  # noqa: S608
            f'{words}{added} FROM building ORDER BY "row"'
        )
        for name, values in notes.items():
            noted = {KEY: pa.array(list(values), pa.string()), "note": pa.array(list(values.values()), pa.string())}
            con.register("noted", pa.table(noted))
            con.execute(
                f"CREATE OR REPLACE TABLE run{number} AS SELECT r.*, noted.note AS {q(name)} FROM run{number} r "  # noqa: S608
                f'LEFT JOIN noted ON noted.{KEY} = r.{KEY} ORDER BY r."row"'
            )
        shown.rows = con.execute(f"SELECT count(*) FROM run{number}").fetchall()[0][0]  # noqa: S608
        shown.columns = self._columns(number, con)
        titles = [f"nullif(CAST(r.{q(t)} AS VARCHAR), '')" for t in (*shown.view.titles, KEY) if t in shown.columns]
        shown.title = f"coalesce({', '.join(titles)})"

    def _columns(self, number: int, con: duckdb.DuckDBPyConnection) -> dict[str, Column]:
        columns, shown = {}, self.runs[number]
        described = con.execute(f"SELECT column_name, column_type FROM (DESCRIBE run{number})").fetchall()  # noqa: S608
        for name, kind in described:
            if name == "_text":
                continue
            number_like = any(k in kind for k in ("INT", "DOUBLE", "FLOAT", "DECIMAL"))
            if number_like:
                low, high = con.execute(f"SELECT min({q(name)}), max({q(name)}) FROM run{number}").fetchall()[0]  # noqa: S608
                columns[name] = Column(name, "number", (), _float(low), _float(high))
                continue
            values = con.execute(
                f"SELECT DISTINCT CAST({q(name)} AS VARCHAR) v FROM run{number} LIMIT {MAX_VALUES + 1}"  # noqa: S608
            ).fetchall()
            few = len(values) <= min(MAX_VALUES, max(6, shown.rows // 2)) and not _names_a_row(name)
            found = tuple(sorted((v[0] for v in values), key=lambda v: (v is None, v)))
            columns[name] = Column(name, "bool" if kind == "BOOLEAN" else "text", found if few else ())
        return columns


def _names_a_row(column: str) -> bool:
    return column.startswith("_") or column.endswith("_id") or column in ("message", "hint", "reproduce", *TITLES)


_EMPTY = pa.table({KEY: pa.array([], pa.string()), PART: pa.array([], pa.int32())})


def _with_lost(lost: pa.Table) -> pa.Table:
    """Filtered and dead rows with all of their columns, whatever the parts had."""
    wanted = {"row_id": pa.string(), "row": pa.int64(), "state": pa.string(), "of": pa.string()}
    wanted |= dict.fromkeys(("stage", "setting", "reason", "message", "hint", "media", "reproduce"), pa.string())
    for name, kind in wanted.items():
        if name not in lost.column_names:
            lost = lost.append_column(name, pa.nulls(len(lost), kind))
    return lost


def q(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _marks(values: list[str]) -> str:
    return ", ".join("?" for _ in values)


def _as_text(name: str, tables: list[pa.Table]) -> str:
    """A column as words to search; empty for numbers and truth values, which conditions find."""
    kind = next(t.schema.field(name).type for t in tables if name in t.column_names)
    if pa.types.is_list(kind):
        return f"array_to_string({q(name)}, ' ')"
    return q(name) if pa.types.is_string(kind) else ""


def _answers(present: dict[str, str]) -> dict[str, str]:
    """The most frequent answer of a setting, and the share of its responses that say something else."""
    further = {}
    for name, kind in present.items():
        if name.endswith("_answers") and kind == "VARCHAR[]" and name.split("_")[0] in ("a", "v", "av", "blind"):
            setting, column = name.removesuffix("_answers"), q(name)
            further[f"{setting}_answer"] = f"list_aggregate({column}, 'mode')"
            # an unreadable response agrees with none
            most = f"list_max(map_values(list_aggregate({column}, 'histogram')))"
            further[f"{setting}_disagreement"] = f"round(1 - {most} / nullif(len({column}), 0), 3)"
    return further


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
