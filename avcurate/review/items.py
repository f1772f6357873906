"""What a reviewer is shown, and the expected verdict, which the page never learns."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.runner.verify import refuse_damaged_files
from avcurate.schema import PEM
from avcurate.seeds import derive_seed

PAIR_KEYS = {"y": "as described", "n": "something else", "u": "cannot tell"}
PEM_KEYS = {"a": "Audio", "v": "Visual", "b": "Audio-Visual", "u": "cannot tell"}


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
    """Items of a swap or label-pem run in an order set by the seed; at most ``limit``, 0 for all.

    Raises:
        UserError: the run holds neither, or a swapped clip was changed.
    """
    stages = run.record()["stages"]
    if stages.get("swap", {}).get("complete"):
        refuse_damaged_files(run, "swap")
        items = _pairs(run, seed)
    elif stages.get("label", {}).get("complete"):
        items = _labels(run)
    else:
        raise UserError(f"{run.root} has neither swapped clips nor labels.", "Give a run of swap or label-pem.")
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
