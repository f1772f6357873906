"""Queries of `avcurate view` over 50,000 labelled questions, against reading the run's Parquet for each query."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds

from avcurate.tasks.label_pem.relabel import relabel_run
from avcurate.tasks.label_pem.view import LABEL_VIEW
from avcurate.viewer.detail import detail
from avcurate.viewer.index import Index
from avcurate.viewer.search import search
from benchmarks.relabel import build

ROWS, TIMES = 50_000, 9
QUERIES = (
    ("everything", "", ""),
    ("a label", "pem:Audio", ""),
    ("label and number", "pem:Audio confidence<0.8", "confidence"),
    ("a word", "bell", ""),
    ("no such word", "xylophone", ""),
    ("a reason, sorted", "discard_reason:trivial", "av_consistency"),
)


def milliseconds(work: Callable[[], object]) -> float:
    """Median of some calls."""
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def main() -> None:
    """Print a line per query; a first argument sets the number of rows."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as scratch:
        run = build(Path(scratch) / "run", rows)
        relabel_run(run, 0.75, 0.5)
        began = time.perf_counter()
        index = Index([(run, LABEL_VIEW)])
        print(f"opened {index.runs[0].rows:,} rows in {time.perf_counter() - began:.1f} s")
        for name, text, sort in QUERIES:
            taken = milliseconds(lambda text=text, sort=sort: search(index, 0, text, sort))  # type: ignore[misc]
            print(f"{name:<24}{taken:8.0f} ms, {search(index, 0, text, sort)['total']:,} rows")
        key = search(index, 0, "pem:Visual")["rows"][0]["key"]
        print(f"{'one row whole':<24}{milliseconds(lambda: detail(index, 0, key)):8.0f} ms")
        began = time.perf_counter()
        found = search(index, 0, "in:responses bell square")["total"]
        print(f"{'words in responses':<24}{1000 * (time.perf_counter() - began):8.0f} ms, {found:,} rows")

        labels = ds.dataset(sorted((run.root / "label").glob("*.parquet")))
        condition = (pc.field("pem") == "Audio") & (pc.field("confidence") < 0.8)
        obvious = milliseconds(lambda: labels.to_table(filter=condition).num_rows)
        ours = milliseconds(lambda: search(index, 0, "pem:Audio confidence<0.8", "confidence"))
        print(f"against reading the labels' Parquet for each query: {obvious / ours:.1f}x")


if __name__ == "__main__":
    main()
