"""Answering under attention knockout, as an option of tasks that ask a model."""

from __future__ import annotations

from typing import Annotated, Any

from avcurate.errors import UserError
from avcurate.recipe import Flag, ModelSpec

Knockout = Annotated[
    tuple[str, ...],
    Flag("--knockout", help="Cut of attention, QUERY->KEYS or QUERY->KEYS:FIRST-END (layers); repeatable."),
]
KNOCKOUT = "Cuts of attention to answer under, e.g. `response->audio:0-14`; engine transformers only."


def under_knockout(model: ModelSpec, rules: tuple[str, ...]) -> ModelSpec:
    """The model with the cuts among its options.

    Raises:
        UserError: its engine cannot cut attention.
    """
    if not rules:
        return model
    if model.engine != "transformers":
        raise UserError(
            f"engine {model.engine!r} cannot answer under a knockout: attention is cut inside the model.",
            "Use --engine transformers.",
        )
    options: dict[str, Any] = {**model.options, "knockout": list(rules)}
    return model.model_copy(update={"options": options})
