"""How much attention the responses of an eval run pay to sound and to picture.

The model rereads its own responses, in one forward pass each, with the attention capture used in training:
the mass on a modality's tokens, maximum over heads, mean over the last layers (MAPO §3.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import MediaError, UserError
from avcurate.recipe import MediaSpec
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.scheduler.ability import within_limit
from avcurate.scheduler.spec import CONDITIONS
from avcurate.store.atomic import write_json

if TYPE_CHECKING:
    from avcurate.engines.base import Request
    from avcurate.media.cache import ClipCache
    from avcurate.train.omni import Omni

QUARTERS = 4
LAYERS = 5
BATCH = 8
MODALITIES = ("audio", "video")
FILE = "attention.json"


@dataclass(frozen=True)
class AttendJob:
    """One ``attend`` invocation.

    Attributes:
        run: a finished eval run.
        condition: condition whose responses are read; the first response of each question.
        layers: number of last decoder layers to average.
        limit: number of questions; 0 for all.
        media: folder of the clips; by default the one recorded in the run.
    """

    run: Path
    condition: str = "av"
    layers: int = LAYERS
    limit: int = 0
    decode_workers: int = 2
    media: Path | None = None


def run_attend(job: AttendJob, tick: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """Reread responses and write ``attention.json`` into the run.

    Returns:
        ``{"audio": {"all", "quarters"}, "video": ..., "responses", "skipped"}``: mean mass in [0, 1] over responses,
        for all tokens and for each quarter. ``skipped`` counts questions whose media could not be reread.

    Raises:
        UserError: the run is not finished, has no such condition, or its model is not supported.
    """
    run = RunDir(job.run)
    record = run.require("eval", made_by="eval")
    columns = ["question_id", "media", "start", "end", "question", "choices", "asked"]
    rows = [r for t in run.parts("eval").rows(columns=columns) for r in t.to_pylist()]
    rows = [r for r in rows if job.condition in {a["condition"] for a in r["asked"]}]
    if not rows:
        raise UserError(f"{job.run} did not ask under {job.condition!r}.", "Name one of its conditions.")
    rows = rows[: job.limit or None]
    try:
        from avcurate.engines.transformers_engine import TransformersEngine
        from avcurate.train.omni import Omni
    except ImportError as e:
        raise UserError(f"attend needs {e.name}.", "Install it: pip install 'avcurate[transformers]'.") from None
    from avcurate.media.cache import ClipCache

    recipe = record["recipe"]
    model = recipe["model"]
    scope = recipe.get("maam") or model["options"].get("maam")
    engine = TransformersEngine(
        Checkpoint(model["model"], model["revision"], model.get("family")), dtype=model["dtype"], maam=scope
    )
    engine.setup()
    clips = ClipCache(
        job.media or run.path_of("swapped", record) or run.media(record),
        within_limit(engine, MediaSpec(**recipe["media"])),
        job.decode_workers,
    )
    try:
        result = _reread(job, Omni(engine), recipe, clips, rows, tick)
    finally:
        clips.close()
        engine.close()
    result |= {"condition": job.condition, "model": model["model"]}
    write_json(job.run / FILE, result)
    return result


def _reread(
    job: AttendJob,
    omni: Omni,
    recipe: dict[str, Any],
    clips: ClipCache,
    rows: list[Row],
    tick: Callable[[int, int], None],
) -> dict[str, Any]:
    last = omni.decoder_layers
    layers = frozenset(range(max(0, last - job.layers), last))
    masses: dict[str, list[list[float]]] = {m: [] for m in MODALITIES}
    skipped = 0
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        for row in batch:
            clips.get(row["media"], row["start"], row["end"])
        requests: list[tuple[Request, list[int]]] = []
        for row in batch:
            try:
                requests.append(_request(job, omni, recipe, clips, row))
            except MediaError:
                skipped += 1
        for rate in sorted({r.fps for r, _ in requests}):
            pairs = [pair for pair in requests if pair[0].fps == rate and pair[1]]
            for modality in MODALITIES:
                masses[modality] += _mass(omni, pairs, modality, layers)
        tick(min(start + BATCH, len(rows)), len(rows))
    if not masses["audio"]:
        raise UserError(
            f"no clip of {job.run} can be reread.", "Put the media back, or give their folder with --media."
        )
    means = {m: _means(masses[m]) for m in MODALITIES}
    return means | {"responses": len(masses["audio"]), "skipped": skipped, "layers": sorted(layers)}


def _request(
    job: AttendJob, omni: Omni, recipe: dict[str, Any], clips: ClipCache, row: Row
) -> tuple[Request, list[int]]:
    from avcurate.engines.base import Request, Sampling
    from avcurate.media.ablate import show
    from avcurate.prompts import recorded_prompt

    condition = CONDITIONS[job.condition]
    clip = clips.get(row["media"], row["start"], row["end"]).result()
    audio, frames = show(clip, condition.setting, recipe["ablation"])
    text = next(a["texts"][0] for a in row["asked"] if a["condition"] == job.condition)
    # a forced PEM is stored with the response but belongs to the prompt here
    text = text.removeprefix(condition.prefix)
    ids = omni.engine.processor.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    prompt = recorded_prompt(recipe).render(row["question"], row["choices"])
    request = Request(
        row["question_id"],
        prompt,
        audio,
        frames,
        clip.fps,
        1,
        0,
        Sampling(),
        interleaved=recipe["layout"] == "interleaved" and audio is not None and frames is not None,
        prefix=condition.prefix,
    )
    return request, ids


def _mass(
    omni: Omni, pairs: list[tuple[Request, list[int]]], modality: Any, layers: frozenset[int]
) -> list[list[float]]:
    """Mass of each response's tokens, in order."""
    import torch

    if not pairs:
        return []
    longest = max(len(ids) for _, ids in pairs)
    tokens = torch.zeros(len(pairs), longest, dtype=torch.long)
    mask = torch.zeros(len(pairs), longest)
    for i, (_, ids) in enumerate(pairs):
        tokens[i, : len(ids)], mask[i, : len(ids)] = torch.tensor(ids), 1
    with torch.no_grad():
        _, mass = omni.forward(omni.engine.model, [r for r, _ in pairs], tokens, mask, (modality, layers))
    return [mass[i, : len(ids)].tolist() for i, (_, ids) in enumerate(pairs)]


def _means(masses: list[list[float]]) -> dict[str, Any]:
    """Mean over responses, for all tokens and by quarter; a response of fewer than four tokens has empty quarters."""

    def mean(values: list[float]) -> float | None:
        return sum(values) / len(values) if values else None

    quarters: list[list[float]] = [[] for _ in range(QUARTERS)]
    for response in masses:
        for q in range(QUARTERS):
            part = [m for t, m in enumerate(response) if t * QUARTERS // len(response) == q]
            if part:
                quarters[q].append(sum(part) / len(part))
    return {"all": mean([sum(m) / len(m) for m in masses]), "quarters": [mean(q) for q in quarters]}
