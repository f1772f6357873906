"""The dataset formats: how a raw record of each becomes a question."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any

from avcurate.errors import RowError, UserError
from avcurate.registry import Registry
from avcurate.sources.format import Format, Raw
from avcurate.sources.question import (
    Question,
    choice,
    choice_by_letter,
    choice_by_text,
    choice_list,
    optional,
    seconds,
    text,
    without_letters,
)


def read_avqa(raw: Raw) -> Question:
    """AVQA (train_qa, val_qa): ``answer`` is the 0-based index into ``multi_choice``."""
    choices = choice_list(raw.get("multi_choice"))
    answer, index = choice(choices, raw.get("answer"))
    name = text(raw, "video_name")
    return Question(
        "avqa",
        name,
        name,
        text(raw, "question_text"),
        choices,
        answer,
        index,
        source_id=optional(raw, "id"),
        question_type=optional(raw, "question_type"),
        stated_modality=optional(raw, "question_relation"),
        start=seconds(raw, "start"),
        end=seconds(raw, "end"),
    )


def read_music_avqa(raw: Raw) -> Question:
    """MUSIC-AVQA: open questions with ``<Object>`` slots to fill from ``templ_values``; answer in ``anser``."""
    question = text(raw, "question_content")
    values = _list_in_text(raw.get("templ_values"), "templ_values")
    slots = re.findall(r"<[^<>]+>", question)
    if len(slots) > len(values):
        raise RowError("template_not_filled", f"{len(slots)} slots but {len(values)} values in {question!r}.")
    for slot, value in zip(slots, values, strict=False):
        question = question.replace(slot, str(value), 1)
    kinds = [str(k) for k in _list_in_text(raw.get("type"), "type")]
    name = text(raw, "video_id")
    return Question(
        "music-avqa",
        name,
        name,
        question,
        (),
        text(raw, "anser" if "anser" in raw else "answer"),
        None,
        source_id=optional(raw, "question_id"),
        question_type=kinds[1] if len(kinds) > 1 else None,
        stated_modality=kinds[0] if kinds else None,
    )


def _list_in_text(value: object, key: str) -> list[Any]:
    if isinstance(value, list):
        return value
    if value is None or value == "":
        return []
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed = parse(str(value))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(parsed, list):
            return parsed
    raise RowError("field_not_a_list", f"field {key!r} is {value!r}, not a list.")


def read_valor_v2(raw: Raw) -> Question:
    """Valor32k-AVQA v2.0: four ``options`` and ``correct_answer_idx``."""
    choices = choice_list(raw.get("options"))
    answer, index = choice(choices, raw.get("correct_answer_idx"))
    name = text(raw, "video_id")
    return Question(
        "valor32k-avqa",
        name,
        name,
        text(raw, "question"),
        choices,
        answer,
        index,
        source_id=optional(raw, "id"),
        question_type=optional(raw, "category"),
        stated_modality=optional(raw, "modality"),
    )


def read_valor_v1(raw: Raw) -> Question:
    """Valor32k-AVQA, first release: ``mcq_1`` to ``mcq_4`` and ``correct_mcq`` (0-based, or the text)."""
    choices = choice_list([raw.get(f"mcq_{i}") for i in range(1, 5)])
    right = text(raw, "correct_mcq")
    if right.removesuffix(".0").isdigit():
        answer, index = choice(choices, int(right.removesuffix(".0")))
    else:
        answer, index = choice_by_text(choices, right)
    start, end = seconds(raw, "start_time"), seconds(raw, "end_time")
    name = text(raw, "video_id")
    cut = f"{name}_{start:.3f}_{end:.3f}" if start is not None and end is not None else name
    return Question(
        "valor32k-avqa-v1",
        name,
        cut,
        text(raw, "question"),
        choices,
        answer,
        index,
        question_type=optional(raw, "type"),
        stated_modality=optional(raw, "mode"),
    )


AVHBENCH_TASKS = {
    "AV Hallucination (Audio)": "Video-driven Audio Hallucination",
    "AV Hallucination (Video)": "Audio-driven Video Hallucination",
}
_AVHBENCH_MODALITY = {
    "Video-driven Audio Hallucination": "Audio",
    "Audio-driven Video Hallucination": "Visual",
    "AV Matching": "Audio-Visual",
}


def read_avhbench(raw: Raw) -> Question:
    """AVHBench: yes/no questions in the old and the new task names; captions are not questions."""
    task = text(raw, "task")
    task = AVHBENCH_TASKS.get(task, task)
    if "caption" in task.lower():
        raise RowError("not_a_question", f"task {task!r} asks for a caption, not an answer.")
    answer = text(raw, "label").capitalize()
    if answer not in ("Yes", "No"):
        raise RowError("answer_not_a_choice", f"label {answer!r} is neither Yes nor No.")
    name = text(raw, "video_id")
    return Question(
        "avhbench",
        name,
        name,
        text(raw, "text"),
        ("Yes", "No"),
        answer,
        ("Yes", "No").index(answer),
        question_type=task,
        stated_modality=_AVHBENCH_MODALITY.get(task),
    )


def read_daily_omni(raw: Raw) -> Question:
    """Daily-Omni: lettered choices and the letter of the right one; clips are ``<video_id>_video``."""
    choices = choice_list(without_letters(raw.get("Choice")))
    answer, index = choice_by_letter(choices, text(raw, "Answer"))
    name = text(raw, "video_id")
    return Question(
        "daily-omni",
        name,
        name,
        text(raw, "Question"),
        choices,
        answer,
        index,
        question_type=optional(raw, "Type"),
    )


def _format(
    name: str, about: str, fields: str, read: Callable[[Raw], Question], groups: tuple[str, ...] = (), scorer: str = ""
) -> Format:
    return Format(name, about, frozenset(fields.split()), read, groups, scorer)


AVQA = _format("avqa", "raw AVQA train_qa/val_qa", "video_name question_text multi_choice answer", read_avqa)
MUSIC_AVQA = _format(
    "music-avqa", "MUSIC-AVQA", "video_id question_content templ_values", read_music_avqa, ("type",), "music-avqa"
)
VALOR = _format("valor32k-avqa", "Valor32k-AVQA v2.0", "video_id question options correct_answer_idx", read_valor_v2)
VALOR_V1 = _format("valor32k-avqa-v1", "its first release", "video_id question mcq_1 correct_mcq", read_valor_v1)
AVHBENCH = _format("avhbench", "AVHBench QA", "video_id task text label", read_avhbench, ("task",), "avhbench")
DAILY_OMNI = _format(
    "daily-omni", "Daily-Omni QA", "video_id Question Choice Answer", read_daily_omni, ("Type", "video_duration")
)

_HERE, _MORE = "avcurate.sources.formats", "avcurate.sources.more_formats"
FORMATS: Registry[Format] = Registry(
    "format",
    "avcurate.formats",
    {
        "avqa": f"{_HERE}:AVQA",
        "music-avqa": f"{_HERE}:MUSIC_AVQA",
        "valor32k-avqa": f"{_HERE}:VALOR",
        "valor32k-avqa-v1": f"{_HERE}:VALOR_V1",
        "avhbench": f"{_HERE}:AVHBENCH",
        "daily-omni": f"{_HERE}:DAILY_OMNI",
        "mmau": f"{_MORE}:MMAU",
        "mmau-pro": f"{_MORE}:MMAU_PRO",
        "mmar": f"{_MORE}:MMAR",
        "mmsu": f"{_MORE}:MMSU",
        "jointavbench": f"{_MORE}:JOINTAVBENCH",
        "omnivideobench": f"{_MORE}:OMNIVIDEOBENCH",
        "cmm": f"{_MORE}:CMM",
    },
)

TABLE_FIELDS = ("media", "question", "choices", "answer", "id", "video", "type", "modality", "start", "end")


def table_format(mapping: dict[str, str]) -> Format:
    """The generic format: ``mapping`` names the column of each field of ``TABLE_FIELDS``.

    ``choices`` may be a list or text that holds a JSON list; ``answer`` may be a 0-based index, a
    letter or a choice's text. Without choices the question is open.

    Raises:
        UserError: the mapping names an unknown field.
    """
    unknown = set(mapping) - set(TABLE_FIELDS)
    if unknown:
        raise UserError(
            f"unknown field {sorted(unknown)[0]!r} in the column mapping.",
            f"Fields are: {', '.join(TABLE_FIELDS)}.",
        )
    column = {f: mapping.get(f, f) for f in TABLE_FIELDS}

    def read(raw: Raw) -> Question:
        name = text(raw, column["media"])
        listed = raw.get(column["choices"])
        choices: tuple[str, ...] = ()
        if listed is not None and listed != "" and listed != []:
            choices = choice_list(_list_in_text(listed, column["choices"]))
        answer, index = _any_answer(raw, column["answer"], choices)
        return Question(
            "table",
            optional(raw, column["video"]) or name,
            name,
            text(raw, column["question"]),
            choices,
            answer,
            index,
            source_id=optional(raw, column["id"]),
            question_type=optional(raw, column["type"]),
            stated_modality=optional(raw, column["modality"]),
            start=seconds(raw, column["start"]),
            end=seconds(raw, column["end"]),
        )

    wanted = frozenset(column[f] for f in ("media", "question", "answer"))
    return Format("table", "any table, with --map", wanted, read)


def _any_answer(raw: Raw, key: str, choices: tuple[str, ...]) -> tuple[str, int | None]:
    value = raw.get(key)
    if not choices:
        return text(raw, key), None
    if isinstance(value, int) and not isinstance(value, bool):
        return choice(choices, value)
    written = text(raw, key)
    try:
        return choice_by_text(choices, written)
    except RowError:
        if written.lstrip("-").isdigit():
            return choice(choices, written)
        return choice_by_letter(choices, written)


def detect(raw: Raw) -> Format:
    """The format whose fields a record has.

    Raises:
        UserError: none fits; the message lists the fields found.
    """
    present = set(raw)
    for name in FORMATS.names():
        form = FORMATS.get(name)
        if form.fields <= present:
            return form
    generic = table_format({})
    if generic.fields <= present:
        return generic
    raise UserError(
        f"the format cannot be recognised from the fields {sorted(present)[:12]}.",
        "Name it with --format, or map the columns with --map media=COLUMN,question=COLUMN,answer=COLUMN.",
    )


def by_name(name: str, mapping: dict[str, str]) -> Format:
    """The format of that name.

    Raises:
        UserError: there is none; the message lists the known ones.
    """
    if name == "table":
        return table_format(mapping)
    if name in FORMATS:
        return FORMATS.get(name)
    known = ", ".join(["table", *FORMATS.names()])
    raise UserError(f"there is no format {name!r}.", f"Formats are: {known}.")
