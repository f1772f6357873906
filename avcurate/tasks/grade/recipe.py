"""Options of ``grade``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from avcurate.recipe import Argument, Flag, ModelSpec, Required, SamplingSpec, Strict, TaskRecipe

Rule = Literal["mmau-pro", "same"]
PLACES = ("question", "reference", "answer")


def read_prompt(value: Any) -> Any:
    """A judge's prompt; a string that ends in ``.txt`` is read as a file, whose content becomes part of the recipe."""
    if not isinstance(value, str):
        return value
    text = Path(value).read_text("utf-8") if value.endswith(".txt") else value
    missing = [p for p in PLACES if f"{{{p}}}" not in text]
    if missing:
        raise ValueError(f"the judge's prompt has no {{{missing[0]}}}")
    return text


class GradeInput(Strict):
    """The evaluation that is graded."""

    evaluation: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="A finished run of `avcurate eval`."
    )


class Grader(ModelSpec):
    """The judge."""

    model: Annotated[str, Flag("--model", "-m")] = Field(
        "", description="A language model by name or folder; empty: none, and what needs one is left out."
    )


class GradeRecipe(TaskRecipe):
    """A grade run."""

    kind: Literal["grade"] = "grade"
    input: GradeInput = GradeInput()
    rule: Annotated[Rule | None, Flag("--rule")] = Field(
        None,
        description="`mmau-pro`: choices by meaning, open answers rated by the judge, instructions by their form; "
        "`same`: the judge says whether an answer is the reference. null: by the benchmark.",
    )
    model: Grader = Grader()
    embedder: Annotated[str, Flag("--embedder")] = Field(
        "embedded",
        description="Which choice an answer means (mmau-pro): `embedded`, a model name, or http://host/v1#model.",
    )
    prompt: Annotated[str | None, BeforeValidator(read_prompt), Flag("--judge-prompt")] = Field(
        None, description="The judge's prompt, as text or a .txt file, with {question}, {reference} and {answer}."
    )
    seed: Annotated[int, Flag("--seed")] = Field(0, description="Seed of the judge's replies.")
    sampling: SamplingSpec = SamplingSpec(temperature=0.1, max_tokens=512)
