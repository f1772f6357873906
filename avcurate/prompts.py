"""The prompts a question is asked with.

Knows the wording and the tag format of each prompt version; knows nothing of media or engines.
A prompt is never edited in place: a change of wording is a new version, because a stored
response is only comparable with responses to the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avcurate.errors import UserError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Prompt:
    """One versioned way of asking. ``name`` is what recipes refer to, e.g. ``cot@1``."""

    name: str
    instruction: str
    reasoning_tags: tuple[str, ...]
    answer_tags: tuple[str, ...]
    about: str

    def render(self, question: str, choices: Sequence[str]) -> str:
        """Question, lettered choices (none for an open question) and the instruction, one per line."""
        lines = [question.strip(" ")] if question else []
        lines += [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(choices)]
        lines.append(self.instruction.replace("{last}", LETTERS[max(0, len(choices) - 1)]))
        return "\n".join(lines)


COT = Prompt(
    name="cot@1",
    instruction=(
        "Reason step by step about what you see and hear inside <think></think>, "
        "then give the final answer inside <answer></answer>."
    ),
    reasoning_tags=("think", "reasoning"),
    answer_tags=("answer", "ans"),
    about="Chain of thought, then the answer. The default of label-pem.",
)

SEPARATE_THEN_FUSE = Prompt(
    name="separate-then-fuse@1",
    instruction=(
        "Name the modality that holds the evidence (Audio, Visual or Audio-Visual) inside <mod></mod>, "
        "describe the picture inside <v></v> and the sound inside <a></a>, combine them inside "
        "<sum></sum>, then give the final answer inside <ans></ans>."
    ),
    reasoning_tags=("v", "a", "sum"),
    answer_tags=("ans", "answer"),
    about="Separate-then-fuse format of SFFL §3.2: <mod> <v> <a> <sum> <ans>.",
)

CLASSIFY = Prompt(
    name="classify@1",
    instruction="Respond ONLY with a single label letter (A–{last}).",
    reasoning_tags=(),
    answer_tags=("answer",),
    about="Options and one letter, no reasoning. The 20-option prompt of crossmodal-hub; default of dominance.",
)

CAPTION = Prompt(
    name="caption@1",
    instruction="Describe what you see and hear in a single sentence.",
    reasoning_tags=(),
    answer_tags=(),
    about="One sentence on the clip; the wording of AVHBench's captioning task. Default of caption.",
)

PROMPTS: dict[str, Prompt] = {p.name: p for p in (COT, SEPARATE_THEN_FUSE, CLASSIFY, CAPTION)}


def get_prompt(name: str) -> Prompt:
    """The prompt of that name; a bare name (``cot``) means its newest version.

    Raises:
        UserError: no prompt has that name; the hint lists those there are.
    """
    if name in PROMPTS:
        return PROMPTS[name]
    versions = [p for p in PROMPTS.values() if p.name.split("@")[0] == name]
    if not versions:
        raise UserError(f"there is no prompt {name!r}.", f"Prompts are: {', '.join(PROMPTS)}.")
    return max(versions, key=lambda p: int(p.name.split("@")[1]))
