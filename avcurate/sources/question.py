"""Canonical questions, and what all formats share in making them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from avcurate.errors import RowError
from avcurate.prompts import LETTERS


@dataclass(frozen=True)
class Question:
    """One question of a dataset, before its media are looked up. Fields as in ``schema.QUESTION``."""

    source: str
    video_id: str
    media_name: str
    question: str
    choices: tuple[str, ...]
    answer: str
    answer_index: int | None
    source_id: str | None = None
    question_type: str | None = None
    stated_modality: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def question_id(self) -> str:
        """Hash of what is asked: the same question has the same id in every file and order."""
        what = [self.source, self.media_name, self.start, self.end, self.question, self.choices, self.answer]
        return hashlib.sha256(json.dumps(what, ensure_ascii=True).encode()).hexdigest()[:16]

    def row(self, number: int, media: str) -> dict[str, Any]:
        """The question as a row of the ``questions`` table."""
        row = asdict(self) | {"question_id": self.question_id, "row": number, "media": media}
        row["choices"] = list(self.choices)
        del row["media_name"]
        return row


def text(raw: dict[str, Any], key: str) -> str:
    """A required text field.

    Raises:
        RowError: ``field_missing`` or ``field_not_text``.
    """
    value = raw.get(key)
    if value is None or value == "":
        raise RowError("field_missing", f"field {key!r} is missing or empty.", "Fill it in the annotation file.")
    if isinstance(value, (dict, list, bool)):
        raise RowError("field_not_text", f"field {key!r} is a {type(value).__name__}, not text.")
    stripped = str(value).strip()
    if not stripped:
        raise RowError("field_missing", f"field {key!r} is empty.", "Fill it in the annotation file.")
    return stripped


def optional(raw: dict[str, Any], key: str) -> str | None:
    """A text field, or ``None`` where there is none."""
    value = raw.get(key)
    return None if value is None or value == "" else str(value)


def seconds(raw: dict[str, Any], key: str) -> float | None:
    """A time in seconds, or ``None``.

    Raises:
        RowError: ``bad_time`` when it is not a number, negative, or not finite.
    """
    value = raw.get(key)
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise RowError("bad_time", f"field {key!r} is {str(value)[:80]!r}, not a number of seconds.") from None
    if not 0 <= number < 1e7:
        raise RowError("bad_time", f"field {key!r} is {number}, out of range.")
    return number


def choice(choices: tuple[str, ...], index: object) -> tuple[str, int]:
    """The right choice and its index, from a 0-based index.

    Raises:
        RowError: ``answer_not_an_index`` or ``answer_out_of_range``.
    """
    if isinstance(index, bool) or not isinstance(index, (int, str)):
        raise RowError("answer_not_an_index", f"answer {str(index)[:80]!r} is not the number of a choice.")
    try:
        number = int(index)
    except ValueError:
        message = f"answer {str(index)[:80]!r} is not the number of a choice."
        raise RowError("answer_not_an_index", message) from None
    if not 0 <= number < len(choices):
        raise RowError("answer_out_of_range", f"answer {number} is not one of the {len(choices)} choices.")
    return choices[number], number


def choice_by_letter(choices: tuple[str, ...], letter: str) -> tuple[str, int]:
    """The right choice and its index, from a letter.

    Raises:
        RowError: ``answer_not_an_index`` or ``answer_out_of_range``.
    """
    bare = letter.strip().strip("().").upper()
    if len(bare) != 1 or not "A" <= bare <= "Z":
        raise RowError("answer_not_an_index", f"answer {letter!r} is not the letter of a choice.")
    return choice(choices, ord(bare) - ord("A"))


def choice_by_text(choices: tuple[str, ...], answer: str) -> tuple[str, int]:
    """The right choice and its index, from its text.

    Raises:
        RowError: ``answer_not_a_choice``.
    """
    for i, option in enumerate(choices):
        if option.strip().casefold() == answer.strip().casefold():
            return option, i
    raise RowError("answer_not_a_choice", f"answer {answer!r} is none of the choices.")


_LETTER_BEFORE = re.compile(r"^\s*\(?[A-Z]\s*[.):]\s*")


def without_letters(value: object) -> object:
    """Choices without the letters that are written before them; anything but a list as it is."""
    return [_LETTER_BEFORE.sub("", str(c)) for c in value] if isinstance(value, list) else value


def published_choices(value: object) -> tuple[str, ...]:
    """Choices of a benchmark as it was published: one that is empty is left out, and one that stands twice is kept.

    Raises:
        RowError: see :func:`choice_list`.
    """
    if not isinstance(value, (list, tuple)):
        return choice_list(value)
    given = [str(v).strip() for v in value if v is not None and not isinstance(v, (dict, list)) and str(v).strip()]
    choice_list(list(dict.fromkeys(g.casefold() for g in given)))
    return tuple(given)


def choice_list(value: object) -> tuple[str, ...]:
    """Choices as texts.

    Raises:
        RowError: ``choices_missing``, ``choices_too_many`` (letters name them), ``choices_not_text`` or
            ``choices_repeat``.
    """
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise RowError("choices_missing", "there are fewer than two answer choices.")
    if len(value) > len(LETTERS):
        raise RowError("choices_too_many", f"{len(value)} answer choices; there are letters for {len(LETTERS)}.")
    if any(isinstance(v, (dict, list)) or v is None or not str(v).strip() for v in value):
        raise RowError("choices_not_text", "a choice is empty or is not text.")
    choices = tuple(str(v).strip() for v in value)
    if len({c.casefold() for c in choices}) < len(choices):
        raise RowError("choices_repeat", f"two choices are the same: {list(choices)}.")
    return choices
