"""An engine by name. The heavy ones are imported only here, when they are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.engines.base import Engine
from avcurate.errors import UserError
from avcurate.recipe import ModelSpec

if TYPE_CHECKING:
    from avcurate.engines.detector import Detector


def open_engine(spec: ModelSpec, interleaved: bool = False) -> Engine:
    """The engine a recipe asks for; nothing is loaded yet."""
    if spec.engine == "scripted":
        from avcurate.engines.scripted import ScriptedEngine

        return ScriptedEngine(Path(spec.model))
    if spec.engine == "server":
        from avcurate.engines.server import ServerEngine

        return ServerEngine(spec)
    if spec.engine == "vllm":
        from avcurate.engines.vllm_engine import VllmEngine

        return VllmEngine(spec, interleaved)
    from avcurate.engines.checkpoint import Checkpoint

    checkpoint = Checkpoint(spec.model, spec.revision)
    options: dict[str, Any] = {"max_sequences": spec.max_sequences, "dtype": spec.dtype, **spec.options}
    if checkpoint.reads_text_alone:
        if "maam" in options:
            raise UserError(f"{spec.model} reads text alone: there is nothing for MAAM to mask.", "Name an omni model.")
        from avcurate.engines.text_engine import TextEngine

        return TextEngine(checkpoint, **options)
    from avcurate.engines.transformers_engine import TransformersEngine

    return TransformersEngine(checkpoint, **options)


def open_detector(model: str, revision: str | None = None) -> Detector:
    """The detector of that name: an ``.onnx`` file, or a transformers model by name or folder."""
    if model.endswith(".onnx"):
        from avcurate.engines.nanodet import NanoDetDetector

        return NanoDetDetector(Path(model))
    from avcurate.engines.detector import DetrDetector

    return DetrDetector(model, revision)
