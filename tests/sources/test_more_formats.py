"""Benchmarks that only hear, and further omni benchmarks: records as their authors publish them."""

import pytest

from avcurate.errors import RowError
from avcurate.sources.annotations import read_annotations
from avcurate.sources.formats import detect

# from the benchmark's README, github.com/roverx12345/JointAVBench
JOINT = {
    "qid": "-CEDoGn0w1s_task1_0",
    "video_name": "-CEDoGn0w1s",
    "task": "STL",
    "question": "Which objects are mentioned only in the dialogue but not clearly shown in the video?",
    "correct_answer": "The broom, mentioned at around 6.34s",
    "options": ["The shovel, mentioned at around 6.34s", "The keys", "The hat", "The broom, mentioned at around 6.34s"],
    "segment_timestamp": [653.444, 699.657],
}
# fields as in huggingface.co/datasets/NJU-LINK/OmniVideoBench
OMNI = {
    "video": "videos/1.mp4",
    "question": "What is said when the lamp goes out?",
    "options": ["A. Nothing", "B. Good night", "C. Hello", "D. Stop"],
    "correct_option": "B",
    "question_type": "causal reasoning",
    "audio_type": "Speech",
}
# fields as in github.com/DAMO-NLP-SG/CMM
CMM = {
    "category": "over-reliance_unimodal_priors",
    "sub_category": "overrely_visual_ignore_audio",
    "modality": "audio-visual",
    "granularity": "event-level",
    "video_path": "reorg_raw_files/a.mp4",
    "audio_path": None,
    "question": "Did you hear a dog barking in the audio?",
    "answer": "no",
}
# fields as MAPO's release reads MMSU
MMSU = {
    "id": "x1",
    "audio_path": "./audio/x1.wav",
    "question": "Which word is stressed?",
    "choice_a": "one",
    "choice_b": "two",
    "choice_c": "three",
    "choice_d": "four",
    "answer_gt": "three",
    "category": "Perception",
    "sub-category": "Phonology",
}
PRO = {
    "id": "p1",
    "audio_path": ["data/p1.wav"],
    "question": "What plays?",
    "choices": ["a flute", "a drum"],
    "answer": "a drum",
    "category": "music",
    "task_identifier": None,
}


@pytest.mark.parametrize(
    ("raw", "name", "media", "answer", "index"),
    [
        (JOINT, "jointavbench", "-CEDoGn0w1s", JOINT["correct_answer"], 3),
        (OMNI, "omnivideobench", "videos/1.mp4", "Good night", 1),
        (CMM, "cmm", "reorg_raw_files/a.mp4", "No", 1),
        (MMSU, "mmsu", "./audio/x1.wav", "three", 2),
        (PRO, "mmau-pro", "data/p1.wav", "a drum", 1),
        (PRO | {"choices": None, "answer": "A drum plays."}, "mmau-pro", "data/p1.wav", "A drum plays.", None),
        (
            PRO | {"task_identifier": "Number Bullets", "kwargs": {"N": 3, "keyword": None}, "answer": ""},
            "mmau-pro",
            "data/p1.wav",
            '{"instruction": "Number Bullets", "N": 3}',
            None,
        ),
    ],
)
def test_records_are_recognised_and_read(raw, name, media, answer, index):
    form = detect(raw)
    question = form.read(raw)
    assert (form.name, question.media_name, question.answer, question.answer_index) == (name, media, answer, index)


def test_what_is_not_a_question_on_one_clip_says_why():
    for changes, reason in (
        ({"audio_path": ["a.wav", "b.wav"]}, "several_sounds"),
        ({"task_identifier": "Title", "kwargs": "{broken"}, "bad_instruction"),
    ):
        with pytest.raises(RowError) as e:
            detect(PRO).read(PRO | changes)
        assert e.value.reason == reason
    for segment in ("x", [3, 2], [1], [float("nan"), 2]):
        with pytest.raises(RowError, match="segment_timestamp"):
            detect(JOINT).read(JOINT | {"segment_timestamp": segment})
    begin_end = detect(JOINT).read(JOINT)
    assert (begin_end.start, begin_end.end) == (653.444, 699.657)


@pytest.mark.parametrize(("file", "name"), [("mmau-test-mini.json", "mmau"), ("mmar_meta.jsonl", "mmar")])
def test_real_files_are_read_whole(shared, file, name):
    """Thirty-one of these two thousand records repeat a choice or leave one empty; none is lost for it."""
    for record in read_annotations(shared / "annotations" / file):
        form = detect(record.value)
        question = form.read(record.value)
        assert form.name == name and question.answer in question.choices
