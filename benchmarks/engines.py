"""Engines of the embedded model, opened for a benchmark."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

from avcurate.engines.base import Engine
from avcurate.engines.checkpoint import EMBEDDED_FOLDER
from avcurate.engines.open import open_engine
from avcurate.recipe import ModelSpec


def opened(name: str, folder: Path, stack: ExitStack) -> Engine:
    """``transformers``, ``vllm``, or ``server``: vLLM's own, in a process of its own, that ends with the stack."""
    spec = ModelSpec(engine=name, model="embedded")
    if name == "server":
        from tests.engines.vllm_process import vllm_server

        url = stack.enter_context(vllm_server(sys.executable, EMBEDDED_FOLDER, folder, VLLM_SERVER_DEV_MODE="1"))
        spec = spec.model_copy(update={"urls": (url,), "served_name": "tiny", "max_sequences": 32})
    engine = open_engine(spec)
    engine.setup()
    stack.callback(engine.close)
    return engine
