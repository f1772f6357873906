"""Questions that cannot be trained on are recorded once, whatever a crash left behind."""

import json

from avcurate.train.media import Rows, read_dead


def test_a_line_cut_off_by_a_crash_does_not_swallow_the_next(tmp_path):
    file = tmp_path / "dead.jsonl"
    first = {"question_id": "a", "media": "a.mp4", "reason": "media_missing", "message": "gone"}
    file.write_text(json.dumps(first) + '\n{"question_id": "b", "med')
    rows = Rows(None, file)
    rows.leave_out({"question_id": "a", "media": "a.mp4"}, "media_missing", "gone")
    rows.leave_out({"question_id": "b", "media": "b.mp4"}, "media_missing", "gone")
    assert [entry["question_id"] for entry in read_dead(file)] == ["a", "b"]


def test_shards_cannot_name_clips_outside_the_media_folder(tmp_path):
    class Reads:
        def get(self, *_):
            raise AssertionError("it was opened")

    rows = Rows(Reads(), tmp_path / "dead.jsonl")
    named = ("../../secret.mp4", "/etc/passwd", "http://x/x.mp4", "a.m3u8")
    questions = [{"question_id": n, "media": n, "start": None, "end": None} for n in named]
    rows.ahead(questions)
    assert [rows.clip(q) for q in questions] == [None] * 4
    assert {d["reason"] for d in read_dead(tmp_path / "dead.jsonl")} == {"media_name_refused"}


def test_sound_over_the_model_s_limit_is_left_out_and_a_codec_s_padding_cut(tmp_path):
    from concurrent.futures import Future

    import numpy as np

    from avcurate.media.decode import DecodedClip

    class Decoded:
        def get(self, media, start, end):
            future = Future()
            samples = int(float(media.removesuffix(".mp4")) * 16_000)
            future.set_result(DecodedClip(None, 2.0, np.zeros(samples, np.float32), 1.0, "x"))
            return future

    rows = Rows(Decoded(), tmp_path / "dead.jsonl", longest_sound=30.0)
    named = {m: {"question_id": m, "media": f"{m}.mp4", "start": None, "end": None} for m in ("29", "30.05", "31")}
    clips = {m: rows.clip(row) for m, row in named.items()}
    assert len(clips["29"].audio) == 29 * 16_000 and len(clips["30.05"].audio) == 30 * 16_000
    assert clips["31"] is None
    assert [(d["question_id"], d["reason"]) for d in read_dead(tmp_path / "dead.jsonl")] == [
        ("31", "over_family_limit")
    ]
