"""The main job on real questions and clips through each Qwen-Omni family: no clip is lost, and a cheat is caught."""

import sys

import pytest

from avcurate.engines.canary_clips import NotHearing
from avcurate.runner.rundir import RunDir
from tests import running
from tests.conftest import LONG, CountingEmbedder
from tests.engines.vllm_process import vllm_server

pytestmark = pytest.mark.slow


def label(shared, out, model, more=None, **parts):
    changes = {"annotations": shared / "annotations/avqa_real.json", "media": shared / "clips", "n": 2}
    changes |= {"model.model": str(model), "sampling.max_tokens": 4, "media.max_pixels": 3136, "early_exit": "false"}
    changes |= more or {}
    return running.run("label-pem", out, changes, embedder=CountingEmbedder(), **parts)


@pytest.mark.parametrize("kind", ["qwen3_omni_moe", *(["qwen2_5_omni"] if LONG else [])])
def test_no_real_clip_is_lost_to_token_counts(shared, checkpoint_of, tmp_path, kind):
    """Unpadded, 25 of the 41 clips with sound died under Qwen3-Omni: 160,125 samples are 131 tokens, not 130."""
    sample = label(shared, tmp_path / "run", checkpoint_of(kind))["sample"]
    assert sample.dead == {} and sample.kept >= 40, (sample.dead, sample.filtered)
    rows = [r for t in RunDir(tmp_path / "run").parts("sample").rows() for r in t.to_pylist()]
    assert all(r["av_audio_tokens"] == r["a_audio_tokens"] > 0 for r in rows)
    assert all(r["av_video_tokens"] == r["v_video_tokens"] > 0 for r in rows)


@pytest.mark.parametrize("engine", ["vllm", "server"])
def test_no_real_clip_is_lost_by_vllm(shared, checkpoint_of, tmp_path, engine):
    """Qwen3-Omni in vLLM's own process and behind its server, which count tokens by their own code."""
    pytest.importorskip("vllm", reason="vLLM is not installed (make setup-test installs it)")
    folder = checkpoint_of("qwen3_omni_moe")
    changes = {"model.engine": engine, "model.max_model_len": 8192, "media.max_frames": 16, "n": 1}
    changes |= {} if LONG else {"run.limit": 10}
    if engine == "vllm":
        sample = label(shared, tmp_path / "run", folder, changes)["sample"]
    else:
        with vllm_server(sys.executable, folder, tmp_path, max_model_len=8192) as url:
            changes |= {"model.urls": [url], "model.served_name": "tiny"}
            sample = label(shared, tmp_path / "run", folder, changes)["sample"]
    assert sample.dead == {} and sample.kept >= (40 if LONG else 8), (sample.dead, sample.filtered)


def test_an_engine_that_loses_the_end_of_the_sound_is_still_caught(shared, checkpoint_of, tmp_path):
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine

    class Truncates(TransformersEngine):
        """Passes on nine tenths of every sound."""

        def inputs(self, batch):
            from dataclasses import replace

            cut = [r if r.audio is None else replace(r, audio=r.audio[: len(r.audio) * 9 // 10]) for r in batch]
            return super().inputs(cut)

    engine = Truncates(Checkpoint(str(checkpoint_of("qwen3_omni_moe"))))
    try:
        tallies = label(shared, tmp_path / "run", "unused", engine=engine)
    except NotHearing:
        return
    assert tallies["sample"].kept == 0 and set(tallies["sample"].dead) == {"modality_not_delivered"}
