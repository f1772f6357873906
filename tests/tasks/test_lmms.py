"""lmms-eval itself loads the task that a benchmark is exported as, and scores models whose score is known."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from avcurate.demo.build import draw_world
from avcurate.tasks.benchmark.knowledge import World
from avcurate.tasks.benchmark.lmms import task_name, write_lmms
from avcurate.tasks.benchmark.lone import Lone
from avcurate.tasks.benchmark.pairs import Pairs
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe
from tests.conftest import REPO
from tests.tasks.test_benchmark import looked

PYTHON = Path(os.environ.get("AVCURATE_LMMS_PYTHON", REPO / ".venv-lmms/bin/python"))


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="lmms-eval is not installed (make .venv-lmms/.setup)")
def test_lmms_eval_loads_and_scores_the_task(tmp_path):
    world = World.of([looked(i.clip) for i in draw_world(40, 8, hard=True)], {})
    recipe = HallucinationBenchmarkRecipe()
    items = [*Lone(world, recipe).items(), *Pairs(world, recipe).items()]
    (tmp_path / "clips").mkdir()
    rows = []
    for i, item in enumerate(items):
        media = f"clips/{i}.mp4"
        (tmp_path / media).write_bytes(b"")
        rows.append(item.row() | {"media": media})
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    write_lmms(tmp_path, "Tiny world")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    script = REPO / "tests/tasks/lmms_says.py"
    done = subprocess.run(
        [PYTHON, script, tmp_path / "lmms_eval"], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.rpartition("RESULT ")[2].splitlines()[0])
    assert result["questions"] == len(rows) > 100
    assert (tmp_path / f"lmms_eval/{task_name('Tiny world')}.yaml").exists()
    assert rows[0]["question"] in result["text"] and "A. " in result["text"]
    scores = result["scores"]
    assert scores["right"] == scores["letter"] == {"accuracy": 1.0, "pairs": 1.0}
    first = sum(r["choices"][0] == r["answer"] for r in rows) / len(rows)
    assert scores["first"]["accuracy"] == pytest.approx(first) and scores["first"]["pairs"] < 1
    assert scores["nothing"] == {"accuracy": 0.0, "pairs": 0.0}
