"""Two label-pem runs of the same questions, answered differently; with dead, filtered and hostile rows."""

import json
import shutil

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.tasks.label_pem.view import LABEL_VIEW
from avcurate.viewer.index import Index
from tests import running
from tests.conftest import CountingEmbedder, write_questions, write_script

HOSTILE = '<img src=x onerror="document.title=1"> what is "shown"?'
SOLVED = {"a": lambda row: 8 * (row % 3 == 0), "v": lambda row: 8 * (row % 3 == 1), "av": 8}
OTHER = {"a": lambda row: 8 * (row % 2), "v": 0, "av": 8}


def labelled(folder, out, right, dead=frozenset()):
    changes = {"annotations": folder / "qa.json", "media": folder / "clips", "run.part_size": 8}
    changes["sampling.first_logprobs"] = 0
    running.ingest(out, changes)
    write_script(folder / f"{out.name}.jsonl", out, right, dead=dead)
    changes |= {"model.engine": "scripted", "model.model": folder / f"{out.name}.jsonl"}
    running.run("label-pem", out, changes, embedder=CountingEmbedder())
    return RunDir(out)


@pytest.fixture(scope="session")
def runs(tmp_path_factory, tiny_clip):
    folder = tmp_path_factory.mktemp("viewed")
    (folder / "clips").mkdir()
    for n in range(10):
        shutil.copy(tiny_clip, folder / f"clips/{n}_clip.mp4")
    rows = write_questions(folder / "qa.json", 30, per_clip=3)
    rows[4]["question_text"] = HOSTILE
    rows[6]["video_name"] = "gone.mp4"
    rows[7] = dict(rows[8])
    (folder / "qa.json").write_text(json.dumps(rows))
    one = labelled(folder, folder / "one", SOLVED, dead=frozenset({3}))
    return one, labelled(folder, folder / "two", OTHER)


@pytest.fixture
def index(runs):
    return Index([(runs[0], LABEL_VIEW)])


@pytest.fixture
def both(runs):
    return Index([(run, LABEL_VIEW) for run in runs])
