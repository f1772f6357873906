"""What a reviewer is shown, and the expected verdict, which the page never learns."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass
from pathlib import Path

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.runner.verify import refuse_damaged_files
from avcurate.schema import PEM
from avcurate.seeds import derive_seed

CANNOT_TELL = "cannot tell"
PAIR_KEYS = {"y": "as described", "n": "something else", "u": CANNOT_TELL}
PEM_KEYS = {"a": "Audio", "v": "Visual", "b": "Audio-Visual", "u": CANNOT_TELL}


@dataclass(frozen=True)
class Item:
    """One thing to judge.

    Attributes:
        id: what verdicts are stored under.
        media: file that is played.
        ask: what the reviewer is asked; lines.
        keys: verdict by key.
        expected: the verdict that the run's own data imply.
        part: which part of the file is played, as a media fragment; empty for all of it.
    """

    id: str
    media: Path
    ask: tuple[str, ...]
    keys: dict[str, str]
    expected: str
    part: str = ""


def load_items(run: RunDir, limit: int, seed: int) -> list[Item]:
    """Items of a swap, label-pem or benchmark run in an order set by the seed; at most ``limit``, 0 for all.

    Those of a benchmark take turns by task, so that a few hundred tell something of each.

    Raises:
        UserError: the run holds none of these, or one of its clips was changed.
    """
    stages = run.record()["stages"]
    if stages.get("swap", {}).get("complete"):
        refuse_damaged_files(run, "swap")
        items = _pairs(run, seed)
    elif stages.get("label", {}).get("complete"):
        items = _labels(run)
    elif stages.get("make", {}).get("complete"):
        refuse_damaged_files(run, "make")
        items = in_turns(_questions(run), seed)
        return items[:limit] if limit else items
    else:
        raise UserError(
            f"{run.root} has neither swapped clips, labels nor questions.",
            "Give a run of swap, label-pem or benchmark hallucination.",
        )
    items.sort(key=lambda i: derive_seed("review", seed, i.id))
    return items[:limit] if limit else items


def _pairs(run: RunDir, seed: int) -> list[Item]:
    """One clip of each pair, the twin or the counterfactual, with what is heard in the original."""
    items = []
    for table in run.parts("swap").rows():
        for row in table.to_pylist():
            heard = json.loads(row.get("record") or row.get("pair") or "{}").get("audio_captions") or []
            if not heard:
                continue
            twin = (
                row["factual"] is not None
                and random.Random(derive_seed("twin", seed, row["counterfactual"])).random() < 0.5
            )
            shown = row["factual"] if twin else row["counterfactual"]
            ask = ("Is what you hear as described?", *([heard] if isinstance(heard, str) else heard))
            items.append(Item(shown, run.root / shown, ask, PAIR_KEYS, PAIR_KEYS["y" if twin else "n"]))
    return items


def _questions(run: RunDir) -> dict[str, list[Item]]:
    """A benchmark's questions on its clips, by task."""
    by_task: dict[str, list[Item]] = {}
    columns = ["item_id", "task", "question", "choices", "answer", "file"]
    for table in run.parts("make").rows(columns=columns):
        for row in table.to_pylist():
            if row["file"] is None:
                continue
            letters = "yn" if row["choices"] == ["Yes", "No"] else "abcdefgh"
            keys = dict(zip(letters, row["choices"], strict=False)) | {"u": CANNOT_TELL}
            path = run.root / "benchmark" / row["file"]
            item = Item(row["item_id"], path, (row["question"],), keys, row["answer"])
            by_task.setdefault(row["task"], []).append(item)
    return by_task


def in_turns(groups: dict[str, list[Item]], seed: int) -> list[Item]:
    """Items of several groups, each in an order set by the seed, one of each group in turn."""
    shuffled = [sorted(items, key=lambda i: derive_seed("review", seed, i.id)) for _, items in sorted(groups.items())]
    turns = itertools.zip_longest(*shuffled)
    return [item for turn in turns for item in turn if item is not None]


def _labels(run: RunDir) -> list[Item]:
    folder = run.media(run.record())
    items = []
    for table in run.parts("label").rows(columns=["question_id", "media", "start", "end", "question", "answer", "pem"]):
        for row in table.to_pylist():
            if row["pem"] in tuple(PEM):
                ask = (row["question"], f"Answer: {row['answer']}", "Which evidence does it take?")
                end = "" if row["end"] is None else f",{row['end']:g}"
                part = f"#t={row['start'] or 0:g}{end}" if end or row["start"] else ""
                items.append(Item(row["question_id"], folder / row["media"], ask, PEM_KEYS, row["pem"], part))
    return items
