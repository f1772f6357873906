"""What a benchmark holds: questions by task, balance, kinds of negatives, edits, and why questions were left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np

from avcurate.media.fingerprint import near_duplicates
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row

COLUMNS = ["item_id", "clip", "task", "object", "negative", "edit", "side", "changes", "pair", "answer", "pem", "file"]


def summarise_benchmark(run: RunDir) -> dict[str, Any]:
    """Counts over the finished run."""
    rows: list[Row] = [r for t in run.parts("make").rows(columns=COLUMNS) for r in t.to_pylist()]
    stages = run.record()["stages"]
    return {
        "run": str(run.root),
        "folder": str(run.root / "benchmark"),
        "questions": len(rows),
        "clips": len({r["clip"] for r in rows}),
        "files": len({r["file"] for r in rows if r["file"]}),
        "pairs": len({r["pair"] for r in rows if r["pair"]}),
        "tasks": balance(rows),
        "unbalanced": unbalanced(rows),
        "negatives": dict(Counter(r["negative"] for r in rows if r["negative"]).most_common()),
        "edits": dict(Counter(r["edit"] for r in rows if r["side"] != "twin").most_common()),
        "left_out": stages["plan"]["filtered"],
        "clips_left_out": {
            s: stages[s]["filtered"] | stages[s]["dead"] for s in ("evidence", "merged", "looked") if s in stages
        },
        "not_made": stages["make"]["dead"],
        "duplicates": duplicates(run),
    }


def balance(rows: list[Row]) -> list[dict[str, Any]]:
    """Questions of each task, their answers, and how many names they ask about."""
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_task[row["task"]].append(row)
    table = []
    for task, asked in by_task.items():
        answers = Counter(r["answer"] for r in asked)
        yes_no = set(answers) <= {"Yes", "No"}
        table.append(
            {
                "task": task,
                "decided_by": asked[0]["pem"],
                "questions": len(asked),
                "clips": len({r["clip"] for r in asked}),
                "names": len({r["object"] for r in asked}),
                "yes": answers["Yes"] if yes_no else None,
                "no": answers["No"] if yes_no else None,
                "most_frequent_answer": max(answers.values()) / len(asked),
            }
        )
    return table


def unbalanced(rows: list[Row]) -> list[str]:
    """Names of lone yes/no questions whose Yes and No differ in number; there should be none."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row["pair"] is None and row["answer"] in ("Yes", "No"):
            counts[row["task"], row["object"]][row["answer"]] += 1
    return [f"{task}: {name}" for (task, name), c in sorted(counts.items()) if c["Yes"] != c["No"]]


def duplicates(run: RunDir) -> list[list[str]]:
    """Clips of the benchmark whose sounds are nearly the same, or whose files are."""
    names: list[str] = []
    prints: list[np.ndarray[Any, np.dtype[np.uint32]]] = []
    files: dict[str, list[str]] = defaultdict(list)
    for table in run.parts("looked").rows(columns=["clip", "media_sha256", "fingerprint"]):
        for row in table.to_pylist():
            if row["fingerprint"]:
                names.append(row["clip"])
                prints.append(np.array(row["fingerprint"], np.uint32))
                files[row["media_sha256"]].append(row["clip"])
    same = {tuple(sorted(v)) for v in files.values() if len(v) > 1}
    same |= {tuple(sorted((names[a], names[b]))) for a, b in near_duplicates(prints)} if prints else set()
    return [list(x) for x in sorted(same)]
