"""Formats of benchmarks that hear only (MMAU, MMAR, MMSU, MMAU-Pro), and of further omni benchmarks.

Each is named with a place where its records can be seen.
"""

from __future__ import annotations

import json
from typing import Any

from avcurate.errors import RowError
from avcurate.sources.format import Format, Raw
from avcurate.sources.question import (
    Question,
    choice_by_letter,
    choice_by_text,
    choice_list,
    optional,
    published_choices,
    text,
    without_letters,
)


def read_mmau(raw: Raw) -> Question:
    """MMAU (huggingface.co/datasets/gamma-lab-umd/MMAU-test-mini): a sound, choices, the right one as text."""
    return _heard(
        raw, "mmau", text(raw, "audio_id"), published_choices(raw.get("choices")), "answer", optional(raw, "task")
    )


def read_mmar(raw: Raw) -> Question:
    """MMAR (huggingface.co/datasets/BoJack/MMAR): as MMAU, with the kind of sound in ``modality``."""
    kind = optional(raw, "modality")
    return _heard(raw, "mmar", text(raw, "audio_path"), published_choices(raw.get("choices")), "answer", kind)


def read_mmsu(raw: Raw) -> Question:
    """MMSU (huggingface.co/datasets/ddwang2000/MMSU): four choices in fields of their own."""
    choices = published_choices([raw.get(f"choice_{x}") for x in "abcd"])
    return _heard(raw, "mmsu", text(raw, "audio_path"), choices, "answer_gt", optional(raw, "category"))


def read_mmau_pro(raw: Raw) -> Question:
    """MMAU-Pro (huggingface.co/datasets/gamma-lab-umd/MMAU-Pro): questions with choices, open ones without.

    A question that asks for a form of answer has the rule as its answer, ``{"instruction": name, parameters}``:
    `avcurate grade` scores it, our own rule on answers cannot.

    Raises:
        RowError: ``several_sounds``, ``bad_instruction``.
    """
    category = optional(raw, "category")
    files = raw.get("audio_path")
    if isinstance(files, list):
        if len(files) != 1:
            raise RowError("several_sounds", f"the question is about {len(files)} sounds; a clip has one.")
        raw = {**raw, "audio_path": files[0]}
    name, listed = text(raw, "audio_path"), raw.get("choices")
    instruction = raw.get("task_identifier")
    if not listed or instruction not in NO_INSTRUCTION:
        answer = text(raw, "answer") if instruction in NO_INSTRUCTION else _instruction(raw)
        return Question(
            "mmau-pro", name, name, text(raw, "question"), (), answer, None, optional(raw, "id"), category, "audio"
        )
    return _heard(raw, "mmau-pro", name, published_choices(listed), "answer", category)


NO_INSTRUCTION = (None, "", "nan")


def _instruction(raw: Raw) -> str:
    given = raw.get("kwargs")
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise RowError("bad_instruction", f"kwargs is {given[:80]!r}, not a JSON object.") from None
    if given is not None and not isinstance(given, dict):
        raise RowError("bad_instruction", f"kwargs is a {type(given).__name__}, not an object.")
    # tables give every row all parameters, empty where they are another rule's
    stated = {k: v for k, v in (given or {}).items() if v not in (None, "")}
    return json.dumps({"instruction": text(raw, "task_identifier"), **stated}, ensure_ascii=False)


def _heard(raw: Raw, source: str, name: str, choices: tuple[str, ...], key: str, kind: str | None) -> Question:
    answer, index = choice_by_text(choices, text(raw, key))
    return Question(
        source,
        name,
        name,
        text(raw, "question"),
        choices,
        answer,
        index,
        source_id=optional(raw, "id"),
        question_type=kind,
        stated_modality="audio",
    )


