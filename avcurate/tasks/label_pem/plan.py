"""What a run would cost, estimated from the annotations and a sample of clips; loads no weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import MediaError
from avcurate.families.base import Family
from avcurate.media.decode import SAMPLE_RATE
from avcurate.media.probe import Probe, probe
from avcurate.runner.isolate import Isolation, guarded
from avcurate.runner.source import Extent
from avcurate.runner.stage import Kept, Outcome
from avcurate.sources.records import Record
from avcurate.tasks.asking import question_source
from avcurate.tasks.label_pem.recipe import LabelPemRecipe

BYTES_PER_RESPONSE_TOKEN = 1.6
WORDS_OF_PROMPT = 120


def make_plan(recipe: LabelPemRecipe, sample: int) -> dict[str, Any]:
    """Counts of questions and clips, and estimates with the number of clips they are based on."""
    media = recipe.input.media
    assert media is not None
    source, isolation = question_source(recipe.input), Isolation()
    clips: dict[str, int] = {}
    not_asked: dict[str, int] = {}

    def outcome_of(record: Record) -> Outcome | None:
        return None if record.value is None else guarded(isolation, lambda: source.read(record))

    for record in Extent(recipe.run.limit).select(source.records()):
        outcome = outcome_of(record)
        if isinstance(outcome, Kept):
            clips[outcome.added["media"]] = clips.get(outcome.added["media"], 0) + 1
        else:
            reason = record.reason if outcome is None else outcome.reason
            not_asked[reason] = not_asked.get(reason, 0) + 1
    questions = sum(clips.values())
    names = list(clips)[:: max(1, len(clips) // sample)][:sample]
    with ThreadPoolExecutor(2) as pool:
        probes = [p for p in pool.map(lambda n: _try_probe(media / n), names) if p]
    plan: dict[str, Any] = {
        "questions": questions,
        "not_asked": not_asked,
        "clips": len(clips),
        "clips_looked_at": len(probes),
    }
    complete = [p for p in probes if p.has_audio and p.has_video]
    if not complete:
        return plan
    seconds = sum(min(p.duration, recipe.media.max_seconds) for p in complete) / len(complete)
    plan["share_with_picture_and_sound"] = round(len(complete) / len(probes), 3)
    plan["seconds_of_media"] = round(seconds * len(clips))
    responses = questions * 3 * recipe.n
    plan["responses_at_most"] = responses
    plan["response_tokens_at_most"] = responses * recipe.sampling.max_tokens
    plan["disk_bytes_at_most"] = round(responses * recipe.sampling.max_tokens * BYTES_PER_RESPONSE_TOKEN)
    family = Checkpoint.of(recipe.model).family if recipe.model.engine != "scripted" else None
    plan["model"] = recipe.model.model
    if family:
        media_tokens = [_media_tokens(p, recipe, family) for p in complete]
        prompts = [2 * sum(tokens) + 3 * WORDS_OF_PROMPT for tokens in media_tokens]
        plan["prompt_tokens"] = round(questions * sum(prompts) / len(complete))
        longest = [sum(tokens) + WORDS_OF_PROMPT + recipe.sampling.max_tokens for tokens in media_tokens]
        plan["longest_prompt_and_response"] = max(longest)
        plan["context"] = recipe.model.max_model_len
        plan["share_over_context"] = round(sum(n > recipe.model.max_model_len for n in longest) / len(complete), 3)
    return plan


def _try_probe(path: Path) -> Probe | None:
    try:
        return probe(path)
    except MediaError:
        return None


def _media_tokens(clip: Probe, recipe: LabelPemRecipe, family: Family) -> tuple[int, int]:
    """Audio and video tokens of one question under AV; over A, V and AV it needs each twice."""
    seconds = min(clip.duration, recipe.media.max_seconds)
    frames = min(recipe.media.max_frames, max(2, int(seconds * recipe.media.fps)))
    audio = family.audio_tokens(int(seconds * SAMPLE_RATE)) or 0
    video = family.video_tokens(frames, max(clip.height, 2), max(clip.width, 2)) or 0
    return audio, video
