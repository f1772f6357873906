"""Every probe inside every family that runs in process, on tiny random checkpoints: what is read is exact there too."""

import numpy as np
import pytest
import torch

from avcurate.attention.cut import Cut
from avcurate.attention.function import switch_on
from avcurate.attention.hidden import Decoder
from avcurate.attention.kinds import GROUPS, Kind
from avcurate.attention.plan import Plan
from avcurate.attention.read import Shares
from avcurate.engines.base import Sampling
from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import UserError
from avcurate.media.decode import DecodedClip
from avcurate.prompts import get_prompt
from avcurate.runner.stage import Filtered
from avcurate.scheduler.spec import CONDITIONS, AskSpec
from avcurate.tasks.probe.attention import AttentionStage
from avcurate.tasks.probe.entropy import EntropyStage
from avcurate.tasks.probe.knockout import KnockoutStage
from avcurate.tasks.probe.lens import LensStage
from avcurate.tasks.probe.masking import MaskingStage
from avcurate.tasks.probe.patching import Patch, kept, patched
from avcurate.tasks.probe.preference import PreferenceStage
from avcurate.tasks.probe.reading import Reading
from avcurate.tasks.probe.shift import ShiftStage
from avcurate.tasks.probe.trace import corrupted_request
from tests.conftest import LONG
from tests.families.conftest import BUILDERS

pytestmark = pytest.mark.slow
STAGES = {
    "attention": (AttentionStage, {}),
    "knockout": (KnockoutStage, {"rules": ["rest->audio"], "window": 1, "step": 1}),
    "lens": (LensStage, {"concepts": None, "top": 3, "norm": True}),
    "shift": (ShiftStage, {"base": "without-audio", "dtype": "auto"}),
    "entropy": (EntropyStage, {"without": "audio"}),
    "preference": (PreferenceStage, {}),
    "masking": (MaskingStage, {"shares": (0.5,), "draws": 1, "block": 0.2, "last": 1}),
}
ROW = {
    "question_id": "q1", "media": "clip.mp4", "question": "What makes this sound?", "choices": ["bell", "drum"],
    "answer": "bell", "stated_modality": "Audio", "video_id": "clip",
}  # fmt: skip


KINDS = list(BUILDERS) if LONG else ["qwen2_5_omni", "qwen3_omni_moe", "gemma4", "qwen2_audio"]


@pytest.fixture(scope="module", params=KINDS)
def engine(request, checkpoint_of):
    from avcurate.engines.transformers_engine import TransformersEngine

    engine = TransformersEngine(Checkpoint(str(checkpoint_of(request.param))))
    engine.setup()
    engine.setup = lambda: None
    return engine


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (4, 56, 84, 3), dtype=np.uint8)
    return DecodedClip(frames, 2.0, rng.uniform(-0.5, 0.5, 32_000).astype(np.float32), 2.0, "0" * 64)


def stage_of(engine, name, tmp_path, conditions=None):
    stage, options = STAGES[name]
    spec = AskSpec(get_prompt("cot@1"), 1, sampling=Sampling(temperature=0.0, max_tokens=6))
    names = conditions or (("a", "v", "av") if engine.family.sees else ("a",))
    made = stage(engine, spec, [CONDITIONS[n] for n in names], tmp_path, **options)
    made.setup()
    return made


