"""A counterfactual benchmark of real clips and sounds, from captions to files, checked independently."""

import hashlib
import json
import subprocess

import numpy as np
import pytest

from avcurate.media.decode import DecodeSpec, decode
from avcurate.runner.rundir import RunDir
from avcurate.tasks.swap.audit import audit
from avcurate.tasks.swap.audit_page import write_audit_page
from tests import running
from tests.conftest import LONG

EFFECTS = 42 if LONG else 16


def captions(shared):
    """Captions from the questions' true answers; sound effects, which are only donors, keep their own."""
    clips = {}
    for q in json.loads((shared / "annotations/avqa_real.json").read_text()):
        answer = q["multi_choice"][q["answer"]]
        empty = {"clip": q["video_name"], "audio_caption": [], "video_caption": [], "answer": []}
        row = clips.setdefault(q["video_name"], empty)
        if q["question_relation"] in ("Sound", "Both"):
            row["audio_caption"].append(f"{q['question_text']} {answer}")
            row["answer"].append(answer)
        if q["question_relation"] in ("View", "Both"):
            row["video_caption"].append(f"{q['question_text']} {answer}")
    rows = list(clips.values())
    for sound in sorted((shared / "sounds/effects").glob("*.ogg")):
        text = sound.with_suffix(".txt")
        caption = text.read_text("utf-8", "replace").splitlines()[0] if text.is_file() else f"A {sound.stem}."
        rows.append({"clip": sound.name, "audio_caption": caption, "source": f"effect {sound.stem}"})
    return rows


def picture_bytes(path):
    """SHA-256 of the video stream, extracted with plain ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:V:0", "-c", "copy", "-f", "data", "-"]
    return hashlib.sha256(subprocess.run(command, check=True, capture_output=True).stdout).hexdigest()


def seconds(path, stream):
    words = ["-select_streams", stream, "-show_entries", "stream=duration:stream_tags=DURATION", "-of", "json"]
    stream_info = json.loads(subprocess.check_output(["ffprobe", "-v", "error", *words, str(path)]))["streams"][0]
    if "duration" in stream_info:
        return float(stream_info["duration"])
    hours, minutes, rest = stream_info["tags"]["DURATION"].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


@pytest.mark.slow
def test_real_clips_become_a_benchmark(shared, tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    for file in [*(shared / "clips").iterdir(), *sorted((shared / "sounds/effects").glob("*.ogg"))[:EFFECTS]]:
        (media / file.name).symlink_to(file)
    rows = [r for r in captions(shared) if not r["clip"].endswith(".ogg") or (media / r["clip"]).exists()]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    tallies = running.run("pair", tmp_path / "pairs", {"captions": tmp_path / "captions.jsonl", "media": media})
    assert tallies["captioned"].total == len(rows) and tallies["captioned"].dead == {}
    pairs = [json.loads(x) for x in (tmp_path / "pairs/pairs.jsonl").open()]
    # effects have no picture; of the 31 clips nearly all find a donor
    assert tallies["pair"].filtered["no_picture"] == EFFECTS and len(pairs) >= 27
    for p in pairs:
        assert max(p["audio_similarity"] or -1, p["video_similarity"] or -1) < 0.3 and p["margin"] > 0
    made = {"pairs": tmp_path / "pairs/pairs.jsonl", "media": media, "run.limit": 0 if LONG else 10}
    running.run("swap", tmp_path / "swap", made)
    swapped = [r for t in RunDir(tmp_path / "swap").parts("swap").rows() for r in t.to_pylist()]
    assert len(swapped) == (len(pairs) if LONG else 10)
    for row in swapped:
        new = tmp_path / "swap" / row["counterfactual"]
        files = [new, *([tmp_path / "swap" / row["factual"]] if row["factual"] else [])]
        expected = picture_bytes(media / row["clip"])
        for file in files:
            assert picture_bytes(file) == expected
            assert abs(seconds(file, "V:0") - seconds(file, "a:0")) < 0.15
        if row["factual"]:
            counterfactual, factual = (decode(f, DecodeSpec(max_seconds=10)).audio for f in files)
            n = min(len(counterfactual), len(factual))
            assert abs(np.corrcoef(counterfactual[:n], factual[:n])[0, 1]) < 0.3
    report = audit(RunDir(tmp_path / "swap"))
    assert report["pairs"] == len(swapped) and report["leaks"]["says_answer"] == 0
    page = write_audit_page(tmp_path / "swap", report).read_text()
    assert page.count("counterfactual/") >= len(swapped)
