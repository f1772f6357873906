"""``caption``: clips in, captions under each setting out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.engines.open import open_engine
from avcurate.media.folder import MediaFolder
from avcurate.media.swapped import Variant
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.schema import Setting
from avcurate.store.atomic import write_atomic, write_text
from avcurate.tasks.asking import DESCRIBED, clip_source
from avcurate.tasks.base import Context, Task
from avcurate.tasks.caption.recipe import CaptionRecipe
from avcurate.tasks.conditions import swapped_folder
from avcurate.tasks.inside import under_guidance, under_knockout
from avcurate.tasks.sampling import SampleStage

if TYPE_CHECKING:
    from rich.console import Console


class Caption(Task[CaptionRecipe]):
    """Describe clips under audio only, video only and both, with the guarantees of label-pem.

    Writes captions/a.jsonl, v.jsonl and av.jsonl, which `avcurate hallucination` and `avcurate judge` read. On clips of
    `--swapped` also captions/references.jsonl: what is now heard and seen in each, for `avcurate judge --truth`.

    Examples:

      avcurate caption animal/clips.csv --media clips -m Qwen/Qwen2.5-Omni-7B -o runs/captions

      avcurate caption clips.csv --media clips --swapped runs/swap --ask hear -m MODEL -o runs/hear-counterfactual
    """

    name = "caption"
    recipe = CaptionRecipe
    default = "caption"

    def plan(self, recipe: CaptionRecipe, context: Context) -> Job:
        """Clips, with all n captions: none is right or wrong, so there is no early exit."""
        inputs = recipe.input
        assert inputs.media is not None
        folder = MediaFolder(inputs.media, inputs.media_pattern)
        if inputs.swapped is not None:
            folder = swapped_folder(inputs.swapped, recipe.variant, inputs.media, inputs.media_pattern)
        model = under_guidance(under_knockout(recipe.model, recipe.knockout), recipe.decode, recipe.guidance)
        engine = context.engine or open_engine(model, recipe.layout == "interleaved")
        stage = SampleStage(engine, recipe.spec(), folder.root, recipe.run.threads, answers=False)
        source = clip_source(inputs, DESCRIBED, {"task": "caption"}, folder)
        return Job(source, (stage,), lambda run: write_captions(run, inputs.swapped, recipe.variant))

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Where the captions are, and how many."""
        counts = {}
        for setting in Setting:
            file = run.root / "captions" / f"{setting}.jsonl"
            counts[str(setting)] = sum(1 for _ in file.open("rb")) if file.is_file() else 0
        return {"run": str(run.root), "captions": str(run.root / "captions"), "counts": counts}

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print the files."""
        for setting, n in summary["counts"].items():
            console.print(f"{summary['captions']}/{setting}.jsonl: {n:,} captions")


def write_captions(run: RunDir, swapped: Path | None = None, variant: Variant = "counterfactual") -> None:
    """Write one file per setting; lines with ``clip``, ``setting``, ``caption``, ``seed`` and ``labels``.

    With ``swapped`` also what is heard and seen in its clips, where its pairs came with captions.
    """
    if swapped is not None:
        lines = (json.dumps(x, ensure_ascii=False) + "\n" for x in _references(run, RunDir(swapped), variant))
        write_text(run.root / "captions/references.jsonl", "".join(lines))
    for setting in Setting:
        write_atomic(run.root / "captions" / f"{setting}.jsonl", lambda p, s=setting: _write(run, s, p))  # type: ignore[misc]


def _references(run: RunDir, swapped: RunDir, variant: Variant) -> Iterator[dict[str, Any]]:
    """What is heard and seen in each clip as it was shown: a counterfactual one sounds like its donor."""
    pairs = {row[variant]: row for t in swapped.parts("swap").rows() for row in t.to_pylist() if row[variant]}
    for table in run.parts("questions").rows(columns=["video_id", "media"]):
        for row in table.to_pylist():
            pair = json.loads(pairs[row["media"]]["record"]) if row["media"] in pairs else {}
            heard = {"counterfactual": "donor_captions", "factual": "audio_captions"}.get(variant)
            sound, picture = pair.get(heard or "") or [], pair.get("video_captions") or []
            if sound or picture:
                yield {"clip": row["video_id"], "audio_caption": sound, "video_caption": picture}


def _write(run: RunDir, setting: Setting, path: Path) -> None:
    with path.open("w", encoding="utf-8") as f:
        for table in run.parts("sample").rows(columns=["video_id", "answer", f"{setting}_responses"]):
            for row in table.to_pylist():
                for response in row[f"{setting}_responses"]:
                    line = {
                        "clip": row["video_id"],
                        "setting": str(setting),
                        "caption": response["text"].strip(),
                        "seed": response["seed"],
                        "labels": row["answer"],
                    }
                    f.write(json.dumps(line, ensure_ascii=False) + "\n")
