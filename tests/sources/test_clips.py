"""Published clip lists are read whole; rows that are no clip get a reason."""

import pytest

from avcurate.errors import UserError
from avcurate.sources.clips import (
    BadRow,
    LabelledClip,
    clip_id,
    read_audioset,
    read_clips,
    read_folder_list,
    read_vggsound,
    read_vggsounder,
)


def test_real_lists_are_read_whole(shared):
    annotations = shared / "annotations"
    rows = list(read_vggsound(annotations / "vggsound_test.csv"))
    assert len(rows) == 15446 and all(isinstance(r, LabelledClip) for r in rows)
    assert len({r.label for r in rows}) == 309 and "donkey, ass braying" in {r.label for r in rows}
    for name, count in (("0.1.6", 33184), ("1.0", 29509), ("1.0_background_music", 37395)):
        rows = list(read_vggsounder(annotations / f"vggsounder_{name}.csv"))
        assert len(rows) == count and all(isinstance(r, LabelledClip) for r in rows)


def test_both_forms_of_vggsound_name_the_same_clip(tmp_path):
    (tmp_path / "short.csv").write_text('abc_-1_000030.mp4,"bird chirping, tweeting"\n')
    (tmp_path / "long.csv").write_text('abc_-1,30,"bird chirping, tweeting",test\n')
    (one,), (other,) = (list(read_vggsound(tmp_path / n)) for n in ("short.csv", "long.csv"))
    assert (one.clip_id, one.label) == (other.clip_id, other.label) == ("abc_-1_000030", "bird chirping, tweeting")
    assert other.split == "test" and clip_id("x", "40.000") == "x_000040"


def test_bad_rows_have_names_and_leave_their_neighbours(tmp_path):
    (tmp_path / "v.csv").write_text("ok_000001.mp4,dog\nnope.mp4,dog\na,b,c\nid,x,dog,test\nok_000002.mp4, \n")
    rows = list(read_vggsound(tmp_path / "v.csv"))
    assert [r.reason if isinstance(r, BadRow) else r.clip_id for r in rows] == [
        "ok_000001", "not_a_clip_row", "not_a_clip_row", "start_not_a_number", "field_empty",
    ]  # fmt: skip
    header = "video_id,label,modality,background_music,static_image,voice_over\n"
    (tmp_path / "s.csv").write_text(header + "a_000001,dog,AV,True,False,False\na_000001,cat,X,,,\nshort,row\n")
    rows = list(read_clips(tmp_path / "s.csv"))
    assert rows[0] == LabelledClip(2, "a_000001", "dog", "AV", frozenset({"background_music"}))
    assert [r.reason for r in rows[1:]] == ["modality_unknown", "not_a_clip_row"]


def test_audioset_segments(tmp_path):
    (tmp_path / "seg.csv").write_text(
        '# YTID, start\n--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"\nx, 1, 2, "/m/zz"\n'
    )
    rows = list(read_audioset(tmp_path / "seg.csv", {"/m/068hy": "Domestic animals, pets", "/m/07q6cd_": "Squeak"}))
    assert [r.label for r in rows[:2]] == ["Domestic animals, pets", "Squeak"] and rows[
        0
    ].clip_id == "--4gqARaEJE_000000"
    assert rows[2].reason == "class_unknown"


def test_a_missing_column_or_file_is_reported(tmp_path):
    (tmp_path / "f.csv").write_text("name,label\na.mp4,dog\n")
    with pytest.raises(UserError, match="no column 'clip'; it has name, label"):
        list(read_folder_list(tmp_path / "f.csv"))
    with pytest.raises(UserError, match="does not exist"):
        list(read_vggsound(tmp_path / "none.csv"))
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        list(read_vggsound(tmp_path / "b.csv"))


def test_an_unclosed_quote_loses_its_own_line_alone(tmp_path):
    (tmp_path / "v.csv").write_text('a_000001.mp4,"dog\nb_000002.mp4,cat\nc_000003.mp4,"bird chirping, tweeting"\n')
    rows = list(read_vggsound(tmp_path / "v.csv"))
    assert [getattr(r, "reason", None) or r.label for r in rows] == ["bad_csv_row", "cat", "bird chirping, tweeting"]


def test_a_clip_with_one_unknown_class_is_no_clip_of_the_other(tmp_path):
    (tmp_path / "seg.csv").write_text('x, 0, 10, "/m/1,/m/zz"\n')
    assert [r.reason for r in read_audioset(tmp_path / "seg.csv", {"/m/1": "Dog"})] == ["class_unknown"]


def test_files_of_a_folder_list_keep_their_names(tmp_path):
    rows = ["clip,label", "A.MP4,dog", "b.m4a,cat", "take.01,cow", "take.02,pig", "x.wav,dog", "x.mp4,cat"]
    (tmp_path / "l.csv").write_text("\n".join(rows) + "\n")
    clips = list(read_clips(tmp_path / "l.csv"))
    assert [(r.row, r.clip_id, r.media) for r in clips[:5]] == [
        (2, "A", "A.MP4"), (3, "b", "b.m4a"), (4, "take.01", "take.01"), (5, "take.02", "take.02"), (6, "x", "x.wav"),
    ]  # fmt: skip
    assert clips[5].reason == "clip_named_twice"
