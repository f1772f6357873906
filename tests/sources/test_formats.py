"""Every record of real and broken annotation files ends as a question, filtered or a named death."""

import json
from collections import Counter

import pytest

from avcurate.errors import RowError, UserError
from avcurate.sources.formats import by_name, detect, read_music_avqa, table_format
from avcurate.sources.records import read_records

AVQA = {
    "id": 183,
    "video_name": "-HG3Omg_89c_000030",
    "video_id": 341,
    "question_text": "What happened in the video?",
    "multi_choice": ["motorboat", "Yacht consignment", "Sailboat set sail", "Consignment car"],
    "answer": 1,
    "question_relation": "View",
    "question_type": "Happening",
}


@pytest.mark.parametrize(
    ("file", "name", "rows", "bad"),
    [
        ("avqa_real.json", "avqa", 51, {}),
        ("music_avqa_val.json", "music-avqa", 4568, {}),
        ("music_avqa_test.json", "music-avqa", 9129, {}),
        ("valor32k_avqa_val.csv", "valor32k-avqa-v1", 7569, {"bad_csv_row": 14}),
        ("avhbench_align_ft_qa.json", "avhbench", 9837, None),
        ("daily_omni_qa.json", "daily-omni", 1197, {}),
    ],
)
def test_real_files_are_recognised_and_read_whole(shared, file, name, rows, bad):
    counts: Counter[str] = Counter()
    form = None
    for record in read_records(shared / "annotations" / file):
        if record.value is None:
            counts[record.reason] += 1
            continue
        form = form or detect(record.value)
        try:
            question = form.read(record.value)
        except RowError as e:
            counts[e.reason] += 1
            continue
        counts["question"] += 1
        assert question.question and question.answer and "<" not in question.question
        if question.choices:
            assert question.choices[question.answer_index] == question.answer
    assert form.name == name
    assert sum(counts.values()) == rows
    if bad is not None:
        assert {k: v for k, v in counts.items() if k != "question"} == bad
    assert counts["question"] > 0.85 * rows, counts


def test_avqa_record():
    q = detect(AVQA).read(AVQA)
    assert (q.media_name, q.answer, q.answer_index) == ("-HG3Omg_89c_000030", "Yacht consignment", 1)
    assert (q.source_id, q.stated_modality, q.question_type) == ("183", "View", "Happening")


def test_ids_depend_on_what_is_asked_alone():
    one = detect(AVQA).read(AVQA)
    assert detect(AVQA).read(AVQA | {"id": 999}).question_id == one.question_id
    assert detect(AVQA).read(AVQA | {"answer": 2}).question_id != one.question_id


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": 4}, "answer_out_of_range"),
        ({"answer": -1}, "answer_out_of_range"),
        ({"answer": "two"}, "answer_not_an_index"),
        ({"answer": True}, "answer_not_an_index"),
        ({"answer": None}, "answer_not_an_index"),
        ({"multi_choice": ["a"]}, "choices_missing"),
        ({"multi_choice": [f"c{i}" for i in range(27)]}, "choices_too_many"),
        ({"multi_choice": ["a", "A", "b"]}, "choices_repeat"),
        ({"multi_choice": ["a", None]}, "choices_not_text"),
        ({"question_text": "  "}, "field_missing"),
        ({"video_name": None}, "field_missing"),
        ({"video_name": {"a": 1}}, "field_not_text"),
        ({"start": "soon"}, "bad_time"),
        ({"end": -3}, "bad_time"),
        ({"end": float("nan")}, "bad_time"),
    ],
)
def test_what_is_wrong_has_a_name(change, reason):
    with pytest.raises(RowError) as e:
        by_name("avqa", {}).read(AVQA | change)
    assert e.value.reason == reason


def test_music_avqa_fills_its_template():
    raw = {"video_id": "1", "question_content": "Is the <Object> left of the <Object>?", "anser": "yes"}
    q = read_music_avqa(raw | {"templ_values": '["ukulele", "drum"]', "type": '["Visual", "Location"]'})
    assert q.question == "Is the ukulele left of the drum?" and q.stated_modality == "Visual"
    with pytest.raises(RowError) as e:
        read_music_avqa(raw | {"templ_values": '["ukulele"]'})
    assert e.value.reason == "template_not_filled"


def test_any_table_with_a_mapping():
    form = table_format({"media": "file", "question": "q", "choices": "options", "answer": "gold"})
    row = {"file": "a.mp4", "q": "Which?", "options": '["x", "y"]', "gold": "B"}
    assert form.read(row).answer == "y"
    assert form.read(row | {"gold": "x"}).answer_index == 0
    assert form.read(row | {"gold": 1}).answer == "y"
    assert form.read(row | {"options": None, "gold": "anything"}).choices == ()
    with pytest.raises(UserError, match="unknown field"):
        table_format({"colour": "x"})


def test_an_unknown_format_says_what_to_do():
    with pytest.raises(UserError, match="--map"):
        detect({"foo": 1})
    with pytest.raises(UserError, match="avqa"):
        by_name("nope", {})


def write(path, data: bytes):
    path.write_bytes(data)
    return list(read_records(path))


def test_a_half_written_array_gives_what_came_before(tmp_path):
    whole = json.dumps([AVQA, AVQA | {"id": 2}, AVQA | {"id": 3}]).encode()
    with pytest.raises(UserError, match="cannot be read beyond line 1, column"):
        write(tmp_path / "a.json", whole[:-60])
    rows = list(read_records(tmp_path / "a.json", salvage=True))
    assert [r.reason for r in rows] == ["", "", "not_delimited"]
    assert rows[-1].row == 3 and "record 3" in rows[-1].message


def test_large_arrays_are_streamed(tmp_path):
    many = [AVQA | {"id": i, "question_text": "x" * 3000} for i in range(200)]
    rows = write(tmp_path / "a.json", json.dumps(many, indent=2).encode())
    assert [r.value["id"] for r in rows] == list(range(200))


def test_bad_lines_do_not_take_good_ones_down(tmp_path):
    good = json.dumps(AVQA).encode()
    rows = write(tmp_path / "a.jsonl", good + b"\n{oops}\n\n[1]\n\xff\xfe{}\n" + good + b"\n" + good[:20])
    assert [r.reason for r in rows] == ["", "bad_json", "not_a_record", "not_utf8", "", "truncated_json"]
    assert [r.row for r in rows] == [1, 2, 4, 5, 6, 7]


def test_non_utf8_inside_an_array_is_one_row(tmp_path):
    data = json.dumps([AVQA, AVQA | {"video_name": "MARK"}, AVQA]).encode().replace(b"MARK", b"\xe9t\xe9")
    assert [r.reason for r in write(tmp_path / "a.json", data)] == ["", "not_utf8", ""]


def test_csv_rows_of_the_wrong_width(tmp_path):
    rows = write(tmp_path / "a.csv", b"a,b\n1,2\n1\n1,2,3\n\xff,2\n3,4\n")
    assert [r.reason for r in rows] == ["", "bad_csv_row", "bad_csv_row", "not_utf8", ""]


def test_files_that_are_not_annotations(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        list(read_records(tmp_path / "none.json"))
    (tmp_path / "a.xml").write_text("<a/>")
    with pytest.raises(UserError, match=r"\.jsonl"):
        list(read_records(tmp_path / "a.xml"))
    with pytest.raises(UserError, match="holds no JSON array or object"):
        write(tmp_path / "a.json", b'"text"')