def read_jointavbench(raw: Raw) -> Question:
    """JointAVBench (github.com/roverx12345/JointAVBench, README): options and the right one as text; videos by id."""
    choices = choice_list(raw.get("options"))
    answer, index = choice_by_text(choices, text(raw, "correct_answer"))
    begin, end = _segment(raw.get("segment_timestamp"))
    name = text(raw, "video_name")
    return Question(
        "jointavbench",
        name,
        name,
        text(raw, "question"),
        choices,
        answer,
        index,
        source_id=optional(raw, "qid"),
        question_type=optional(raw, "task"),
        stated_modality="audio-visual",
        start=begin,
        end=end,
    )


def _segment(value: Any) -> tuple[float | None, float | None]:
    """The part of the video that is asked about, seconds.

    Raises:
        RowError: ``bad_time``.
    """
    if value in (None, "", []):
        return None, None
    try:
        begin, end = (float(x) for x in value)
    except (TypeError, ValueError, OverflowError):
        raise RowError("bad_time", f"segment_timestamp is {str(value)[:80]!r}, not two numbers of seconds.") from None
    if not 0 <= begin < end < 1e7:
        raise RowError("bad_time", f"segment_timestamp is {begin} to {end}.")
    return begin, end


def read_omnivideobench(raw: Raw) -> Question:
    """OmniVideoBench (huggingface.co/datasets/NJU-LINK/OmniVideoBench): lettered options and the right letter."""
    choices = choice_list(without_letters(raw.get("options")))
    answer, index = choice_by_letter(choices, text(raw, "correct_option"))
    name = text(raw, "video")
    return Question(
        "omnivideobench",
        name,
        name,
        text(raw, "question"),
        choices,
        answer,
        index,
        question_type=optional(raw, "question_type"),
        stated_modality="audio-visual",
    )


def read_cmm(raw: Raw) -> Question:
    """The Curse of Multi-Modalities (github.com/DAMO-NLP-SG/CMM): yes/no questions on hallucination."""
    answer = text(raw, "answer").capitalize()
    if answer not in ("Yes", "No"):
        raise RowError("answer_not_a_choice", f"answer {answer!r} is neither Yes nor No.")
    name = text(raw, "video_path" if raw.get("video_path") else "audio_path")
    return Question(
        "cmm",
        name,
        name,
        text(raw, "question"),
        ("Yes", "No"),
        answer,
        ("Yes", "No").index(answer),
        question_type=optional(raw, "sub_category"),
        stated_modality=optional(raw, "modality"),
    )


def _format(name: str, about: str, fields: str, read: Any, groups: tuple[str, ...], scorer: str = "") -> Format:
    return Format(name, about, frozenset(fields.split()), read, groups, scorer)


MMAU = _format(
    "mmau",
    "MMAU, sound only",
    "audio_id question choices answer task difficulty",
    read_mmau,
    ("task", "difficulty"),
    "mmau",
)
MMAU_PRO = _format(
    "mmau-pro",
    "MMAU-Pro, sound only",
    "audio_path question choices answer category task_identifier",
    read_mmau_pro,
    ("category",),
)
MMAR = _format(
    "mmar",
    "MMAR, sound only",
    "audio_path question choices answer modality category",
    read_mmar,
    ("modality", "category", "sub-category"),
    "mmar",
)
MMSU = _format(
    "mmsu",
    "MMSU, sound only",
    "audio_path question choice_a choice_b answer_gt",
    read_mmsu,
    ("category", "sub-category"),
    "mmsu",
)
JOINTAVBENCH = _format(
    "jointavbench", "JointAVBench", "video_name question options correct_answer qid", read_jointavbench, ("task",)
)
OMNIVIDEOBENCH = _format(
    "omnivideobench",
    "OmniVideoBench",
    "video question options correct_option",
    read_omnivideobench,
    ("question_type", "audio_type", "video_type"),
)
CMM = _format(
    "cmm", "The Curse of Multi-Modalities", "question answer category sub_category modality granularity", read_cmm,
    ("category", "sub_category", "granularity"),
)  # fmt: skip
