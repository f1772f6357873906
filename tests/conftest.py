"""Shared fixtures: a tiny world, scripts for it, and the real data where they are beside the checkout."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from avcurate.engines.embedder import Embedder

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _rebuild_threads() -> None:
    """A forked child's torch rebuilds its thread pool before two threads of the child can race for it.

    The first to ask after a fork takes the old pool away; one that asks meanwhile finds none ("Invalid thread pool!").
    """
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


os.register_at_fork(after_in_child=_rebuild_threads)

REPO = Path(__file__).parent.parent
LONG = bool(os.environ.get("AVCURATE_LONG"))
"""Whether all generated cases are tried (`make test-long`), not a seeded sample."""


LONGEST = (
    "attack/test_kills_embedded.py",
    "runner/ray/test_losses.py",
    "tasks/test_probes.py",
    "engines/test_vllm.py",
    "tasks/test_label_pem.py",
    "tasks/test_evaluation.py",
    "tasks/test_leak.py",
    "test_notebook.py",
    "tasks/test_benchmark.py",
    "attack/test_kills.py",
    "demo/test_train.py",
    "cli/test_label_pem_command.py",
    "attack/test_interrupts.py",
    "runner/test_kill.py",
    "train/test_kills.py",
    "train/test_served.py",
    "train/test_damages.py",
    "train/test_trainer.py",
)


def pytest_collection_modifyitems(items):
    """Long files first: each runs on one worker, and one that began last would leave the others idle."""
    places = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(str(item.path.relative_to(REPO / "tests").as_posix()), len(places)))


def sampled(cases, count: int, seed: object = 0) -> list:
    """All cases where LONG; elsewhere ``count`` of them, drawn by seed, in their order."""
    cases = list(cases)
    if LONG or count >= len(cases):
        return cases
    chosen = set(random.Random(str(seed)).sample(range(len(cases)), count))
    return [case for i, case in enumerate(cases) if i in chosen]


SHARED = REPO.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real annotations, clips and predictions."""
    if not SHARED.is_dir():
        pytest.skip("real data are not beside this checkout (../shared/data)")
    return SHARED


@pytest.fixture
def fresh_compiler():
    """torch.compile without what other tests compiled.

    After another shape it would compile flex attention for any length, which torch 2.13 cannot do on a CPU.
    """
    import torch

    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A demo world of 60 questions, built once for all processes of a test run: (folder, items)."""
    from filelock import FileLock

    from avcurate.demo.build import build_world, draw_world

    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "shared-world"
    with FileLock(f"{folder}.lock"):
        if (folder / "truth.jsonl").exists():
            return folder, draw_world(60, seed=101)
        return folder, build_world(folder, 60, seed=101, workers=2)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> Path:
    """Two seconds of test picture with a tone."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2", "-f", "lavfi", "-i", "sine=440:d=2", str(path))
    return path


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg quietly; it must succeed."""
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-nostdin", *arguments], check=True)


def write_questions(path: Path, count: int, clip: str = "clip.mp4", per_clip: int = 1) -> list[dict]:
    """An AVQA file of made-up questions, all on one clip (or on clips named by number)."""
    rows = [
        {
            "id": i,
            "video_name": clip if per_clip == 1 else f"{i // per_clip}_{clip}",
            "question_text": f"What is shown in scene {i}?",
            "multi_choice": ["red", "green", "blue", "yellow"],
            "answer": i % 4,
            "question_type": "Which",
        }
        for i in range(count)
    ]
    path.write_text(json.dumps(rows))
    return rows


def write_script(path: Path, run: Path, right: dict[str, object], n: int = 8, dead: frozenset = frozenset()) -> None:
    """Responses for every question of a run: ``right[setting]`` is k, or a function of the row number to k."""
    import pyarrow.parquet as pq

    with path.open("w") as f:
        for part in sorted((run / "questions").glob("*.parquet")):
            for row in pq.read_table(part).to_pylist():
                for setting in ("a", "v", "av"):
                    entry = {"question_id": row["question_id"], "setting": setting}
                    if row["row"] in dead and setting == "av":
                        f.write(json.dumps(entry | {"error": "played_failure", "responses": []}) + "\n")
                        continue
                    k = right[setting](row["row"]) if callable(right[setting]) else right[setting]
                    wrong = row["choices"][(row["answer_index"] + 1) % 4]
                    answers = [row["answer"]] * k + [wrong] * (n - k)
                    # spread right answers over the order, differently for each row
                    shift = row["row"] % n
                    answers = answers[shift:] + answers[:shift]
                    entry["responses"] = [f"<think>It looks {a}.</think><answer>{a}</answer>" for a in answers]
                    f.write(json.dumps(entry) + "\n")


class CountingEmbedder(Embedder):
    """Vectors by hashed words: quick, and alike for alike texts. Not a model; scoring has its own tests."""

    name = "hashed-words"

    def identity(self):
        return {"embedder": self.name}

    def setup(self):
        self.calls = 0

    def embed(self, texts):
        import zlib

        import numpy as np

        self.calls += len(texts)
        out = np.zeros((len(texts), 64), np.float32)
        for i, text in enumerate(texts):
            for word in text.lower().split():
                out[i, zlib.crc32(word.encode()) % 64] += 1
        return out
