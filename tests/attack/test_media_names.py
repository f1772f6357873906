"""Hostile media names in annotations: each is a dead row with a reason, or a clip that exists; nothing leaks.

All names are in one annotation file, so each has neighbours it could break.
"""

import json
import os
import shutil

import pytest

from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows, run_status
from avcurate.tasks import TASKS
from tests import running
from tests.attack.cases import Steady
from tests.attack.hostile_names import LISTS, ODD, OUTSIDE, PROTOCOLS, THERE
from tests.conftest import CountingEmbedder

SECRET = "a word that no output may hold"


def build(tmp_path, tiny_clip):
    media = tmp_path / "clips"
    (media / "sub/sub").mkdir(parents=True)
    shutil.copy(tiny_clip, tmp_path / "secret.mp4")
    (tmp_path / "secret").write_text(SECRET)
    for name in THERE:
        shutil.copy(tiny_clip, media / name)
    for name in LISTS:
        (media / name).write_text(f"ffconcat version 1.0\nfile {tmp_path}/secret\n")
    os.mkfifo(media / "fifo")
    (media / "folder").mkdir()
    (media / "folder.mp4").mkdir()
    (media / "loop").symlink_to("loop")
    (media / "dangling").symlink_to("nowhere")
    (media / "zero").symlink_to("/dev/zero")
    shutil.copy(tiny_clip, media / "clip.mp4")
    return media


@pytest.mark.slow
def test_no_name_escapes_the_folder_or_breaks_a_neighbour(tmp_path, tiny_clip, capsys):
    media = build(tmp_path, tiny_clip)
    hostile = [*OUTSIDE, *PROTOCOLS, *LISTS, *ODD]
    names = [n for pair in zip(hostile, [*THERE, *[None] * len(hostile)], strict=False) for n in pair if n is not None]
    rows = [
        {"id": i, "video_name": n, "question_text": f"What {i}?", "multi_choice": ["red", "b"], "answer": 0}
        for i, n in enumerate(names)
    ]
    # lone surrogates can only be written escaped
    (tmp_path / "q.json").write_text(json.dumps(rows))
    engine = Steady(lambda request: "<think>It looks red.</think><answer>red</answer>")
    engine.broken = False
    changes = {"annotations": tmp_path / "q.json", "media": media, "n": 2, "run.part_size": 16}
    running.run("label-pem", tmp_path / "run", changes, engine=engine, embedder=CountingEmbedder())
    run = RunDir(tmp_path / "run")
    counts = run_status(run)["stages"]["ingest"]
    assert counts["in"] == len(names)
    kept = {r["media"] for r in running.rows_of(run, "label", ["media"])}
    assert set(THERE) <= kept, set(THERE) - kept
    # a name that matches a real file by one of the usual extensions
    assert kept - set(THERE) <= {"clip.mp4"}, kept - set(THERE)
    dead = dead_rows(run)
    assert all(r["reason"] and r["message"] and r["hint"] for r in dead)
    reasons = {r["reason"] for r in dead}
    assert reasons <= {"media_name_refused", "media_missing", "field_missing", "not_utf8"}, reasons
    task = TASKS.get("label-pem")()
    page = task.page(run, task.summarise(run)).read_text()
    assert "<script>alert(1)" not in page and "onerror=alert(1)>" not in page and "<b>bold" not in page
    assert not list(tmp_path.rglob("pwned"))
    for file in run.root.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    with capsys.disabled():
        print(f"\n{len(hostile)} hostile names: {len(dead)} dead, and {len(kept)} odd but existing ones kept")


def test_there_are_enough_of_them():
    assert len({*OUTSIDE, *PROTOCOLS, *LISTS, *ODD}) >= 100
