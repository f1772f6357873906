"""Real clips to object sets: stored detections, new thresholds without a detector, reasons for bad clips."""

import os
from pathlib import Path

import pytest

from avcurate.engines.detector import Detection, Detector
from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import run_status
from avcurate.tasks.objects.page import write_objects_page
from avcurate.tasks.objects.summary import summarise_objects
from tests import running
from tests.conftest import ffmpeg

pytest.importorskip("PIL")
pytest.importorskip("simplemma")


class Brightness(Detector):
    """Sees a dog in bright frames and a cat in dark ones, and counts its calls."""

    name = "brightness"

    def __init__(self):
        self.batches = []

    def identity(self):
        return {"detector": self.name}

    def setup(self):
        pass

    def detect(self, frames, floor):
        self.batches.append(len(frames))
        detections = []
        for f in frames:
            level = float(f.mean()) / 255
            both = [Detection("dog", level, (0, 0, 5, 5)), Detection("cat", 1 - level, (1, 1, 4, 4))]
            detections.append([d for d in both if d.score >= floor])
        return detections


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, color, seconds in (
        ("white_000001", "white", 3),
        ("black_000002", "black", 3),
        ("grey_000003", "gray", 12),
    ):
        ffmpeg("-f", "lavfi", "-i", f"color={color}:s=64x48:r=10:d={seconds}", str(folder / f"{name}.mp4"))
    ffmpeg("-f", "lavfi", "-i", "sine=440:d=2", "-c:a", "aac", str(folder / "sound_000004.mp4"))
    (folder / "broken_000005.mp4").write_bytes(b"\x00" * 4000)
    rows = [
        "white_000001.mp4,dog barking",
        "black_000002.mp4,playing piano",
        "grey_000003.mp4,wind noise",
        "sound_000004.mp4,dog barking",
        "broken_000005.mp4,dog barking",
        "gone_000006.mp4,dog barking",
        "bad",
    ]
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder


def detect(clips, out, detector=None, *, listed="list.csv", retry=None, force=False, **changes):
    chosen = {"clips": clips / listed if listed else None, "media": clips, **changes}
    return running.run("objects", out, chosen, detector=detector, retry=retry, force=force)


def rows_of(run):
    return {r["clip_id"]: r for t in RunDir(run).parts("objects").rows() for r in t.to_pylist()}


def test_sets_are_the_union_of_classes_and_detections_and_every_clip_is_accounted_for(clips, tmp_path):
    detector = Brightness()
    tallies = detect(clips, tmp_path / "run", detector, threshold=0.8, batch=20)
    rows = rows_of(tmp_path / "run")
    assert rows["white_000001"]["objects"] == ["dog"] and rows["white_000001"]["annotated"] == ["dog"]
    assert rows["black_000002"]["objects"] == ["cat", "piano"] and rows["black_000002"]["detected"] == ["cat"]
    assert rows["grey_000003"]["objects"] == ["wind"]
    assert all(r["frames"] == 10 for r in rows.values())
    assert tallies["clips"].dead == {"media_missing": 1, "not_a_clip_row": 1}
    assert tallies["detect"].filtered == {"no_video_track": 1}
    assert sum(tallies["detect"].dead.values()) == 1 and tallies["objects"].kept == 3
    assert run_status(RunDir(tmp_path / "run"))["state"] == "finished"
    assert sum(detector.batches) == 30 and max(detector.batches) == 20


def test_another_threshold_needs_no_detector(clips, tmp_path):
    detect(clips, tmp_path / "run", Brightness(), threshold=0.8)
    detector = Brightness()
    detect(clips, tmp_path / "run", detector, threshold=0.4)
    # the broken clip alone does not load the detector
    assert detector.batches == []
    assert rows_of(tmp_path / "run")["grey_000003"]["objects"] == ["cat", "dog", "wind"]
    with pytest.raises(UserError, match="below the floor"):
        detect(clips, tmp_path / "run", detector, threshold=0.1)


def test_sheets_show_every_frame_and_the_page_every_clip(clips, tmp_path):
    from PIL import Image

    detect(clips, tmp_path / "run", Brightness(), threshold=0.8)
    run = RunDir(tmp_path / "run")
    rows = rows_of(run.root)
    with Image.open(run.root / rows["white_000001"]["sheet"]) as sheet:
        assert sheet.size == (5 * 256, 2 * 192)
        assert sheet.getpixel((1200, 300)) == (255, 255, 255) or min(sheet.getpixel((1200, 300))) > 230
    page = write_objects_page(run, summarise_objects(run)).read_text()
    assert page.count("<img") == 3 and "playing piano" in page


def test_a_list_that_shrinks_leaves_no_stale_rows(clips, tmp_path):
    detect(clips, tmp_path / "run", Brightness(), threshold=0.8, **{"run.part_size": 1})
    (clips / "list.csv").write_text("white_000001.mp4,dog barking\n")
    tallies = detect(clips, tmp_path / "run", Brightness(), force=True, threshold=0.8, **{"run.part_size": 1})
    assert list(rows_of(tmp_path / "run")) == ["white_000001"] and tallies["objects"].total == 1
    assert summarise_objects(RunDir(tmp_path / "run"))["clips"] == 1
    lines = (tmp_path / "run/objects.jsonl").read_text().splitlines()
    assert lines == ['{"clip": "white_000001", "objects": ["dog"]}']


def test_a_file_name_that_is_not_text(clips, tmp_path):
    Path(os.fsdecode(os.fsencode(clips) + b"/\xff\xfe.mp4")).write_bytes(b"x")
    tallies = detect(clips, tmp_path / "run", Brightness(), listed=None, threshold=0.8)
    assert tallies["clips"].dead == {"not_utf8": 1} and tallies["objects"].kept == 3


def test_dead_clips_are_retried_on_request(clips, tmp_path):
    detect(clips, tmp_path / "run", Brightness(), threshold=0.8)
    (clips / "broken_000005.mp4").write_bytes((clips / "white_000001.mp4").read_bytes())
    assert len(rows_of(tmp_path / "run")) == 3
    again = detect(clips, tmp_path / "run", Brightness(), retry=frozenset(), threshold=0.8)
    assert again["objects"].kept == 4


@pytest.mark.slow
def test_real_clips_through_a_real_detector(shared, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'avcurate[onnx]')")
    (tmp_path / "list.csv").write_text("-0pJqpNjft4_000267.mp4,cattle mooing\nvideollama_x_000001.mp4,dog barking\n")
    model = str(shared / "models/nanodet/nanodet.onnx")
    changes = {"clips": tmp_path / "list.csv", "media": shared / "clips", "model": model, "threshold": 0.5}
    tallies = running.run("objects", tmp_path / "run", changes)
    row = rows_of(tmp_path / "run")["-0pJqpNjft4_000267"]
    assert row["annotated"] == ["cow"] and "cow" in row["detected"]
    assert tallies["clips"].dead == {"media_missing": 1}
    best = max(row["detections"], key=lambda d: d["score"])
    assert best["label"] == "cow" and len(best["box"]) == 4
