"""What is heard and seen in a clip, from VGGSounder's rows and from tables; every bad row has a named reason."""

import pytest

from avcurate.errors import RowError
from avcurate.sources.evidence import Event, read_evidence
from avcurate.sources.record import Record


def read(raw, **columns):
    return read_evidence(Record(3, raw), columns)


def test_a_table_row_names_what_is_there_and_what_is_not():
    e = read(
        {
            "clip": "a.mp4",
            "heard": ["Dog  Barking", "dog barking", "rain"],
            "seen": '["cat"]',
            "not_seen": "Dog; horse ;",
            "exhaustive": "Audio",
            "audio_caption": "a dog  barks",
            "events": [{"name": "Siren", "start": 1, "end": 2.5}],
            "synchronised": "true",
        }
    )
    assert e.heard == ("dog barking", "rain", "siren") and e.seen == ("cat",) and e.not_seen == ("dog", "horse")
    assert e.exhaustive == "audio" and e.audio == ("a dog barks",) and e.synchronised
    assert e.events == (Event("siren", 1.0, 2.5),) and e.source == "a.mp4" and e.row == 3
    assert read({"name": "b", "h": ["x"]}, clip="name", heard="h").heard == ("x",)
    assert read({"clip": "--abc_000010", "seen": []}).source == "--abc"


def test_vggsounder_lists_all_there_is_but_for_laid_over_sound():
    row = {"video_id": "--abc_000010", "label": "Dog barking", "modality": "AV", "background_music": "False"}
    both = read(row)
    assert both.heard == both.seen == ("dog barking",) and both.exhaustive == "both" and both.source == "--abc"
    assert read(row | {"modality": "A"}).seen == () and read(row | {"modality": "V"}).heard == ()
    assert read(row | {"background_music": "True"}).exhaustive == "video"
    assert read(row | {"voice_over": "TRUE"}).exhaustive == "video"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"heard": ["x"]}, "field_missing"),
        ({"clip": " "}, "field_missing"),
        ({"clip": "a", "heard": [1]}, "field_not_names"),
        ({"clip": "a", "heard": {"x": 1}}, "field_not_names"),
        ({"clip": "a", "heard": "[not json"}, "field_not_names"),
        ({"clip": "a", "audio_caption": [3]}, "field_not_names"),
        ({"clip": "a", "exhaustive": "most"}, "exhaustive_unknown"),
        ({"clip": "a", "events": [{"name": "x", "start": 2, "end": 1}]}, "event_malformed"),
        ({"clip": "a", "events": ["x"]}, "event_malformed"),
        ({"video_id": "a_000001", "label": "x", "modality": ""}, "modality_missing"),
        ({"video_id": "a_000001", "label": "x", "modality": None}, "modality_missing"),
        ({"video_id": "a_000001", "label": "x", "modality": "AVX"}, "modality_unknown"),
        ({"video_id": "a_000001", "label": "", "modality": "A"}, "field_missing"),
    ],
)
def test_what_cannot_be_read_is_named(raw, reason):
    with pytest.raises(RowError) as e:
        read(raw)
    assert e.value.reason == reason and "record 3" in e.value.message
