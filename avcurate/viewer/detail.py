"""One row whole: its question, clips, responses by setting, how its label came to be, and every other column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avcurate.errors import MediaError, UserError
from avcurate.media.folder import refuse_name
from avcurate.schema import TABLES
from avcurate.viewer.index import Index, Shown
from avcurate.viewer.tables import KEY, PART

NAMES = {"a": "sound alone", "v": "picture alone", "av": "sound and picture", "blind": "question alone"}
MAX_TEXT, MAX_LIST = 20_000, 200
ABOUT = {c.name: c.about for columns in TABLES.values() for c in columns}
_SHOWN_APART = frozenset({"question", "choices", "answer", "answer_index", "asked", "pem", "discard_reason"})


def detail(index: Index, number: int, key: str) -> dict[str, Any]:
    """A row as the page shows it.

    Raises:
        UserError: there is no such row, or its part is damaged.
    """
    shown, brief = index.runs[number], row_of(index, number, key)
    row = whole(shown, brief) or {}
    answers = _settings(row) + _conditions(row)
    return {
        "key": key,
        "run": shown.run.root.name,
        "state": brief["state"],
        "title": brief["_title"],
        "label": row.get(shown.view.label),
        "why": row.get(shown.view.reason),
        "lost": {k: brief.get(k) for k in ("stage", "reason", "message", "hint", "reproduce")},
        "question": row.get("question"),
        "choices": row.get("choices") or [],
        "answer": row.get("answer"),
        "clips": [
            {"name": name, "number": i, "start": start, "end": end}
            for i, (name, _, start, end) in enumerate(clips(shown, row))
        ],
        "answers": answers,
        "steps": shown.view.steps(row) if row else [],
        "values": _values(row, shown),
    }


def row_of(index: Index, number: int, key: str) -> dict[str, Any]:
    """A row of the index.

    Raises:
        UserError: there is none with this key.
    """
    title = index.runs[number].title
    found = index.cursor().execute(f"SELECT *, {title} AS _title FROM run{number} r WHERE {KEY} = ?", [key])  # noqa: S608
    names, rows = [d[0] for d in found.description], found.fetchall()
    if not rows:
        raise UserError(f"there is no row {key[:80]!r} in this run.", "It may have been redone: search again.")
    return dict(zip(names, rows[0], strict=True))


def whole(shown: Shown, brief: dict[str, Any]) -> dict[str, Any] | None:
    """All columns of a row, from the last table that has it; ``None`` for a row that never became one."""
    if brief.get(PART) is None:
        return None
    for table in reversed(shown.tables.chain):
        parts = shown.run.parts(table)
        commit = parts.commit_of(brief[PART])
        if commit is None or parts.file(commit.part).relative_to(shown.run.root).as_posix() not in commit.files:
            continue
        rows = parts.read(commit.part)
        column = [str(k) for k in rows.column(shown.tables.key).to_pylist()]
        if brief[KEY] in column:
            found: dict[str, Any] = rows.slice(column.index(brief[KEY]), 1).to_pylist()[0]
            return found
    return None


def clips(shown: Shown, row: dict[str, Any]) -> list[tuple[str, Path, float | None, float | None]]:
    """Name, file, start and end of each clip that a row names and that is there, inside its folder."""
    found = []
    for column, where in shown.view.clips:
        name = row.get(column)
        if not isinstance(name, str):
            continue
        try:
            refuse_name(name)
            root = _root(shown, where)
        except (MediaError, UserError):
            continue
        if root is not None and (root / name).is_file():
            cut = (row.get("start"), row.get("end")) if column == "media" else (None, None)
            found.append((name, root / name, *cut))
    return found


def _root(shown: Shown, where: str) -> Path | None:
    if where == "media":
        return shown.run.path_of("media")
    return shown.run.root if where == "run" else shown.run.root / where


def _settings(row: dict[str, Any]) -> list[dict[str, Any]]:
    groups = []
    for setting, name in NAMES.items():
        responses = row.get(f"{setting}_responses")
        if responses is None and (setting == "blind" or f"{setting}_responses" not in row):
            continue
        answers, right = row.get(f"{setting}_answers") or [], row.get(f"{setting}_correct") or []
        facts = {k: row.get(f"{setting}_{k}") for k in ("k", "asked", "consistency", "solved", "cut")}
        groups.append(
            {
                "name": name,
                **facts,
                "responses": [
                    {
                        "text": _text(r["text"]),
                        "answer": answers[i] if i < len(answers) else None,
                        "right": right[i] if i < len(right) else None,
                        "cut": r.get("finish_reason") == "length",
                    }
                    for i, r in enumerate(responses or [])
                ],
            }
        )
    return groups


def _conditions(row: dict[str, Any]) -> list[dict[str, Any]]:
    groups = []
    for asked in row.get("asked") or []:
        if not isinstance(asked, dict):
            continue
        correct, answers = asked.get("correct") or [], asked.get("answers") or []
        groups.append(
            {
                "name": NAMES.get(str(asked.get("condition")), asked.get("condition")),
                "k": sum(map(bool, correct)),
                "asked": len(correct),
                "responses": [
                    {
                        "text": _text(t),
                        "answer": answers[i] if i < len(answers) else None,
                        "right": correct[i] if i < len(correct) else None,
                    }
                    for i, t in enumerate(asked.get("texts") or [])
                ],
            }
        )
    return groups


def _values(row: dict[str, Any], shown: Shown) -> list[dict[str, Any]]:
    apart = _SHOWN_APART | {f"{s}_{n}" for s in NAMES for n in ("responses", "answers", "correct")}
    return [
        {"name": name, "about": ABOUT.get(name, ""), "value": _plain(value)}
        for name, value in row.items()
        if name not in apart and value is not None
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_plain(v) for v in value[:MAX_LIST]] + ([f"… {len(value)} in all"] if len(value) > MAX_LIST else [])
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, float) and value != value:
        return None
    return value


def _text(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … ({len(text):,} characters)"
