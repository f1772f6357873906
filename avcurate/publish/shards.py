"""Labelled rows as training shards: Parquet, JSON Lines or a Hugging Face dataset folder."""

from __future__ import annotations

import errno
import glob
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from avcurate import __version__
from avcurate.errors import UserError
from avcurate.prompts import recorded_prompt
from avcurate.runner.rundir import RunDir
from avcurate.schema import QUESTION, SCHEMA_VERSION
from avcurate.seeds import derive_seed
from avcurate.store.atomic import write_atomic, write_json, write_text
from avcurate.store.manifest import differences, digests
from avcurate.store.parts import write_parquet

SHARD_ROWS = 4096
SHARDS = "shards.json"
FORMS = ("parquet", "jsonl", "hf")


def split_of(video_id: str, validation: float, seed: int) -> str:
    """``train`` or ``validation``: decided by the source video alone, so that none is on both sides."""
    return "validation" if derive_seed("split", seed, video_id) / 2**31 < validation else "train"


def export_run(
    run: RunDir,
    out: Path,
    to: str,
    validation: float,
    min_confidence: float,
    seed: int,
    media: Path | None = None,
    *,
    drop_blind: bool = False,
    unlabelled: bool = False,
    dropped: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Write shards ``data/<split>-NNNNN.parquet`` (or ``.jsonl``), a dataset card and ``shards.json``.

    ``out`` appears only once they are complete.
    ``parquet`` and ``hf`` write the same files: Parquet with a card is what the Hugging Face hub reads.

    Args:
        drop_blind: leave out what a blind condition solved.
        dropped: ids of questions to leave out, e.g. those that people rejected.
        unlabelled: every question of an ``eval`` or ``ingest`` run, without a PEM: what GRPO and MAPO on answers need.

    Raises:
        UserError: nothing is labelled, or the folder is not empty.
    """
    if to not in FORMS:
        raise UserError(f"there is no export form {to!r}.", f"Forms are: {', '.join(FORMS)}.")
    record = refuse_export(run, out, unlabelled=unlabelled)
    choose = Choice(validation, min_confidence, seed, drop_blind, unlabelled, dropped)
    partial = _partial(out)
    try:
        facts = _write(run, record, partial, to, choose, media)
        partial.rename(out)
    except OSError as e:
        if e.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise UserError(f"{out} was written by another export in the meantime.", "Give a new folder with -o.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return facts | {"out": str(out)}


def _partial(out: Path) -> Path:
    """A temporary folder of this process beside the target; those of killed processes are removed."""
    # of this machine only: a shared file system may hold other machines', whose processes cannot be seen
    prefix = f".{out.name}.export-{socket.gethostname()}-"
    out.parent.mkdir(parents=True, exist_ok=True)
    for old in out.parent.glob(f"{glob.escape(prefix)}*"):
        owner = old.name.removeprefix(prefix).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=out.parent))


def _write(
    run: RunDir,
    record: dict[str, Any],
    partial: Path,
    to: str,
    choose: Choice,
    media: Path | None,
) -> dict[str, Any]:
    ending = "jsonl" if to == "jsonl" else "parquet"
    rows: dict[str, int] = {}
    for split in ("train", "validation"):
        rows[split] = 0
        for i, table in enumerate(chosen_rows(run, split, choose)):
            write = _write_jsonl if to == "jsonl" else write_parquet
            write_atomic(partial / "data" / f"{split}-{i:05d}.{ending}", lambda p, t=table, w=write: w(t, p))  # type: ignore[misc]
            rows[split] += table.num_rows
    if not any(rows.values()):
        raise UserError("no row has a label at this confidence.", "Lower --min-confidence, or look at the report.")
    recipe, label = record["recipe"], record["stages"].get("label", {})
    # questions that nobody answered were not labelled for a model either
    model = recipe["model"] if "eval" in record["stages"] or label else {}
    facts = {
        "avcurate": __version__,
        "schema_version": SCHEMA_VERSION,
        "rows": rows,
        "form": to,
        "split": {"by": "video_id", "validation": choose.validation, "seed": choose.seed},
        "min_confidence": choose.min_confidence,
        "labelled": not choose.unlabelled,
        "fps": recipe["media"]["fps"],
        "sample_rate": 16_000,
        "prompt": recorded_prompt(recipe).name,
        "processor": {k: model.get(k) for k in ("model", "revision", "family")},
        "media": str((media or run.path_of("media", record) or Path()).resolve()),
        "thresholds": label.get("identity", {}),
        "mix": {k: int(n) for k, n in (label.get("facts") or record.get("mix", {})).items()},
    }
    write_text(partial / "README.md", _card(facts, recipe, ending))
    facts["files"] = digests(partial)
    write_json(partial / SHARDS, facts)
    # a temporary folder is private to its creator
    partial.chmod(0o777 & ~_umask())
    return facts


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def verify_shards(folder: Path) -> dict[str, Any]:
    """Compare exported files with their recorded checksums, like :func:`avcurate.runner.verify.verify_run`.

    Raises:
        UserError: ``shards.json`` cannot be read, or records no checksums.
    """
    try:
        listed = json.loads((folder / SHARDS).read_text("utf-8"))["files"]
        wrong = differences(folder, dict(listed))
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder / SHARDS} is damaged: it lists no files.", "Export the run again.") from None
    present = {p.relative_to(folder).as_posix() for p in (folder / "data").glob("*")}
    wrong += [(name, "is not one of the exported files.") for name in sorted(present - set(listed))]
    damaged = [{"path": name, "what": what, "table": None, "part": None} for name, what in wrong]
    return {
        "run": str(folder),
        "files": len(listed),
        "damaged": damaged,
        "next": "Export the run again into a new folder.",
    }


@dataclass(frozen=True)
class Choice:
    """Which rows of a run are exported; see :func:`export_run`."""

    validation: float
    min_confidence: float
    seed: int
    drop_blind: bool = False
    unlabelled: bool = False
    dropped: frozenset[str] = frozenset()

    def of(self, table: pa.Table) -> pa.Array:
        """Whether each row of a table is wanted, in either split.

        Raises:
            UserError: blind answers are to be left out, and none were asked.
        """
        if self.unlabelled:
            return pa.array(np.ones(table.num_rows, bool))
        keep = pc.and_(
            pc.is_valid(table["pem"]),
            pc.fill_null(pc.greater_equal(table["confidence"], self.min_confidence), False),
        )
        if self.dropped:
            rejected = pc.is_in(table["question_id"], pa.array(sorted(self.dropped), pa.string()))
            keep = pc.and_(keep, pc.invert(rejected))
        if not self.drop_blind:
            return keep
        if "solved_blind" not in table.column_names:
            raise UserError("the run asked no question without its clip.", "Label with --blind, or export all rows.")
        return pc.and_(keep, pc.invert(pc.fill_null(table["solved_blind"], False)))


def refuse_export(run: RunDir, out: Path, *, unlabelled: bool = False) -> dict[str, Any]:
    """The run's record.

    Raises:
        UserError: its labelling is not finished, or ``out`` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty.", "Give a new folder with -o.")
    if unlabelled:
        return run.require("ingest", made_by="ingest")
    return run.require("label", made_by="label-pem")


def chosen_rows(run: RunDir, split: str, choose: Choice) -> Iterator[pa.Table]:
    """Tables of about ``SHARD_ROWS`` rows of one split."""
    pending: list[pa.Table] = []
    count = 0
    for table in _tables(run, choose.unlabelled):
        videos = table["video_id"].to_pylist()
        in_split = pa.array([split_of(v, choose.validation, choose.seed) == split for v in videos], pa.bool_())
        chosen = table.filter(pc.and_(choose.of(table), in_split))
        if chosen.num_rows:
            pending.append(chosen)
            count += chosen.num_rows
        if count >= SHARD_ROWS:
            yield pa.concat_tables(pending)
            pending, count = [], 0
    if pending:
        yield pa.concat_tables(pending)


def _tables(run: RunDir, unlabelled: bool) -> Iterator[pa.Table]:
    """All rows of a labelled run; of another one, its questions with a PEM of none."""
    if not unlabelled:
        yield from run.parts("label").rows()
        return
    asked = run.parts("eval").commits()
    columns = [c.name for c in QUESTION] + (["media_sha256"] if asked else [])
    for table in run.parts("eval" if asked else "questions").rows(columns=columns):
        yield table.append_column(pa.field("pem", pa.string()), pa.nulls(table.num_rows, pa.string()))


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8") as f:
        for row in table.to_pylist():
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def _card(facts: dict[str, Any], recipe: dict[str, Any], ending: str) -> str:
    files = "\n".join(
        f"      - split: {split}\n        path: data/{split}-*.{ending}" for split, n in facts["rows"].items() if n
    )
    thresholds, rows = facts["thresholds"], facts["rows"]
    if not facts["labelled"]:
        return _plain_card(facts, files)
    mix = "\n".join(f"| {name} | {n:,} |" for name, n in facts["mix"].items())
    return f"""---
configs:
  - config_name: default
    data_files:
{files}
tags: [audio-visual, preferred-evidence-modality, avcurate]
---
# Questions with their Preferred Evidence Modality

Made by avcurate {facts["avcurate"]} with {recipe["model"]["model"]} ({recipe["model"]["engine"]}), prompt
{recorded_prompt(recipe).name}, n = {recipe["n"]}, τ_acc = {thresholds["tau_acc"]}, τ_cot = {thresholds["tau_cot"]}.
One row per question; its columns are described in the Arrow schema of the files (schema version
{facts["schema_version"]}). Media are not included: `media` is a path relative to the folder of the clips.
The labels carry the licence of the questions and clips they were made from; check it before sharing.

| label or reason for none (before selection) | questions |
|---|---|
{mix}

Split by source video (seed {facts["split"]["seed"]}): {rows["train"]:,} train, {rows["validation"]:,} validation.
"""


def _plain_card(facts: dict[str, Any], files: str) -> str:
    """The card of questions without labels."""
    rows = facts["rows"]
    return f"""---
configs:
  - config_name: default
    data_files:
{files}
tags: [audio-visual, question-answering, avcurate]
---
# Questions on clips

Exported by avcurate {facts["avcurate"]} without labels: `pem` is empty. Media are not included: `media` is a path
relative to the folder of the clips. The questions carry the licence of their source; check it before sharing.

Split by source video (seed {facts["split"]["seed"]}): {rows["train"]:,} train, {rows["validation"]:,} validation.
"""
