"""Objects of captions as a language model lists them, for ALOHa."""

from __future__ import annotations

from avcurate.engines.base import Engine, Failure, ListSource, Request, Sampling
from avcurate.errors import RowError
from avcurate.metrics.aloha import Object, parse_objects
from avcurate.metrics.answers import without_reasoning
from avcurate.seeds import derive_seed

# three examples of our own; "(possibly)" marks what parse_objects drops
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


def extract_objects(engine: Engine, captions: dict[str, str]) -> dict[str, list[Object] | RowError]:
    """What each caption says is there.

    Args:
        engine: a model that has been set up; it is given text alone.
        captions: caption by key; a key holds no slash.

    Returns:
        For each key its objects, or why they could not be had (``extraction_failed``).
    """
    requests = [
        Request(
            f"{key}/objects/0",
            PROMPT.replace("{caption}", " ".join(caption.split())),
            None,
            None,
            1.0,
            1,
            derive_seed("objects", key),
            SAMPLING,
        )
        for key, caption in captions.items()
    ]
    found: dict[str, list[Object] | RowError] = {}
    for reply in engine.generate(ListSource(requests)):
        key = reply.key.split("/")[0]
        if isinstance(reply, Failure):
            found[key] = RowError("extraction_failed", reply.message, reply.hint)
        elif reply.responses[0].finish_reason == "length":
            found[key] = RowError(
                "extraction_cut", f"the list of objects was cut off after {SAMPLING.max_tokens} tokens."
            )
        else:
            found[key] = parse_objects(without_reasoning(reply.responses[0].text))
    return found
