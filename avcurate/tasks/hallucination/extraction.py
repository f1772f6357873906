"""Objects in captions, listed by a language model, for ALOHa."""

from __future__ import annotations

from typing import Any

from avcurate.engines.base import Sampling
from avcurate.errors import RowError
from avcurate.metrics.aloha import Object, parse_objects
from avcurate.metrics.answers import without_reasoning

# three original examples; "(possibly)" marks what parse_objects drops
PROMPT = """List every object that the caption says is there, one per line, each line beginning with "- ".
Write alternatives as "x or y". Mark what may or may not be there with (possibly). No actions, sounds or colours.

Caption: A brown dog chases two cats past a parked truck.
- dog
- cats
- truck

Caption: Someone, perhaps a child, plays a violin or a viola in an empty hall.
- person
- child (possibly)
- violin or viola
- hall

Caption: It is quiet.

Caption: {caption}"""
SAMPLING = Sampling(temperature=0.0, max_tokens=2048)


def listed_objects(reply: dict[str, Any]) -> list[Object]:
    """Parse the objects in a model's reply.

    Raises:
        RowError: ``extraction_cut``: the list was cut off.
    """
    if reply["finish_reason"] == "length":
        raise RowError("extraction_cut", f"the list of objects was cut off after {SAMPLING.max_tokens} tokens.")
    return parse_objects(without_reasoning(reply["text"]))
