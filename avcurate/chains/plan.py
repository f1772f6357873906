"""What a run would cost, from the annotations and a look at some clips; loads no weight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import MediaError
from avcurate.families.base import Family
from avcurate.media.decode import SAMPLE_RATE
from avcurate.media.folder import MediaFolder
from avcurate.media.probe import Probe, probe
from avcurate.recipe import Recipe
from avcurate.runner.ingest import Ingest
from avcurate.runner.stage import Dead, Filtered, Kept

BYTES_PER_RESPONSE_TOKEN = 1.6
WORDS_OF_PROMPT = 120


def make_plan(
    annotations: Path,
    media: Path,
    recipe: Recipe,
    format_name: str,
    mapping: dict[str, str],
    media_pattern: str | None,
    limit: int,
    sample: int,
) -> dict[str, Any]:
    """Counts of questions and clips, and estimates with the number of clips they rest on."""
    ingest = Ingest(annotations, MediaFolder(media, media_pattern), format_name, mapping, limit=limit)
    clips: dict[str, int] = {}
    lost: dict[str, int] = {}
    for record in ingest.records():
        outcome = ingest.outcome(record)
        if isinstance(outcome, Kept):
            clips[outcome.added["media"]] = clips.get(outcome.added["media"], 0) + 1
        elif isinstance(outcome, (Filtered, Dead)):
            lost[outcome.reason] = lost.get(outcome.reason, 0) + 1
    questions = sum(clips.values())
    names = list(clips)[:: max(1, len(clips) // sample)][:sample]
    with ThreadPoolExecutor(2) as pool:
        probes = [p for p in pool.map(lambda n: _try_probe(media / n), names) if p]
    plan: dict[str, Any] = {
        "questions": questions,
        "not_asked": lost,
        "clips": len(clips),
        "clips_looked_at": len(probes),
    }
    whole = [p for p in probes if p.has_audio and p.has_video]
    if not whole:
        return plan
    seconds = sum(min(p.duration, recipe.media.max_seconds) for p in whole) / len(whole)
    plan["share_with_picture_and_sound"] = round(len(whole) / len(probes), 3)
    plan["seconds_of_media"] = round(seconds * len(clips))
    responses = questions * 3 * recipe.n
    plan["responses_at_most"] = responses
    plan["response_tokens_at_most"] = responses * recipe.sampling.max_tokens
    plan["disk_bytes_at_most"] = round(responses * recipe.sampling.max_tokens * BYTES_PER_RESPONSE_TOKEN)
    family = Checkpoint(recipe.model.model).family if recipe.model.engine != "scripted" else None
    if family:
        plan["prompt_tokens"] = round(questions * sum(_prompt_tokens(p, recipe, family) for p in whole) / len(whole))
    return plan


def _try_probe(path: Path) -> Probe | None:
    try:
        return probe(path)
    except MediaError:
        return None


def _prompt_tokens(facts: Probe, recipe: Recipe, family: Family) -> int:
    """Prompt tokens of one question under A, V and AV."""
    seconds = min(facts.duration, recipe.media.max_seconds)
    frames = min(recipe.media.max_frames, max(2, int(seconds * recipe.media.fps)))
    audio = family.audio_tokens(int(seconds * SAMPLE_RATE)) or 0
    video = family.video_tokens(frames, max(facts.height, 2), max(facts.width, 2)) or 0
    return 2 * audio + 2 * video + 3 * WORDS_OF_PROMPT
