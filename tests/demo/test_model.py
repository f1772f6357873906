"""The shipped model answers from what it hears and sees, not from names, texts or positions."""

import json
import random
from collections import Counter

import pytest

from avcurate.demo.build import build_world
from avcurate.demo.questions import TYPE_BY_NAME, draft
from avcurate.engines.base import Request, Sampling
from avcurate.engines.checkpoint import EMBEDDED_FOLDER as EMBEDDED
from avcurate.media.decode import DecodeSpec, decode
from avcurate.metrics.answers import is_correct, parse_answer
from avcurate.prompts import COT
from tests.engines.ask import ask

pytest.importorskip("torch")

GREEDY = Sampling(temperature=0.0, max_tokens=160)
AUDIO, VISUAL = ("timbre", "sound_count"), ("color", "shape", "motion", "object_count")


@pytest.fixture(scope="module")
def engine():
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(Checkpoint("embedded"))
    engine.setup()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Group clips of a held-out world with what they show and play, decoded."""
    folder = tmp_path_factory.mktemp("swap") / "w"
    items = build_world(folder, 90, seed=404, workers=2)
    groups = {i.clip.name: i.clip for i in items if i.clip.picture.kind == "group"}
    spec = DecodeSpec(max_frames=32, max_pixels=50_176, max_seconds=30)
    return [(c, decode(folder / "clips" / f"{n}.mp4", spec)) for n, c in groups.items()]


@pytest.mark.slow
def test_swapping_the_audio_changes_what_is_heard_and_nothing_that_is_seen(engine, clips):
    rng = random.Random(0)
    asked, expected = [], {}
    for at, (clip, media) in enumerate(clips):
        donor, other = clips[(at + 1) % len(clips)]
        for name in (*AUDIO, *VISUAL):
            q = draft(TYPE_BY_NAME[name], clip.picture, clip.sound, rng)
            if name in AUDIO:
                now = TYPE_BY_NAME[name].ask(donor.picture, donor.sound, rng)[2]
                if now == q.answer or now not in q.choices:
                    continue
            else:
                now = q.answer
            for which, audio in (("own", media.audio), ("swapped", other.audio)):
                key = f"{at}/{name}/{which}"
                prompt = COT.render(q.text, q.choices)
                asked.append(Request(key, prompt, audio, media.frames, media.fps, 1, 0, GREEDY))
                expected[key] = (name, which, q.choices, q.answer if which == "own" else now)
    replies = ask(engine, asked)
    right, total = Counter(), Counter()
    for key, (name, which, choices, answer) in expected.items():
        group = ("heard" if name in AUDIO else "seen", which)
        right[group] += is_correct(parse_answer(replies[key].responses[0].text, choices), answer)
        total[group] += 1
    assert all(total[g, "swapped"] >= 15 for g in ("heard", "seen"))
    for group in total:
        assert right[group] >= 0.93 * total[group], (group, right[group], total[group])


@pytest.mark.slow
def test_it_says_which_modality_was_not_given(engine, clips):
    clip, media = clips[0]
    q = draft(TYPE_BY_NAME["color"], clip.picture, clip.sound, random.Random(1))
    prompt = COT.render(q.text, q.choices)
    shown = {"a": (media.audio, None), "v": (None, media.frames), "av": (media.audio, media.frames)}
    replies = ask(engine, [Request(k, prompt, a, f, media.fps, 1, 0, GREEDY) for k, (a, f) in shown.items()])
    texts = {k: replies[k].responses[0].text for k in shown}
    assert "no picture" in texts["a"] and "no sound" in texts["v"]
    assert "There is no" not in texts["av"]
    assert all(x.startswith("<think>") and x.rstrip().endswith("</answer>") for x in texts.values())


def test_the_checkpoint_is_small_and_in_the_layout_of_the_full_model():
    from safetensors import safe_open

    files = list(EMBEDDED.glob("*.safetensors"))
    assert files and sum(f.stat().st_size for f in files) <= 12 * 2**20
    for file in files:
        with safe_open(file, "pt") as tensors:
            assert all(name.startswith("thinker.") for name in tensors.keys())  # noqa: SIM118
    config = json.loads((EMBEDDED / "config.json").read_text())
    assert config["model_type"] == "qwen2_5_omni" and "thinker_config" in config
