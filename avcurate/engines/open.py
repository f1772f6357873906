"""An engine by name. The heavy ones are imported only here, when they are needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.engines.base import Engine
from avcurate.errors import UserError
from avcurate.recipe import ModelSpec
from avcurate.registry import Registry

EMBEDDED_DETECTOR = Path(__file__).parent.parent / "demo" / "detector"

if TYPE_CHECKING:
    from avcurate.engines.detector import Detector

Make = Callable[[ModelSpec, bool], Engine]
"""(which model, whether requests are interleaved) to an engine that has loaded nothing yet."""

ENGINES: Registry[Make] = Registry(
    "engine",
    "avcurate.engines",
    {
        "transformers": "avcurate.engines.open:in_process",
        "vllm": "avcurate.engines.vllm_engine:VllmEngine",
        "server": "avcurate.engines.open:served",
        "openai": "avcurate.engines.open:endpoint",
        "scripted": "avcurate.engines.open:scripted",
    },
)


def open_engine(spec: ModelSpec, interleaved: bool = False) -> Engine:
    """The engine a recipe asks for; nothing is loaded yet.

    Raises:
        UserError: there is no such engine, or its options are wrong.
    """
    return ENGINES.get(spec.engine)(spec, interleaved)


def in_process(spec: ModelSpec, interleaved: bool) -> Engine:
    """A thinker, or a language model that reads text alone, through transformers."""
    from avcurate.engines.checkpoint import Checkpoint

    checkpoint = Checkpoint.of(spec)
    options: dict[str, Any] = {"max_sequences": spec.max_sequences, "dtype": spec.dtype, **spec.options}
    if checkpoint.reads_text_alone:
        if "maam" in options:
            raise UserError(f"{spec.model} reads only text: there is nothing for MAAM to mask.", "Name an omni model.")
        from avcurate.engines.text_engine import TextEngine

        return _construct(lambda: TextEngine(checkpoint, **options))
    from avcurate.engines.transformers_engine import TransformersEngine

    return _construct(lambda: TransformersEngine(checkpoint, **options))


def _construct(make: Callable[[], Engine]) -> Engine:
    try:
        return make()
    except TypeError as e:
        raise UserError(f"model.options does not fit the transformers engine: {e}.", "See model.options.") from None


def served(spec: ModelSpec, interleaved: bool) -> Engine:
    """A model behind OpenAI-compatible vLLM servers."""
    from avcurate.engines.server import ServerEngine

    return ServerEngine(spec)


def endpoint(spec: ModelSpec, interleaved: bool) -> Engine:
    """A model behind a plain OpenAI-compatible endpoint."""
    from avcurate.engines.openai_engine import OpenAIEngine

    return OpenAIEngine(spec)


def scripted(spec: ModelSpec, interleaved: bool) -> Engine:
    """Stored responses, played back."""
    from avcurate.engines.scripted import ScriptedEngine

    return ScriptedEngine(Path(spec.model))


def open_detector(model: str, revision: str | None = None) -> Detector:
    """The detector of that name: an ``.onnx`` file, or a transformers model by name or folder."""
    if model.endswith(".onnx"):
        from avcurate.engines.nanodet import NanoDetDetector

        return NanoDetDetector(Path(model))
    from avcurate.engines.detector import DetrDetector

    return DetrDetector(model, revision, EMBEDDED_DETECTOR if model == "embedded-detector" else None)
