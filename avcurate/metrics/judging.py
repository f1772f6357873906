"""Prompts of the caption judge, how its replies are read, and how its scores agree with people's.

After the judge of See-and-hear (arXiv 2604.02605 §4: an LLM rates sound and picture separately, in [0, 1]); wording and
examples are our own. A reply that cannot be read gives no score, never 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, Literal

from avcurate.metrics.answers import without_reasoning

Modality = Literal["audio", "video"]
VERSION = 1
MOST_OPENINGS = 256
LONGEST_OBJECT = 1 << 14

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "maxLength": 400},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    }
)

_TASK = {
    "audio": """You compare a caption with what is really heard in a clip. Judge the SOUND alone.
Score from 0 to 1: how many of the sounds that are heard does the caption tell, and how rightly (what makes them, how
many, in which order)? A sound the caption invents lowers the score. Ignore all the caption says of what is seen; a
thing that is only seen is not heard.""",
    "video": """You compare a caption with what is really seen in a clip. Judge the PICTURE alone.
Score from 0 to 1: how much of what is seen does the caption tell, and how rightly (things, people, colours, actions,
place)? What the caption invents lowers the score; a short caption that is right as a whole is good. Ignore all the
caption says of sounds.""",
}
_EXAMPLES: dict[Modality, tuple[tuple[str, str, float, str], ...]] = {
    "audio": (
        ("A dog barks twice, then a door slams.", "A dog is barking and a door bangs shut.", 0.95, "Both are told."),
        ("Rain falls on a tin roof while a man hums.", "A man in a red coat is singing.", 0.4, "No rain."),
        ("An engine idles.", "A truck stands in a yard; birds are chirping.", 0.05, "The engine is not heard in it."),
        ("A crowd claps and whistles.", "People applaud loudly, and a bell rings.", 0.65, "The bell is invented."),
    ),
    "video": (
        ("Two children fly a kite on a beach.", "Kids on a beach with a kite in the sky.", 0.95, "All is told."),
        ("A woman chops onions in a kitchen.", "A woman talks in a kitchen.", 0.5, "The chopping is missing."),
        ("A black cat sleeps on a sofa.", "A dog runs through a park.", 0.0, "Nothing agrees."),
        (
            "A man plays a guitar on a small stage.",
            "A man with a guitar beside a drummer.",
            0.7,
            "No drummer is there.",
        ),
    ),
}
# NaN and Infinity are not scores; guided decoding lets raw line breaks into strings
_DECODER = json.JSONDecoder(parse_constant=lambda name: None, strict=False)


def judge_prompt(modality: Modality, references: Sequence[str], caption: str) -> str:
    """What the judge is asked about one caption and one modality."""
    lines = [_TASK[modality], 'Reply with one JSON object: {"reason": "...", "score": number}.', ""]
    what = "Heard" if modality == "audio" else "Seen"
    for reference, said, score, reason in _EXAMPLES[modality]:
        lines += [f"{what}: {reference}", f"Caption: {said}", json.dumps({"reason": reason, "score": score}), ""]
    lines += [f"{what}: {' / '.join(references)}", f"Caption: {' '.join(caption.split())}"]
    return "\n".join(lines)


def parse_judgement(text: str) -> tuple[float, str] | None:
    """(score in [0, 1], reason) of the first JSON object with a score; ``None`` where there is none.

    Reasoning before ``</think>`` is ignored; a score outside [0, 1] does not count.
    """
    rest = without_reasoning(text)
    # parsing restarts at each opening brace: bounded in number and length, so that no reply makes it slow
    for brace in islice(re.finditer(r"\{", rest), MOST_OPENINGS):
        try:
            value: Any = _DECODER.raw_decode(rest[brace.start() : brace.start() + LONGEST_OBJECT])[0]
        except (ValueError, RecursionError):
            continue
        score = value.get("score") if isinstance(value, dict) else None
        if isinstance(score, (int, float)) and not isinstance(score, bool) and 0 <= score <= 1:
            return float(score), str(value.get("reason", ""))
    return None
