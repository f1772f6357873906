"""Answering under attention knockout or a guided decoder, as options of tasks that ask a model."""

from __future__ import annotations

from typing import Annotated, Any

from avcurate.engines.guidance import DECODERS, Guidance
from avcurate.errors import UserError
from avcurate.recipe import Flag, ModelSpec

Knockout = Annotated[
    tuple[str, ...],
    Flag("--knockout", help="Cut of attention, QUERY->KEYS or QUERY->KEYS:FIRST-END (layers); repeatable."),
]
KNOCKOUT = "Cuts of attention to answer under, e.g. `response->audio:0-14`; engine transformers only."
Decode = Annotated[str | None, Flag("--decode", help=f"Guided decoder: {', '.join(DECODERS)}.")]
DECODE = "Guided decoder; engine transformers only, not with maam or knockout. null: the model's own."
GUIDANCE = "Values that replace the decoder's own, e.g. `--set guidance.alpha=0.3`."


def under_knockout(model: ModelSpec, rules: tuple[str, ...]) -> ModelSpec:
    """The model with the cuts among its options.

    Raises:
        UserError: its engine cannot cut attention.
    """
    return _inside(model, {"knockout": list(rules)}, "under a knockout: attention is cut") if rules else model


def under_guidance(model: ModelSpec, decode: str | None, values: dict[str, float]) -> ModelSpec:
    """The model with the guided decoder among its options.

    Raises:
        UserError: there is no such decoder or value, or the engine cannot be guided.
    """
    if decode is None:
        if values:
            raise UserError("guidance is given, and no decoder.", f"Add --decode, one of {', '.join(DECODERS)}.")
        return model
    Guidance.of(decode, values)
    return _inside(model, {"decode": decode, "guidance": values}, "with a guided decoder: two passes are put together")


def _inside(model: ModelSpec, options: dict[str, Any], how: str) -> ModelSpec:
    if model.engine != "transformers":
        raise UserError(f"engine {model.engine!r} cannot answer {how} inside the model.", "Use --engine transformers.")
    return model.model_copy(update={"options": {**model.options, **options}})
