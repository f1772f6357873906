"""What a reviewer is shown, and the expected verdict, which the page never learns."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.runner.verify import refuse_damaged_files
from avcurate.schema import PEM
from avcurate.seeds import derive_seed

CANNOT_TELL = "cannot tell"
PAIR_KEYS = {"y": "as described", "n": "something else", "u": CANNOT_TELL}
PEM_KEYS = {"a": "Audio", "v": "Visual", "b": "Audio-Visual", "u": CANNOT_TELL}
SEEN_KEYS = {"y": "yes", "n": "no", "u": CANNOT_TELL}


@dataclass(frozen=True)
class Item:
    """One thing to judge.

    Attributes:
        id: what verdicts are stored under.
        media: file that is played.
        ask: what the reviewer is asked; lines.
        keys: verdict by key.
        expected: the verdict that the run's own data imply.
        start: of the part that is played, seconds; end likewise.
        stratum: the group it is drawn from.
        confidence: how sure the run is of it, in [0, 1]; ``None`` where it does not say.
    """

    id: str
    media: Path
    ask: tuple[str, ...]
    keys: dict[str, str]
    expected: str
    start: float | None = None
    end: float | None = None
    stratum: str = ""
    confidence: float | None = None


def all_items(run: RunDir, seed: int) -> list[Item]:
    """Everything in a run of swap, label-pem, benchmark, objects or caption that can be judged.

    Args:
        run: the run.
        seed: chooses which clip of a pair, and which object of a clip, is asked about.

    Raises:
        UserError: the run holds none of these, or one of its clips was changed.
    """
    record = run.record()
    stages = record["stages"]
    if stages.get("swap", {}).get("complete"):
        refuse_damaged_files(run, "swap")
        return _pairs(run, seed)
    if stages.get("label", {}).get("complete"):
        return _labels(run)
    if stages.get("make", {}).get("complete"):
        refuse_damaged_files(run, "make")
        return _questions(run)
    if stages.get("objects", {}).get("complete"):
        return _objects(run, seed)
    if record.get("task") == "caption" and stages.get("sample", {}).get("complete"):
        return _captions(run)
    raise UserError(
        f"{run.root} has neither swapped clips, labels, questions, objects nor captions.",
        "Give a run of swap, label-pem, benchmark hallucination, objects or caption.",
    )


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
            expected = PAIR_KEYS["y" if twin else "n"]
            items.append(Item(shown, run.root / shown, ask, PAIR_KEYS, expected, stratum=expected))
    return items


def _questions(run: RunDir) -> list[Item]:
    """A benchmark's questions on its clips."""
    items = []
    columns = ["item_id", "task", "question", "choices", "answer", "file"]
    for table in run.parts("make").rows(columns=columns):
        for row in table.to_pylist():
            if row["file"] is None:
                continue
            letters = "yn" if row["choices"] == ["Yes", "No"] else "abcdefgh"
            keys = dict(zip(letters, row["choices"], strict=False)) | {"u": CANNOT_TELL}
            path = run.root / "benchmark" / row["file"]
            items.append(Item(row["item_id"], path, (row["question"],), keys, row["answer"], stratum=row["task"]))
    return items


def _labels(run: RunDir) -> list[Item]:
    folder = run.media(run.record())
    items = []
    columns = ["question_id", "media", "start", "end", "question", "answer", "pem", "confidence"]
    for table in run.parts("label").rows(columns=columns):
        for row in table.to_pylist():
            if row["pem"] in tuple(PEM):
                ask = (row["question"], f"Answer: {row['answer']}", "Which evidence does it take?")
                part: dict[str, Any] = {"start": row["start"], "end": row["end"], "confidence": row["confidence"]}
                item = Item(
                    row["question_id"], folder / row["media"], ask, PEM_KEYS, row["pem"], stratum=row["pem"], **part
                )
                items.append(item)
    return items


def _objects(run: RunDir, seed: int) -> list[Item]:
    """Of each clip an object of its set or, as often, one that only other clips have."""
    folder = run.media(run.record())
    rows = [r for t in run.parts("objects").rows(columns=["clip_id", "media", "objects"]) for r in t.to_pylist()]
    known = sorted({o for r in rows for o in r["objects"]})
    items = []
    for row in rows:
        rng = random.Random(derive_seed("object", seed, row["clip_id"]))
        absent = [o for o in known if o not in row["objects"]]
        there = bool(row["objects"]) and (rng.random() < 0.5 or not absent)
        if not there and not absent:
            continue
        name = rng.choice(sorted(row["objects"]) if there else absent)
        ask, expected = ("Is this in the picture?", name.split(".")[0].replace("_", " ")), "yes" if there else "no"
        stratum = "in the set" if there else "not in it"
        items.append(Item(f"{row['clip_id']}/{name}", folder / row["media"], ask, SEEN_KEYS, expected, stratum=stratum))
    return items


def _captions(run: RunDir) -> list[Item]:
    """The first caption of each clip under both modalities, or the one there is."""
    folder = run.media(run.record())
    items = []
    for table in run.parts("sample").rows():
        for row in table.to_pylist():
            said = next((row[f"{s}_responses"] for s in ("av", "a", "v") if row.get(f"{s}_responses")), None)
            if said:
                ask = ("Is the clip as described?", said[0]["text"])
                part = {"start": row["start"], "end": row["end"]}
                expected = PAIR_KEYS["y"]
                items.append(Item(row["question_id"], folder / row["media"], ask, PAIR_KEYS, expected, **part))
    return items
