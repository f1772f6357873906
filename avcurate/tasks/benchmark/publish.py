"""The benchmark's folder: questions, AVHBench's own JSON, a task for lmms-eval, a card, a manifest that rebuilds it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.sources.benchmark_folder import CAPTIONS, CLIP_LIST, MANIFEST, QUESTIONS
from avcurate.store.atomic import write_json, write_text
from avcurate.tasks.benchmark.card import card_of
from avcurate.tasks.benchmark.lmms import write_lmms
from avcurate.tasks.benchmark.phrases import AVHBENCH, DESCRIBE
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe
from avcurate.tasks.benchmark.stages import FOLDER, MADE_VERSION

AVH = "avhbench.json"
FORMAT = 1
UNCHANGED, SWAPS = ("plain", "sound", "picture"), ("swap_sound", "swap_picture")
"""Edits that leave what is heard and seen, and those that replace one of both."""
KEPT = (
    *("task", "object", "negative", "edit", "pair", "side", "changes", "donor"),
    *("by_sound", "by_picture", "evidence"),
)


def publish(run: RunDir, recipe: HallucinationBenchmarkRecipe) -> None:
    """Write the folder ``benchmark`` of a run; its clips are there already, and those of no question are removed."""
    folder = run.root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(_rows(run, "make"))
    lines = [json.dumps(question_of(row), ensure_ascii=False) for row in rows]
    write_text(folder / QUESTIONS, "".join(f"{line}\n" for line in lines))
    captions = list(_captions(run, rows)) if "describe" in recipe.tasks else []
    write_text(folder / CAPTIONS, "".join(json.dumps(c, ensure_ascii=False) + "\n" for c in captions))
    write_json(folder / AVH, list(_avhbench(rows, captions)))
    write_text(folder / CLIP_LIST, _clip_list(rows))
    files = files_of(rows)
    for stray in sorted((folder / "clips").glob("*")) if (folder / "clips").is_dir() else []:
        if f"clips/{stray.name}" not in files:
            stray.unlink()
    manifest = {
        "format": FORMAT,
        "title": recipe.title,
        "version": recipe.version,
        "licence": recipe.licence,
        "made_with": {"avcurate": version("avcurate"), "edits": MADE_VERSION},
        "questions": len(rows),
        "files": [{"file": name, **facts} for name, facts in sorted(files.items())],
    }
    manifest["digest"] = digest_of(folder, manifest)
    write_json(folder / MANIFEST, manifest)
    write_lmms(folder, recipe.title)
    write_text(folder / "README.md", card_of(recipe, manifest, rows, run))


def digest_of(folder: Path, manifest: dict[str, Any]) -> str:
    """SHA-256 over the questions and the list of files: two copies with one digest ask the same of the same clips."""
    questions = hashlib.sha256((folder / QUESTIONS).read_bytes()).hexdigest()
    content = json.dumps([questions, manifest["files"]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def question_of(row: Row) -> dict[str, Any]:
    """A question as ``avcurate eval`` and any other reader of tables takes it."""
    return {
        "id": row["item_id"],
        "media": row["file"] or row["clip"],
        "video": row["clip"],
        "question": row["question"],
        "choices": row["choices"],
        "answer": row["answer"],
        "type": AVHBENCH.get(row["task"], row["task"]),
        "modality": row["pem"],
        **{k: row[k] for k in KEPT},
    }


def files_of(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Each clip of the benchmark, and how it is made of the user's own."""
    files: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["file"] is not None:
            files[row["file"]] = {
                "sha256": row["file_sha256"],
                "edit": json.loads(row["edit_spec"]),
                "clip": row["media"],
                "clip_sha256": row["media_sha256"],
                "donor": row["donor_media"],
                "donor_sha256": row["donor_sha256"],
            }
    return files


def _captions(run: RunDir, rows: list[Row]) -> Iterator[dict[str, Any]]:
    """Files with what is heard and seen in them, as ``avcurate judge`` takes references.

    Of a file with another clip's sound or picture it is that clip's; other edits are left out, since no caption tells
    what they changed. Where nothing was made, the clips themselves.
    """
    said = {r["clip"]: r for r in _rows(run, "looked")}
    shown = {
        (r["file"], r["donor"] if r["edit"] == "swap_sound" else r["clip"], _seen_of(r))
        for r in rows
        if r["file"] and r["edit"] in (*UNCHANGED, *SWAPS)
    }
    whole = sorted(shown) or [(r["media"] or name, name, name) for name, r in said.items()]
    for file, heard, seen in whole:
        captions = {"audio_caption": said[heard]["audio_captions"], "video_caption": said[seen]["video_captions"]}
        if any(captions.values()):
            yield {"clip": file, "prompt": DESCRIBE, **captions}


def _seen_of(row: Row) -> str:
    return str(row["donor"] if row["edit"] == "swap_picture" else row["clip"])


def _avhbench(rows: list[Row], captions: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """In AVHBench's fields; questions of other kinds have no place there."""
    for row in rows:
        if row["task"] in AVHBENCH:
            yield {
                "video_id": row["file"] or row["clip"],
                "task": AVHBENCH[row["task"]],
                "text": row["question"],
                "label": row["answer"],
            }
    for caption in captions:
        label = " ".join([*caption["video_caption"], *caption["audio_caption"]])
        yield {"video_id": caption["clip"], "task": AVHBENCH["describe"], "text": DESCRIBE, "label": label}


def _clip_list(rows: list[Row]) -> str:
    """The benchmark's clips as ``avcurate caption`` and ``objects`` take them; the edit is their class."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["clip", "label"])
    for name, edit in sorted({(r["file"], r["edit"]) for r in rows if r["file"]}):
        table.writerow([name, edit])
    return out.getvalue()


def _rows(run: RunDir, stage: str) -> Iterator[Row]:
    return (row for table in run.parts(stage).rows() for row in table.to_pylist())