@pytest.mark.parametrize("name", list(STAGES))
def test_a_probe_reads_a_family(engine, clip, name, tmp_path):
    if not engine.family.sees and name == "preference":
        with pytest.raises(UserError, match="cannot see"):
            stage_of(engine, name, tmp_path, ("a", "v", "av"))
        return
    stage = stage_of(engine, name, tmp_path, ("av",) if name in ("shift", "masking") and engine.family.sees else None)
    if name == "preference":
        assert isinstance(stage.examine(ROW, clip), Filtered)  # random words answer nothing
        return
    entries = stage.examine(ROW, clip)
    assert entries and all(e["text"] is not None for e in entries)
    if name == "attention":
        for e in entries:
            assert np.allclose(np.array(e["mean"]).sum(-1), 1.0, atol=1e-4)
            assert len(e["mean"]) == len(e["layers"]) == stage.omni.decoder_layers
            assert len(e["mean"][0]) == len(e["tokens"]) == len(e["kinds"])
    if name == "knockout":
        assert {e["cut"] for e in entries} == {None, "rest->audio"}
        assert any(e["cut"] and abs(e["whole"] - e["without"]) > 1e-4 for e in entries if e["condition"] != "v")
    if name == "shift":
        assert all(min(e["kl"]) >= 0 and min(e["rank"]) >= 1 and max(e["kl"]) > 0 for e in entries)


def test_the_lens_at_the_last_layer_with_the_norm_is_the_output(engine, clip, tmp_path):
    stage = stage_of(engine, "lens", tmp_path)
    decoder = Decoder(engine.model)
    for answered in stage.answers(ROW, clip):
        reading = stage.reading(answered)
        with decoder.outputs() as states:
            logits = reading.logits().float()
        assert len(states) == stage.omni.decoder_layers
        with torch.inference_mode():
            lens = decoder.logits(states[-1][0, reading.prompt - 1 : -1], norm=True)
        # some families cap their logits after the head
        assert torch.allclose(lens, logits, atol=1e-4)


def test_a_cut_of_everything_but_sound_leaves_no_attention_to_it(engine, clip, tmp_path):
    stage = stage_of(engine, "attention", tmp_path, ("a",))
    (answered,) = stage.answers(ROW, clip)
    reading = Reading(stage.omni, answered.request, answered.ids)
    switch_on(engine.model)
    reader = Shares(reading.plain_kinds)
    reading.logits(Plan(reading.plain_kinds, [Cut.parse("rest->audio")], readers=[reader]))
    for sums in reader.heads.values():
        for kind in GROUPS["response"]:
            assert not sums[:, :, kind, Kind.AUDIO].any()


class _Logits:
    """Logits of each step."""

    def __init__(self):
        self.steps = []

    def __call__(self, live, logits):
        self.steps.append(logits.clone())


@pytest.mark.parametrize("site", ["input_layernorm", "self_attn", "mlp"])
def test_patching_nothing_is_the_corrupted_run_and_everything_the_clean_one(engine, clip, tmp_path, site):
    if not engine.family.sees or not engine.family.interleaves:
        pytest.skip("the family does not put sound inside the video")
    rng = np.random.default_rng(1)
    long = DecodedClip(
        rng.integers(0, 255, (12, 56, 84, 3), dtype=np.uint8),
        2.0,
        rng.uniform(-0.5, 0.5, 96_000).astype(np.float32),
        6.0,
        "1" * 64,
    )
    spec = AskSpec(get_prompt("cot@1"), 1, sampling=Sampling(temperature=0.0, max_tokens=4), interleaved=True)
    stage = AttentionStage(engine, spec, [CONDITIONS["av"]], tmp_path)
    stage.setup()
    decoder = Decoder(engine.model)
    with kept(decoder, site) as states:
        (clean,) = stage.answers(ROW, long)
    states = torch.stack(states)
    broken = corrupted_request(clean.request, ("audio",), "zero", 0)
    first = {}
    for name, request, everything in (
        ("clean", clean.request, None),
        ("broken", broken, None),
        ("none", broken, False),
        ("all", broken, True),
    ):
        seen = _Logits()
        if everything is None:
            engine.sample([request], (), seen)
        else:
            positions = torch.full((states.shape[1],), everything)
            with patched(decoder, site, states, [Patch(positions, (0, len(decoder.layers)))]):
                engine.sample([request], (), seen)
        first[name] = seen.steps[0]
    assert torch.equal(first["none"], first["broken"])
    # between MLPs attention still reads corrupted states
    assert torch.equal(first["all"], first["clean"]) == (site != "mlp")
    assert not torch.equal(first["broken"], first["clean"])
