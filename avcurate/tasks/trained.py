"""What is known of a model that `avcurate train` made: its run stands beside it."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from avcurate.errors import AvcurateError
from avcurate.prompts import Prompt, recorded_prompt

_log = logging.getLogger(__name__)


def warn_of_another_prompt(model: str, prompt: Prompt) -> None:
    """Warn where a trained model is asked with a prompt that it was not trained on: what it learned may not show."""
    record = Path(model).parent / "run.json"
    if Path(model).name != "model" or not record.is_file():
        return
    try:
        written = json.loads(record.read_text("utf-8"))
        trained = recorded_prompt(written["recipe"]) if written.get("task") == "train" else prompt
    except (AvcurateError, OSError, ValueError, KeyError, TypeError):
        return
    if trained.name != prompt.name:
        _log.warning("%s was trained with prompt %s and is asked with %s.", model, trained.name, prompt.name)
