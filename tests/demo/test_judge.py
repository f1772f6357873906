"""The embedded judge: fair verdicts by hand, true captions above false ones, and a drop where the sound was swapped."""

import json
import random

import numpy as np
import pytest

from avcurate.demo.captions import hear, see
from avcurate.demo.verdicts import caption, lesson, verdict
from avcurate.demo.world import Picture, Sound
from avcurate.metrics.judging import parse_judgement
from avcurate.runner.rundir import RunDir
from avcurate.tasks.judge.summary import compare_judged, summarise_judge
from tests import running

BELL = Sound("group", 3, None, ("bell",))
SQUARES = Picture("group", "square", "up", 2, ("red",) * 4)


def test_verdicts_by_hand():
    assert verdict(BELL, BELL)[1] == 1.0 and verdict(BELL, None)[1] == 0.0
    assert verdict(BELL, Sound("group", 3, None, ("drum",)))[1] == 0.5
    assert verdict(BELL, Sound("sequence", 4, None, ("bell", "drum", "hiss", "buzz")))[1] == 0.0
    four = Sound("group", 4, "steady", ("bell",))
    assert verdict(four, Sound("group", 4, "slowing", ("bell",)))[1] == 0.67
    moved = Picture("group", "square", "down", 2, ("red",) * 4)
    reply, score = verdict(SQUARES, moved)
    assert score == 0.75 and parse_judgement(reply) == (0.75, json.loads(reply)["reason"])
    assert "up down no" in reply and reply.count(" yes") == 3


def test_lessons_are_the_prompts_that_judge_sends_and_separate_right_from_wrong():
    rng = random.Random(5)
    lessons = [lesson(m, rng) for m in ("audio", "video") for _ in range(300)]
    scores = np.array([x.score for x in lessons])
    assert (scores == 1).mean() > 0.2 and (scores == 0).mean() > 0.2 and len(set(scores)) > 6
    assert all(parse_judgement(x.reply)[0] == x.score for x in lessons)


def captions_of(items, rng, sounds=None):
    """Rows for the judge: each clip with its true caption and with that of another clip."""
    clips = list({i.clip.name: i.clip for i in items}.values())
    rows = []
    for i, clip in enumerate(clips):
        heard = (sounds or {}).get(clip.name, clip.sound)
        truth = {"audio_caption": hear(heard), "video_caption": see(clip.picture)}
        other = clips[(i + 7) % len(clips)]
        for name, captioned in (("true", clip), ("false", other)):
            text = caption(captioned.picture, captioned.sound, rng)
            rows.append({"clip": f"{clip.name}/{name}", "caption": text, **truth})
    return rows


def judge(rows, folder):
    table = folder.with_suffix(".jsonl")
    table.write_text("".join(json.dumps(r) + "\n" for r in rows))
    changes = {"captions": table, "model.model": "embedded-judge", "model.max_sequences": 48}
    running.run("judge", folder, {**changes, "sampling.temperature": 0.0, "sampling.max_tokens": 120})
    run = RunDir(folder)
    return run, {r["clip"]: r for t in run.parts("judge").rows() for r in t.to_pylist()}


@pytest.mark.slow
def test_true_captions_are_told_from_false_ones_and_a_swapped_sound_from_its_own(world, tmp_path):
    _, items = world
    run, rows = judge(captions_of(items, random.Random(1)), tmp_path / "own")
    for modality in ("audio", "video"):
        true, false = (
            np.array([r[f"{modality}_score"] for c, r in rows.items() if c.endswith(kind)], float)
            for kind in ("/true", "/false")
        )
        assert not np.isnan(true).any() and not np.isnan(false).any()
        # the chance that a true caption scores above a false one, ties counted half
        above = (true[:, None] > false).mean() + 0.5 * (true[:, None] == false).mean()
        assert above > 0.95 and true.mean() > 0.9 > 0.5 > false.mean(), (modality, above, true.mean(), false.mean())
    assert summarise_judge(run)["audio"]["unparsed"] == 0
    # the same captions, while the pictures have another sound with no part in common
    swapped = {}
    for i in items:
        own = i.clip.sound
        others = [x.clip.sound for x in items if verdict(own, x.clip.sound)[1] == 0]
        swapped[i.clip.name] = others[i.number % len(others)]
    again, _ = judge(captions_of(items, random.Random(1), swapped), tmp_path / "swapped")
    drop = compare_judged(again, run)
    assert drop["audio"]["difference"] < -0.3 and abs(drop["video"]["difference"]) < 0.05, drop


@pytest.mark.slow
def test_the_judge_is_trained_by_its_command_and_loads_as_any_model(tmp_path):
    from avcurate.demo.judge_model import Phase, train_judge
    from avcurate.engines.checkpoint import Checkpoint

    losses = []
    phases = (Phase(2, 2e-3, ("audio", "video")), Phase(1, 1e-3, ("audio",)))
    for name in ("a", "b"):
        train_judge(
            tmp_path / name, phases, 3, lambda done, total, values: losses.append((done, total, values["loss"]))
        )
    assert losses[:3] == losses[3:] and [x[0] for x in losses[:3]] == [1, 2, 3] and losses[0][1] == 3
    assert Checkpoint(str(tmp_path / "a")).reads_text_alone
    assert (
        Checkpoint(str(tmp_path / "a")).identity()["content"] == Checkpoint(str(tmp_path / "b")).identity()["content"]
    )
