"""The runner against datatrove and Ray Data, on the same scripted work: run in an environment that has all three.

Two questions. How full is an engine kept that must never stand still (32 slots, responses of unequal lengths), one
engine each: peers are given it as their documentation has it, datatrove as a step over its stream of documents, Ray
Data as an actor over batches. And what does a row cost where answers are only looked up: there peers read, look up and
write; ours is all of ``label-pem``: it parses, judges consistency and labels, accounts for every row and may be killed.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from avcurate.demo.build import draw_world
from avcurate.demo.clips import write_clip
from avcurate.engines.base import Request, Sampling
from avcurate.schema import Setting
from avcurate.seeds import derive_seed
from avcurate.tasks.base import Context
from avcurate.tasks.label_pem.task import LabelPem
from avcurate.tasks.run import run_task
from benchmarks.ray import SLOTS, STEP_S, Slots, one
from benchmarks.runner import CHOICES, Constant, recipe_of, write_inputs

ROWS, LOOKED_UP = 120, 20_000


class Streamed:
    """Requests of rows that come from an iterator, three each; what came back, by row."""

    def __init__(self, rows: Iterable[dict[str, Any]], n: int = 8) -> None:
        self._rows, self._n = iter(rows), n
        self._waiting: list[Request] = []
        self.open: dict[str, tuple[dict[str, Any], list[Any]]] = {}

    def take(self, wait: bool) -> Request | None:
        """The next request."""
        if not self._waiting:
            row = next(self._rows, None)
            if row is None:
                return None
            self.open[row["id"]] = (row, [])
            for setting in Setting:
                seed = derive_seed(0, row["id"], str(setting))
                self._waiting.append(Request(f"{row['id']}/{setting}", "", None, None, 2.0, self._n, seed, Sampling()))
        return self._waiting.pop(0)

    def answered(self, reply: Any) -> dict[str, Any] | None:
        """The row, once it has all its replies."""
        row, replies = self.open[reply.key.split("/")[0]]
        replies.append(reply)
        if len(replies) < len(Setting):
            return None
        del self.open[row["id"]]
        return row | {"responses": [r.text for reply in replies for r in reply.responses]}


def through(engine: Slots, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with their responses."""
    source = Streamed(rows)
    for reply in engine.generate(source):
        row = source.answered(reply)
        if row is not None:
            yield row


def with_datatrove(folder: Path, log: Path | None) -> int:
    """Rows written by a local pipeline; without a log, answers are looked up."""
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.base import PipelineStep
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    class Ask(PipelineStep):
        name = "ask"

        def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
            rows = ({"id": d.id, "text": d.text} for d in data)
            done = through(Slots(log), rows) if log else looked_up(stored_in(folder), rows)
            for row in done:
                yield Document(text=row["text"], id=row["id"], metadata={"responses": row["responses"]})

    out = folder / "datatrove"
    steps = [
        JsonlReader(str(folder / "rows"), id_key="id"),
        Ask(),
        JsonlWriter(str(out), compression=None),
    ]
    LocalPipelineExecutor(pipeline=steps, logging_dir=str(folder / "logs"), skip_completed=False).run()
    return sum(1 for f in out.glob("*.jsonl") for _ in f.open())


def with_ray_data(folder: Path, log: Path | None) -> int:
    """Rows written by one actor over batches of 32."""
    import ray.data

    class Ask:
        def __init__(self) -> None:
            self.engine = Slots(log) if log else None
            self.stored = {} if log else stored_in(folder)

        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            rows = [{"id": i, "text": t} for i, t in zip(batch["id"], batch["text"], strict=True)]
            done = list(through(self.engine, rows) if self.engine else looked_up(self.stored, rows))
            return {"id": [r["id"] for r in done], "responses": [r["responses"] for r in done]}

    rows = ray.data.read_json(str(folder / "rows"), override_num_blocks=8)
    rows.map_batches(Ask, concurrency=1, batch_size=32).write_parquet(str(folder / "ray-data"))
    return int(ray.data.read_parquet(str(folder / "ray-data")).count())


def stored_in(folder: Path) -> dict[str, list[str]]:
    """All responses of a script, by row."""
    stored: dict[str, list[str]] = {}
    with (folder / "script.jsonl").open() as f:
        for line in f:
            entry = json.loads(line)
            stored.setdefault(entry["question_id"], []).extend(entry["responses"])
    return stored


def looked_up(stored: dict[str, list[str]], rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with stored responses."""
    for row in rows:
        yield row | {"responses": stored[row["id"]]}


def busy(log: Path) -> float:
    """Share of the slots in use from the first step to the last."""
    steps = [tuple(map(float, line.split())) for line in log.read_text().splitlines()]
    span = max(s[0] for s in steps) - min(s[0] for s in steps) + STEP_S
    return sum(s[1] for s in steps) * STEP_S / span / SLOTS


def write_rows(folder: Path, ids: Iterable[str]) -> None:
    """The rows as peers read them."""
    (folder / "rows").mkdir()
    with (folder / "rows/rows.jsonl").open("w") as f:
        for name in ids:
            f.write(json.dumps({"id": name, "text": f"Scene {name}?"}) + "\n")


def compare_busy() -> None:
    """Print how full each keeps the engine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_clip(draw_world(1, 0)[0].clip, folder / "clip.mp4")
        with (folder / "q.jsonl").open("w") as f:
            for i in range(ROWS):
                row = {"video_name": "clip", "question_text": f"Scene {i}?", "multi_choice": CHOICES, "answer": i % 4}
                f.write(json.dumps(row) + "\n")
        write_rows(folder, map(str, range(ROWS)))
        shares = {"ours": one(folder, "ours", early_exit=False)[1] / SLOTS}
        for peer, run in (("datatrove", with_datatrove), ("Ray Data", with_ray_data)):
            log = folder / f"{peer}.steps"
            assert run(folder, log) == ROWS
            shares[peer] = busy(log)
        print(json.dumps({"what": "share of an engine's slots in use", **{k: round(v, 3) for k, v in shares.items()}}))


def compare_cost() -> None:
    """Print what a row costs where answers are looked up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, LOOKED_UP)
        with (folder / "script.jsonl").open() as f:
            ids = dict.fromkeys(json.loads(line)["question_id"] for line in f)
        write_rows(folder, ids)
        spent = {}
        for peer, run in (("datatrove", with_datatrove), ("Ray Data", with_ray_data)):
            start = time.perf_counter()
            assert run(folder, None) == LOOKED_UP
            spent[peer] = time.perf_counter() - start
        start = time.perf_counter()
        run_task(LabelPem, recipe_of(folder), Context(folder / "run", embedder=Constant()))
        spent["ours"] = time.perf_counter() - start
        each = {k: round(1000 * v / LOOKED_UP, 3) for k, v in spent.items()}
        print(json.dumps({"what": "milliseconds a row, answers looked up", **each}))


def main() -> None:
    """Print both."""
    with suppress(ImportError):
        from loguru import logger

        logger.remove()
    compare_busy()
    compare_cost()


if __name__ == "__main__":
    main()
