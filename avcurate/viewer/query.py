"""What is typed into the search box, as a condition in SQL with its parameters."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from avcurate.errors import UserError
from avcurate.viewer.index import Column, q
from avcurate.viewer.tables import KEY

_TOKEN = re.compile(r'-?(?:[\w.]+(?::|<=|>=|<|>|=))?"[^"]*"|\S+')
_CONDITION = re.compile(r"(-?)([A-Za-z_][\w.]*)(:|<=|>=|<|>|=)(.*)", re.DOTALL)
NONE = "none"
MAX_LENGTH = 2000


@dataclass
class Condition:
    """Part of a query.

    Attributes:
        sql: of rows ``r``, and ``o`` in the second run; parameters are question marks.
        parameters: their values.
        words: to find in responses, lower case.
        by_column: the SQL of each column's own conditions, so that counts of its values can leave them out.
    """

    sql: list[str] = field(default_factory=list)
    parameters: list[list[Any]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    by_column: list[str] = field(default_factory=list)

    def add(self, column: str, sql: str, *parameters: Any) -> None:
        """Add one condition on a column; on the text, where it is empty."""
        self.sql.append(sql)
        self.parameters.append(list(parameters))
        self.by_column.append(column)

    def where(self, without: str = "") -> tuple[str, list[Any]]:
        """All conditions together, except those on one column."""
        chosen = [i for i, c in enumerate(self.by_column) if not without or c != without]
        return " AND ".join(self.sql[i] for i in chosen) or "true", [p for i in chosen for p in self.parameters[i]]


def parse(text: str, columns: Mapping[str, Column], other: Mapping[str, Column], label: str) -> Condition:
    """Read a query.

    Args:
        columns: of the run; ``other`` those of the second run, empty without one.
        label: the column that ``changed:label`` compares.

    Raises:
        UserError: a column does not exist, or is compared with something that is no number.
    """
    if len(text) > MAX_LENGTH:
        raise UserError(f"a search has at most {MAX_LENGTH:,} characters.", "Shorten it.")
    condition, in_responses = Condition(), False
    words: list[tuple[str, str]] = []
    equal: dict[tuple[str, str], list[str]] = {}
    for token in _TOKEN.findall(text):
        match = _CONDITION.fullmatch(token)
        if match is None or (match[3] == ":" and match[4].startswith("//")):
            negated = token.startswith("-") and len(token) > 1
            words.append(("NOT " if negated else "", token.removeprefix("-" if negated else "").strip('"').lower()))
            continue
        negated, name, sign, value = bool(match[1]), match[2], match[3], match[4].strip('"')
        if name == "in" and value == "responses":
            in_responses = True
        elif name == "changed":
            condition.add(name, f"{'NOT ' if negated else ''}({_changed(value, columns, other, label)})")
        elif sign == ":":
            _column(name, columns, other)
            equal.setdefault((name, "NOT " if negated else ""), []).append(value)
        else:
            column, sql = _column(name, columns, other)
            negation = "NOT coalesce" if negated else "coalesce"
            condition.add(name, f"{negation}({sql} {sign} ?, false)", _number(column, value))
    for (name, negation), values in equal.items():
        column, sql = _column(name, columns, other)
        tests = [f"{sql} IS NULL" if v == NONE else f"lower(CAST({sql} AS VARCHAR)) = ?" for v in values]
        given = [v.lower() for v in values if v != NONE]
        condition.add(name, f"{negation}coalesce({' OR '.join(tests)}, false)", *given)
    for negation, word in words:
        if in_responses and not negation:
            condition.words.append(word)
        else:
            condition.add("", f"{negation}contains(r._text, ?)", word)
    return condition


def _column(name: str, columns: Mapping[str, Column], other: Mapping[str, Column]) -> tuple[Column, str]:
    table, own = ("o", name.removeprefix("other.")) if other and name.startswith("other.") else ("r", name)
    known = other if table == "o" else columns
    if own in ("id", "key"):
        own = KEY
    if own not in known:
        near = difflib.get_close_matches(own, known, 3) or [n for n in known if not n.startswith("_")][:6]
        raise UserError(f"there is no column {own[:40]!r}.", f"Near: {', '.join(near)}. Quote a word that has a colon.")
    return known[own], f"{table}.{q(own)}"


def _number(column: Column, value: str) -> float | str:
    if column.kind != "number":
        return value
    try:
        return float(value)
    except ValueError:
        raise UserError(f"{column.name} is compared with {value[:40]!r}, which is no number.", "Write 0.8.") from None


def _changed(what: str, columns: Mapping[str, Column], other: Mapping[str, Column], label: str) -> str:
    name = label if what == "label" else "av_answer" if what == "answer" else what
    if not other:
        raise UserError("there is one run: nothing can have changed.", "Give two: avcurate view RUN RUN2.")
    if name not in columns or name not in other:
        raise UserError(f"the runs have no {what[:40]} to compare.", "Write changed:label, changed:answer or a column.")
    return f"r.state = 'kept' AND coalesce(o.state, '') = 'kept' AND r.{q(name)} IS DISTINCT FROM o.{q(name)}"
