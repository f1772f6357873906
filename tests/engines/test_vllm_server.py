"""label-pem through a real vLLM server: the canary passes, tokens are counted, labels are true."""

import sys

import pytest

from avcurate.demo.build import build_world
from avcurate.engines.checkpoint import EMBEDDED_FOLDER
from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.relabel import confusion
from tests import running
from tests.engines.vllm_process import vllm_server

pytest.importorskip("vllm", reason="vLLM is not installed (make setup-test installs it)")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A vLLM server with the shipped model: its URL."""
    folder = tmp_path_factory.mktemp("server")
    with vllm_server(sys.executable, EMBEDDED_FOLDER, folder, max_model_len=2048, images=16) as url:
        yield url


def test_labels_through_a_server_are_true_and_every_modality_is_accounted_for(server, tmp_path):
    folder = tmp_path / "world"
    build_world(folder, 24, seed=505, workers=2)
    changes = {"annotations": folder / "questions.json", "media": folder / "clips"}
    changes |= {"model.engine": "server", "model.urls": [server], "model.model": str(EMBEDDED_FOLDER)}
    tallies = running.run("label-pem", tmp_path / "run", {**changes, "model.served_name": "tiny"})
    assert tallies["sample"].kept == 24 and not tallies["sample"].dead
    run = RunDir(tmp_path / "run")
    rows = [r for t in run.parts("sample").rows() for r in t.to_pylist()]
    assert all(r["av_audio_tokens"] > 0 and r["av_video_tokens"] > 0 for r in rows)
    assert all(r["a_video_tokens"] == 0 < r["a_audio_tokens"] for r in rows if r["a_asked"])
    agreement = confusion(run, folder / "truth.jsonl")
    for pem in ("Audio", "Visual", "Audio-Visual"):
        assert agreement[f"{pem}_precision"] >= 0.95 and agreement[f"{pem}_recall"] >= 0.80, agreement


def test_a_clip_that_was_sent_before_is_named_and_answers_are_the_same(server):
    """vLLM keeps a clip by the digest that comes with it; a digest that it never had is refused, and the clip sent."""
    import numpy as np

    from avcurate.engines.base import ListSource, Request, Sampling
    from avcurate.engines.server import ServerEngine
    from avcurate.recipe import ModelSpec

    rng = np.random.default_rng(0)
    clips = [rng.integers(0, 255, (4, 56, 56, 3), dtype=np.uint8) for _ in range(2)]
    sound = rng.normal(0, 0.1, 16_000).astype(np.float32)
    greedy = Sampling(temperature=0.0, max_tokens=12)
    asked = [Request(f"{i}", "What is shown?", sound, clips[i % 2], 2.0, 1, 0, greedy) for i in range(6)]
    said, bodies = {}, []
    for once in (False, True):
        spec = ModelSpec(engine="server", model=str(EMBEDDED_FOLDER), served_name="tiny", urls=(server,))
        engine = ServerEngine(spec.model_copy(update={"options": {"send_once": once}}))
        engine.setup()
        send = engine._send
        engine._send = lambda url, body, send=send: bodies.append(len(engine._sent[url])) or send(url, body)
        engine.limit = 1.0
        engine.spec = engine.spec.model_copy(update={"max_sequences": 1})
        said[once] = {r.key: r for r in engine.generate(ListSource(asked))}
        if once:
            # of a server that was restarted, or whose cache is full
            never = np.full((4, 56, 56, 3), 77, np.uint8)
            engine._sent[server][engine.encoder.video(never)[1]] = None
            (reply,) = engine.generate(ListSource([Request("never", "What is shown?", None, never, 2.0, 1, 0, greedy)]))
            assert reply.video_tokens > 0 and reply.responses
        engine.close()
    assert said[True] == said[False] and all(r.video_tokens > 0 and r.audio_tokens > 0 for r in said[True].values())
    assert bodies[-1] >= 2


def test_the_same_server_as_a_plain_endpoint(server, tmp_path):
    """Frames as pictures, no field of vLLM's own; that it hears and sees is shown by what it answers."""
    folder = tmp_path / "world"
    build_world(folder, 8, seed=506, workers=2)
    changes = {"annotations": folder / "questions.json", "media": folder / "clips", "n": 4, "media.max_frames": 8}
    changes |= {"model.engine": "openai", "model.urls": [server], "model.model": "tiny"}
    tallies = running.run("label-pem", tmp_path / "run", changes)
    assert tallies["sample"].kept == 8 and not tallies["sample"].dead
    rows = [r for t in RunDir(tmp_path / "run").parts("sample").rows() for r in t.to_pylist()]
    assert {r["hearing"] for r in rows} == {"behaviour"}
    texts = [x["text"] for r in rows for x in r["av_responses"]]
    assert sum("<answer>" in t for t in texts) >= 0.9 * len(texts)
