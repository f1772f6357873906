"""The prompts a question is asked with.

Holds the wording and the tag format of each prompt version; independent of media and engines.
A prompt is never edited in place: a change of wording is a new version, because a stored
response is only comparable with responses to the same words. The version of a custom prompt is a hash of its content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from avcurate.errors import UserError

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ANSWER_TAGS = ("answer", "ans")
REASONING_TAGS = ("think", "reasoning", "thinking")
FUSE_TAGS = ("v", "a", "sum")
PEM_TAG = "mod"
_PLACEHOLDERS = re.compile(r"\{(question|choices|last)\}")
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]


@dataclass(frozen=True)
class Prompt:
    """One version of a prompt. ``name`` is what recipes refer to, e.g. ``cot@1``.

    Attributes:
        instruction: follows question and choices; if it contains ``{question}`` it is the whole prompt, and
            ``{choices}`` stands for the lettered choices. ``{last}`` is the last choice's letter.
        reasoning_tags: tags that enclose the reasoning of a response; answer_tags: those that enclose its answer.
        renamed: pairs of a custom tag and the standard tag it is parsed as.
        system: the system prompt; empty: none is sent.
    """

    name: str
    instruction: str
    reasoning_tags: tuple[str, ...]
    answer_tags: tuple[str, ...]
    about: str
    renamed: tuple[tuple[str, str], ...] = ()
    system: str = ""

    def render(self, question: str, choices: Sequence[str]) -> str:
        """Question, lettered choices (none for an open question) and the instruction, one per line."""
        lettered = [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(choices)]
        values = {
            "question": question.strip(" "),
            "choices": "\n".join(lettered),
            "last": LETTERS[max(0, len(choices) - 1)],
        }
        # in one pass: braces in a question are text, never placeholders
        instruction = _PLACEHOLDERS.sub(lambda m: values[m[1]], self.instruction)
        if "{question}" in self.instruction:
            return instruction
        return "\n".join([*([values["question"]] if question else []), *lettered, instruction])

    def read(self, response: str) -> str:
        """A response with the prompt's own tags replaced by the standard ones that every parser knows."""
        if not self.renamed:
            return response
        names = {tag.lower(): known for tag, known in self.renamed}
        return self._tags.sub(lambda m: f"<{m[1]}{names[m[2].lower()]}>", response)

    @property
    def fuses(self) -> bool:
        """Whether responses have the separate-then-fuse format that MAAM masks: ``<mod> <v> <a> <sum> <ans>``."""
        return set(FUSE_TAGS) <= set(self.reasoning_tags)

    @cached_property
    def _tags(self) -> re.Pattern[str]:
        return re.compile(rf"<(/?)({'|'.join(re.escape(tag) for tag, _ in self.renamed)})>", re.IGNORECASE)


class OwnPrompt(BaseModel):
    """A custom prompt, from a recipe or a file. See :class:`Prompt` for the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")] = Field(
        description="Name of the prompt; its version is a hash of its content."
    )
    instruction: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] = Field(
        description="Follows question and choices; the whole prompt if it contains {question} (and {choices})."
    )
    reasoning_tags: tuple[Tag, ...] = Field(("think",), description="Tags that enclose the reasoning.")
    answer_tags: tuple[Tag, ...] = Field(("answer",), description="Tags that enclose the answer.")
    about: str = ""
    system: Annotated[str, StringConstraints(max_length=20_000)] = Field(
        "", description="System prompt; empty: none is sent."
    )

    @model_validator(mode="after")
    def _tags_have_one_role(self) -> Self:
        """A tag that every parser takes for reasoning cannot enclose answers, nor the other way round."""
        reasoning, answer = ({t.lower() for t in tags} for tags in (self.reasoning_tags, self.answer_tags))
        clash = (reasoning & {*ANSWER_TAGS, PEM_TAG}) | (answer & {*REASONING_TAGS, *FUSE_TAGS, PEM_TAG})
        if clash := clash | (reasoning & answer):
            raise ValueError(f"the tag <{min(clash)}> is read as something else; choose another")
        return self

    def prompt(self) -> Prompt:
        """The versioned prompt."""
        # versions of prompts without a system prompt are as they were before there was one
        content = self.model_dump(mode="json", exclude={"about", *(() if self.system else ("system",))})
        version = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
        renamed = [
            (t, REASONING_TAGS[0]) for t in self.reasoning_tags if t.lower() not in (*REASONING_TAGS, *FUSE_TAGS)
        ]
        renamed += [(t, ANSWER_TAGS[0]) for t in self.answer_tags if t.lower() not in ANSWER_TAGS]
        return Prompt(
            f"{self.name}@{version}",
            self.instruction,
            self.reasoning_tags,
            self.answer_tags,
            self.about,
            tuple(renamed),
            self.system,
        )


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

ASSISTANT = "You are a helpful assistant."

CLASSIFY_HUB = Prompt(
    name="classify@2",
    instruction=CLASSIFY.instruction,
    reasoning_tags=(),
    answer_tags=("answer",),
    about="The same with the system prompt of crossmodal-hub's release (recipe hubs-dominance).",
    system=ASSISTANT,
)

CAPTION_HUB = Prompt(
    name="caption@2",
    instruction=CAPTION.instruction,
    reasoning_tags=(),
    answer_tags=(),
    about="The same with the system prompt of crossmodal-hub's release (recipe hubs-caption).",
    system=ASSISTANT,
)

SEE = Prompt(
    name="see@1",
    instruction="Describe what you see.",
    reasoning_tags=(),
    answer_tags=(),
    about="The picture alone, in words (see/hear, arXiv 2604.02605).",
)

HEAR = Prompt(
    name="hear@1",
    instruction="Describe what you hear.",
    reasoning_tags=(),
    answer_tags=(),
    about="The sound alone, in words (see/hear, arXiv 2604.02605).",
)

PROMPTS: dict[str, Prompt] = {
    p.name: p for p in (COT, SEPARATE_THEN_FUSE, CLASSIFY, CLASSIFY_HUB, CAPTION, CAPTION_HUB, SEE, HEAR)
}


def recorded_prompt(recipe: dict[str, Any]) -> Prompt:
    """The prompt of a recipe recorded in ``run.json``."""
    prompt = recipe["prompt"]
    return get_prompt(OwnPrompt.model_validate(prompt) if isinstance(prompt, dict) else prompt)


def get_prompt(name: str | OwnPrompt) -> Prompt:
    """The prompt of that name, or a custom one; a bare name (``cot``) means its newest version.

    Raises:
        UserError: no prompt has that name; the hint lists the known ones.
    """
    if isinstance(name, OwnPrompt):
        return name.prompt()
    if name in PROMPTS:
        return PROMPTS[name]
    versions = [p for p in PROMPTS.values() if p.name.split("@")[0] == name]
    if not versions:
        raise UserError(
            f"there is no prompt {name!r}.", f"Prompts are: {', '.join(PROMPTS)}; or give your own .yaml file."
        )
    return max(versions, key=lambda p: int(p.name.split("@")[1]))
