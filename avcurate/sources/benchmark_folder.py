"""A benchmark's folder in place of an annotation file and a media folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MANIFEST, QUESTIONS, CLIP_LIST = "benchmark.json", "questions.jsonl", "clips.csv"
CAPTIONS = "captions.jsonl"


def opened(inputs: Any, field: str, file: str, *, brings_media: bool = True) -> Any:
    """A recipe's input in which a benchmark's folder stands for one of its files, and for the folder of its clips.

    Args:
        inputs: the input section as given; field: the field that names the folder; file: what it stands for.
        brings_media: whether the input also has a folder of clips.
    """
    if not isinstance(inputs, dict) or inputs.get(field) is None:
        return inputs
    folder = Path(str(inputs[field]))
    if not (folder / MANIFEST).is_file():
        return inputs
    media = {"media": inputs.get("media") or folder} if brings_media else {}
    return inputs | {field: folder / file} | media
