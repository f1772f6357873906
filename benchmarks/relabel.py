"""Other thresholds for 100,000 scored questions: `avcurate label` against a loop over rows in Python."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from avcurate.metrics.pem import label
from avcurate.runner.rundir import RunDir
from avcurate.schema import Setting, arrow_schema
from avcurate.store.parts import Commit, Parts, to_table
from avcurate.tasks.label_pem.recipe import LabelPemRecipe
from avcurate.tasks.label_pem.relabel import relabel_run
from benchmarks.harness import compare

ROWS, PART, N = 100_000, 2048, 8
WORDS = ("the", "sound", "of", "a", "bell", "is", "heard", "while", "one", "red", "square", "moves", "left", "so", "it")


def scored_part(part: int, size: int) -> pa.Table:
    """Rows as a real run stores them: three settings of eight responses of about 40 words."""
    rng = random.Random(part)
    rows = []
    for i in range(size):
        row = {
            "question_id": f"{part * PART + i:016x}",
            "source": "avqa",
            "row": part * PART + i + 1,
            "video_id": f"v{i}",
            "media": f"v{i}.mp4",
            "question": "What makes the sound?",
            "choices": ["bell", "drum", "hiss", "buzz"],
            "answer": "bell",
            "answer_index": 0,
            "n": N,
        }
        for s in Setting:
            k = rng.choice((0, 2, 5, 7, 8))
            texts = [" ".join(rng.choices(WORDS, k=40)) for _ in range(N)]
            row[f"{s}_responses"] = [
                {"seed": j, "text": t, "finish_reason": "stop", "tokens": 40} for j, t in enumerate(texts)
            ]
            row |= {f"{s}_k": k, f"{s}_asked": N, f"{s}_consistency": rng.random()}
            row |= {f"{s}_answers": ["bell"] * N, f"{s}_correct": [j < k for j in range(N)]}
        rows.append(row)
    return to_table(rows, arrow_schema("score"))


def build(folder: Path, rows: int) -> RunDir:
    """A run directory with everything scored and nothing labelled."""
    run = RunDir(folder)
    record = run.begin("label-pem")
    record["recipe"] = LabelPemRecipe().model_dump(mode="json")
    # stored with the sample's columns, as older runs are
    counts = {"in": rows, "kept": rows, "filtered": {}, "dead": {}}
    record["stages"] = {name: {"table": "score", "complete": True, **counts} for name in ("sample", "score")}
    run.save(record)
    parts = Parts(folder, "score")
    for part, first in enumerate(range(0, rows, PART)):
        table = scored_part(part, min(PART, rows - first))
        parts.write(Commit(part, table.num_rows, table.num_rows, {}, {}, "", "benchmark"), {"kept": table})
    return run


def by_rows(run: RunDir, tau_acc: float, tau_cot: float) -> None:
    """The obvious way: rows as Python objects, one label at a time, written again."""
    for part, table in enumerate(run.parts("score").rows()):
        rows = table.to_pylist()
        for row in rows:
            state = [row[f"{s}_k"] / row["n"] >= tau_acc and row[f"{s}_consistency"] >= tau_cot for s in Setting]
            row["pem"], row["discard_reason"] = label(*state)
        pq.write_table(pa.Table.from_pylist(rows), run.root / f"obvious-{part}.parquet", compression="zstd")


def main() -> None:
    """Print the ratio; a first argument sets the number of rows."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as scratch:
        run = build(Path(scratch) / "run", rows)
        relabel_run(run, 0.75, 0.5)
        # the thresholds differ each time: a run that already has these labels is left as it is
        turn = iter(range(1, 1000))
        compare(
            f"relabel {rows:,} rows: loop over rows / avcurate label",
            lambda: relabel_run(run, 0.75, 0.5 + next(turn) / 1000),
            lambda: by_rows(run, 0.75, 0.5),
            repeats=2,
        )


if __name__ == "__main__":
    main()
