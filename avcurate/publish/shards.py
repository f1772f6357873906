"""Labelled rows as training shards: Parquet, JSON Lines, WebDataset, or a folder for the Hugging Face Hub."""

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

from avcurate import __version__
from avcurate.errors import UserError
from avcurate.prompts import recorded_prompt
from avcurate.publish.card import card
from avcurate.publish.croissant import FILE as CROISSANT
from avcurate.publish.croissant import croissant
from avcurate.publish.embed import Embedded, with_clips
from avcurate.publish.selection import SPLITS, Chosen, Selection, choose
from avcurate.publish.webdataset import write_webdataset
from avcurate.review.items import all_items
from avcurate.review.verdicts import confirmed, read_verdicts
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import stage_counts
from avcurate.schema import SCHEMA_VERSION
from avcurate.store.atomic import write_atomic, write_json, write_text
from avcurate.store.manifest import differences, digests
from avcurate.store.parts import write_parquet
from avcurate.tasks.label_pem.retest import kept

SHARDS = "shards.json"
FORMS = ("parquet", "jsonl", "hf", "webdataset")
EMBEDDED_ROWS = 128


@dataclass(frozen=True)
class Form:
    """How rows are written.

    Attributes:
        to: one of ``FORMS``.
        media: folder of the clips, if they have moved.
        embed: ``audio`` or ``video``: put each row's clip into the shards.
        licence: under which the exporter says that the export may be shared; an SPDX name, or empty.
    """

    to: str = "parquet"
    media: Path | None = None
    embed: Embedded | None = None
    licence: str = ""

    @property
    def ending(self) -> str:
        """Of the data files."""
        return {"jsonl": "jsonl", "webdataset": "tar"}.get(self.to, "parquet")

    @property
    def embedded(self) -> str | None:
        """What of the clips is in the files."""
        return "webdataset" if self.to == "webdataset" else self.embed


def export_run(run: RunDir, out: Path, form: Form, selection: Selection) -> dict[str, Any]:
    """Write shards ``data/<split>-NNNNN.parquet`` (or ``.jsonl``, ``.tar``), a dataset card and ``shards.json``.

    ``out`` appears only once they are complete.
    ``parquet`` and ``hf`` write the same files: Parquet with a card is what the Hugging Face hub reads.

    Raises:
        UserError: nothing is labelled, the folder is not empty, or a clip to be included is missing.
    """
    if form.to not in FORMS:
        raise UserError(f"there is no export form {form.to!r}.", f"Forms are: {', '.join(FORMS)}.")
    if form.embed is not None and form.ending != "parquet":
        raise UserError(f"clips cannot be a column of {form.to}.", "Use --to parquet, or --to webdataset.")
    record = refuse_export(run, out, unlabelled=selection.unlabelled)
    chosen = choose(run, selection)
    partial = _partial(out)
    try:
        facts = _write(run, record, partial, form, chosen)
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


def _write(run: RunDir, record: dict[str, Any], partial: Path, form: Form, chosen: Chosen) -> dict[str, Any]:
    selection = chosen.selection
    media = (form.media or run.path_of("media", record) or Path()).resolve()
    rows, confidences, sources = {}, list[float](), set[str]()
    schema: pa.Schema | None = None

    def seen(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        nonlocal schema
        for table in tables:
            if "confidence" in table.column_names:
                confidences.extend(c for c in table["confidence"].to_pylist() if c is not None)
            sources.update(table["source"].to_pylist())
            schema = table.schema
            yield table

    for split in SPLITS:
        rows[split] = _write_split(seen(chosen.rows(run, split)), media, partial / "data", split, form)
    if schema is None:
        raise UserError("no row is left.", "Lower --min-confidence, ask for less, or look at the report.")
    recipe, label = record["recipe"], record["stages"].get("label", {})
    # questions that nobody answered were not labelled for a model either
    model = recipe["model"] if "eval" in record["stages"] or label else {}
    facts = {
        "avcurate": __version__,
        "schema_version": SCHEMA_VERSION,
        "rows": rows,
        "form": form.to,
        "split": {"by": "video_id", "validation": selection.validation, "seed": selection.seed},
        "min_confidence": selection.min_confidence,
        "balance": selection.balance,
        "weights": chosen.weights if selection.balance else {},
        "groups": chosen.counts,
        "labelled": not selection.unlabelled,
        "fps": recipe["media"]["fps"],
        "sample_rate": 16_000,
        "prompt": recorded_prompt(recipe).name,
        "processor": {k: model.get(k) for k in ("model", "revision", "family")},
        "media": str(media),
        "embedded": form.embedded,
        "licence": form.licence,
        "sources": sorted(sources),
        "thresholds": label.get("identity", {}),
        "mix": {k: int(n) for k, n in (label.get("facts") or record.get("mix", {})).items()},
        "expected": float(np.mean(confidences)) if confidences else None,
        **_tested(run, selection),
    }
    write_text(partial / "README.md", card(facts, recipe, form.ending, stage_counts(record)))
    if form.ending == "parquet":
        listed = {p: d for p, d in digests(partial).items() if p.startswith("data/")}
        about = (
            "Questions on clips with their Preferred Evidence Modality." if facts["labelled"] else "Questions on clips."
        )
        made = str(record.get("updated", ""))[:10]
        write_json(partial / CROISSANT, croissant("avcurate", about, listed, schema, form.licence, made, "1.0.0"))
    facts["files"] = digests(partial)
    write_json(partial / SHARDS, facts)
    # a temporary folder is private to its creator
    partial.chmod(0o777 & ~_umask())
    return facts


def _tested(run: RunDir, selection: Selection) -> dict[str, Any]:
    """What is known of how sure the labels are: asked again, and judged by people."""
    if selection.unlabelled:
        return {"retest": None, "review": None}
    reviewed = confirmed(read_verdicts(run), all_items(run, 0)) if (run.root / "review").is_dir() else None
    return {"retest": kept(run), "review": reviewed}


def _write_split(tables: Iterator[pa.Table], media: Path, folder: Path, split: str, form: Form) -> int:
    """Write a split's rows; returns how many."""
    if form.to == "webdataset":
        return write_webdataset(tables, media, folder, split)
    rows, number = 0, 0
    for table in tables:
        # clips are large: fewer of them to a file
        step = EMBEDDED_ROWS if form.embed else table.num_rows
        for first in range(0, table.num_rows, step):
            piece = table.slice(first, step)
            piece = piece if form.embed is None else with_clips(piece, media, form.embed)
            write = _write_jsonl if form.to == "jsonl" else write_parquet
            write_atomic(folder / f"{split}-{number:05d}.{form.ending}", lambda p, t=piece, w=write: w(t, p))  # type: ignore[misc]
            rows, number = rows + piece.num_rows, number + 1
    return rows


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


def _write_jsonl(table: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8") as f:
        for row in table.to_pylist():
            f.write(json.dumps(row, ensure_ascii=False) + "\n")
