"""Reviewers' verdicts: stored line by line, turned into columns, and compared with what is expected."""

from __future__ import annotations

import json
import os
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from avcurate.errors import UserError
from avcurate.metrics.agreement import cohen_kappa
from avcurate.metrics.statistics import wilson
from avcurate.review.items import CANNOT_TELL, Item
from avcurate.runner.rundir import RunDir
from avcurate.store.atomic import write_atomic
from avcurate.store.parts import write_parquet

_NAME = re.compile(r"[\w-]{1,40}")


def verdict_file(run: RunDir, reviewer: str) -> Path:
    """Where a reviewer's verdicts are kept.

    Raises:
        UserError: the name is not a valid file name.
    """
    if not _NAME.fullmatch(reviewer):
        raise UserError(f"{reviewer[:60]!r} is not a reviewer's name.", "Use at most 40 letters, digits, _ and -.")
    return run.root / "review" / f"{reviewer}.jsonl"


def add_verdict(run: RunDir, reviewer: str, item: Item, verdict: str, seconds: float) -> None:
    """Append one verdict, on disk before this returns; a later one on the same item replaces the earlier."""
    file = verdict_file(run, reviewer)
    file.parent.mkdir(exist_ok=True)
    line = {"item": item.id, "expected": item.expected, "verdict": verdict, "seconds": round(seconds, 1)}
    torn = file.is_file() and file.stat().st_size > 0 and not file.read_bytes().endswith(b"\n")
    with file.open("a", encoding="utf-8") as f:
        f.write("\n" if torn else "")
        f.write(json.dumps(line, ensure_ascii=False) + "\n")
        f.flush()
        os.fsync(f.fileno())


def read_verdicts(run: RunDir) -> dict[str, dict[str, dict[str, Any]]]:
    """The last verdict of each reviewer on each item; a line cut off by a crash is skipped."""
    verdicts: dict[str, dict[str, dict[str, Any]]] = {}
    for file in sorted((run.root / "review").glob("*.jsonl")):
        by_item = verdicts.setdefault(file.stem, {})
        for line in file.read_text("utf-8").splitlines():
            try:
                entry = json.loads(line)
                by_item[entry["item"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
    return verdicts


def export_verdicts(run: RunDir) -> Path | None:
    """Write ``review.parquet``: item, expected verdict, a column ``verdict_<reviewer>`` each; ``None`` if none."""
    verdicts = read_verdicts(run)
    expected = {item: v["expected"] for held in verdicts.values() for item, v in held.items()}
    if not expected:
        return None
    items = sorted(expected)
    columns: dict[str, list[Any]] = {"item": items, "expected": [expected[i] for i in items]}
    for reviewer, held in verdicts.items():
        columns[f"verdict_{reviewer}"] = [held[i]["verdict"] if i in held else None for i in items]
    table, target = pa.table(columns), run.root / "review.parquet"
    write_atomic(target, lambda p: write_parquet(table, p))
    return target


def agreement(run: RunDir) -> dict[str, Any]:
    """Each reviewer against what is expected, and reviewers against each other; "cannot tell" counts as a verdict.

    Returns:
        ``{"reviewers": {name: {n, agree, kappa, rejected, error}}, "between": {"a, b": {n, agree, kappa}}}``;
        ``rejected`` are the items on which the reviewer disagrees; ``error`` is their share among those that the
        reviewer could decide, with Wilson's 95 % interval: an estimate of how much of the whole is wrong.
    """
    verdicts = read_verdicts(run)
    reviewers = {}
    for name, held in verdicts.items():
        given, expected = [v["verdict"] for v in held.values()], [v["expected"] for v in held.values()]
        rejected = [item for item, v in held.items() if v["verdict"] != v["expected"]]
        reviewers[name] = _agreement(given, expected) | {"rejected": rejected, "error": _error(given, expected)}
    between = {}
    for a, b in combinations(verdicts, 2):
        items = sorted(verdicts[a].keys() & verdicts[b].keys())
        ours, theirs = ([verdicts[x][i]["verdict"] for i in items] for x in (a, b))
        between[f"{a}, {b}"] = _agreement(ours, theirs)
    return {"run": str(run.root), "reviewers": reviewers, "between": between}


def _error(given: list[str], expected: list[str]) -> dict[str, Any]:
    decided = [(g, e) for g, e in zip(given, expected, strict=True) if g != CANNOT_TELL]
    wrong = sum(g != e for g, e in decided)
    if not decided:
        return {"n": 0, "rate": None, "interval": None}
    return {"n": len(decided), "rate": wrong / len(decided), "interval": list(wilson(wrong, len(decided)))}


def _agreement(ours: list[str], theirs: list[str]) -> dict[str, Any]:
    same = sum(x == y for x, y in zip(ours, theirs, strict=True))
    return {"n": len(ours), "agree": same / len(ours) if ours else None, "kappa": cohen_kappa(ours, theirs)}
