"""Reviewers' verdicts: stored line by line, turned into columns, and compared with what is expected."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from avcurate.errors import UserError
from avcurate.metrics.agreement import cohen_kappa, krippendorff_alpha
from avcurate.metrics.calibration import reliability
from avcurate.metrics.statistics import resampled, stratified_share, wilson
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


def agreement(run: RunDir, items: Sequence[Item]) -> dict[str, Any]:
    """Each reviewer against what is expected, reviewers against each other, and what the verdicts say of the whole.

    "Cannot tell" counts as a verdict in κ, and as none in α and in the estimate.

    Args:
        run: whose verdicts are compared.
        items: all that there are to judge, from which the strata's sizes are counted.

    Returns:
        ``reviewers`` by name: ``n``, ``agree``, ``kappa``, its ``interval``, ``rejected`` (the items on which the
        reviewer disagrees) and ``error``: their share among those that the reviewer could decide, with Wilson's 95 %
        interval. ``between`` pairs of reviewers, likewise. ``alpha``: ``value``, ``interval``, ``items``.
        ``precision``: the share of the run's own verdicts that people confirm by majority, each stratum weighted by its
        size: ``value``, ``interval``, ``n``, ``strata``. ``calibration``: stated confidence against what they confirm.
    """
    verdicts = read_verdicts(run)
    reviewers = {}
    for name, held in verdicts.items():
        given, expected = [v["verdict"] for v in held.values()], [v["expected"] for v in held.values()]
        rejected = [item for item, v in held.items() if v["verdict"] != v["expected"]]
        reviewers[name] = _agreement(given, expected) | {"rejected": rejected, "error": _error(given, expected)}
    between = {}
    for a, b in combinations(verdicts, 2):
        shared = sorted(verdicts[a].keys() & verdicts[b].keys())
        ours, theirs = ([verdicts[x][i]["verdict"] for i in shared] for x in (a, b))
        between[f"{a}, {b}"] = _agreement(ours, theirs)
    return {
        "run": str(run.root),
        "reviewers": reviewers,
        "between": between,
        "alpha": _alpha(verdicts),
        "precision": confirmed(verdicts, items),
        "calibration": calibration(verdicts, items),
    }


Verdicts = dict[str, dict[str, dict[str, Any]]]


def decided(verdicts: Verdicts) -> dict[str, tuple[str, str]]:
    """(majority's verdict, expected one) of each item that somebody could decide; ties are left out."""
    result = {}
    for item in {i for held in verdicts.values() for i in held}:
        entries = [held[item] for held in verdicts.values() if item in held]
        counts = Counter(e["verdict"] for e in entries if e["verdict"] != CANNOT_TELL).most_common(2)
        if counts and (len(counts) == 1 or counts[0][1] > counts[1][1]):
            result[item] = (counts[0][0], entries[0]["expected"])
    return result


def verdict_columns(run: RunDir) -> dict[str, dict[str, str]]:
    """Columns ``verdict_<reviewer>``, and ``reviewed``: whether the majority confirms or rejects; each by item."""
    verdicts = read_verdicts(run)
    columns = {
        f"verdict_{name}": {item: str(v["verdict"]) for item, v in held.items()} for name, held in verdicts.items()
    }
    said = {
        item: "confirmed" if given == expected else "rejected" for item, (given, expected) in decided(verdicts).items()
    }
    return columns | ({"reviewed": said} if said else {})


def rejected_items(run: RunDir) -> set[str]:
    """Items that most reviewers who could decide say are not as the run has them."""
    return {item for item, (said, expected) in decided(read_verdicts(run)).items() if said != expected}


def _alpha(verdicts: Verdicts) -> dict[str, Any]:
    by_item: dict[str, dict[str, str]] = {}
    for name, held in verdicts.items():
        for item, entry in held.items():
            if entry["verdict"] != CANNOT_TELL:
                by_item.setdefault(item, {})[name] = entry["verdict"]
    items = [by_item[i] for i in sorted(by_item) if len(by_item[i]) > 1]
    interval = resampled(items, krippendorff_alpha)
    return {
        "value": krippendorff_alpha(items),
        "interval": None if interval is None else list(interval),
        "items": len(items),
    }


def confirmed(verdicts: Verdicts, items: Sequence[Item]) -> dict[str, Any]:
    """The share of a run's own verdicts that people confirm; see :func:`agreement`."""
    decisions = decided(verdicts)
    sizes = Counter(i.stratum for i in items)
    strata = {i.id: i.stratum for i in items}
    counts: dict[str, list[int]] = {s: [0, 0] for s in sizes}
    for item, (said, expected) in decisions.items():
        # of a run that was redone, a verdict may be about an item that is gone
        if item in strata:
            counts[strata[item]][0] += said == expected
            counts[strata[item]][1] += 1
    described = {s: {"size": sizes[s], "right": right, "n": n} for s, (right, n) in counts.items()}
    if not any(n for _, n in counts.values()):
        return {"value": None, "interval": None, "n": 0, "strata": described}
    value, interval = stratified_share([(sizes[s], right, n) for s, (right, n) in counts.items()])
    return {"value": value, "interval": list(interval), "n": sum(n for _, n in counts.values()), "strata": described}


def calibration(verdicts: Verdicts, items: Sequence[Item]) -> dict[str, Any]:
    """Stated confidence against what people confirm, over items that say how sure they are and that were decided."""
    sure = {i.id: i.confidence for i in items if i.confidence is not None}
    pairs = [(sure[item], said == expected) for item, (said, expected) in decided(verdicts).items() if item in sure]
    return reliability(np.array([c for c, _ in pairs], float), np.array([r for _, r in pairs], bool))


def _error(given: list[str], expected: list[str]) -> dict[str, Any]:
    answered = [(g, e) for g, e in zip(given, expected, strict=True) if g != CANNOT_TELL]
    wrong = sum(g != e for g, e in answered)
    if not answered:
        return {"n": 0, "rate": None, "interval": None}
    return {"n": len(answered), "rate": wrong / len(answered), "interval": list(wilson(wrong, len(answered)))}


def _agreement(ours: list[str], theirs: list[str]) -> dict[str, Any]:
    pairs = list(zip(ours, theirs, strict=True))
    same = sum(x == y for x, y in pairs)
    interval = resampled(pairs, lambda drawn: cohen_kappa([x for x, _ in drawn], [y for _, y in drawn]))
    return {
        "n": len(ours),
        "agree": same / len(ours) if ours else None,
        "kappa": cohen_kappa(ours, theirs),
        "interval": None if interval is None else list(interval),
    }
