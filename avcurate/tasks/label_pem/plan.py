"""What a run would cost, from the annotations and a look at some clips; loads no weight."""

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
    """Counts of questions and clips, and estimates with the number of clips they rest on."""
    media = recipe.input.media
    assert media is not None
    source, isolation = question_source(recipe.input), Isolation()
    clips: dict[str, int] = {}
    lost: dict[str, int] = {}

    def outcome_of(record: Record) -> Outcome | None:
        return None if record.value is None else guarded(isolation, lambda: source.read(record))

    for record in Extent(recipe.run.limit).select(source.records()):
        outcome = outcome_of(record)
        if isinstance(outcome, Kept):
            clips[outcome.added["media"]] = clips.get(outcome.added["media"], 0) + 1
        else:
            reason = record.reason if outcome is None else outcome.reason
            lost[reason] = lost.get(reason, 0) + 1
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
    plan["model"] = recipe.model.model
    if family:
        both = [_media_tokens(p, recipe, family) for p in whole]
        prompts = [2 * sum(one) + 3 * WORDS_OF_PROMPT for one in both]
        plan["prompt_tokens"] = round(questions * sum(prompts) / len(whole))
        longest = [sum(one) + WORDS_OF_PROMPT + recipe.sampling.max_tokens for one in both]
        plan["longest_prompt_and_response"] = max(longest)
        plan["context"] = recipe.model.max_model_len
        plan["share_over_context"] = round(sum(n > recipe.model.max_model_len for n in longest) / len(whole), 3)
    return plan


def _try_probe(path: Path) -> Probe | None:
    try:
        return probe(path)
    except MediaError:
        return None


def _media_tokens(facts: Probe, recipe: LabelPemRecipe, family: Family) -> tuple[int, int]:
    """Audio and video tokens of one question under AV; it costs each of them twice over A, V and AV."""
    seconds = min(facts.duration, recipe.media.max_seconds)
    frames = min(recipe.media.max_frames, max(2, int(seconds * recipe.media.fps)))
    audio = family.audio_tokens(int(seconds * SAMPLE_RATE)) or 0
    video = family.video_tokens(frames, max(facts.height, 2), max(facts.width, 2)) or 0
    return audio, video
