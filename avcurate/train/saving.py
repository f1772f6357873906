"""Trained weights as a folder that every engine loads, to keep or for the servers that sample rollouts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from avcurate.engines.checkpoint import Checkpoint
from avcurate.families.base import Family
from avcurate.store.atomic import write_json

PARTIAL = ".partial"


def save_model(
    model: Any, processor: Any, checkpoint: Checkpoint, target: Path, weights: dict[str, Any] | None = None
) -> Path:
    """Write weights and the processor's files, the checkpoint's own where it is a folder: a processor that was used
    saves what it was used with; an existing folder is replaced once the new one is complete.

    Args:
        model: the thinker, possibly with LoRA, which is merged into the written copy but not into the model.
        checkpoint: what training started from; its small files are copied too.
        weights: all of the model's, by name, where they lie sharded.
    """
    partial = target.with_name(target.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    bare, whole = merged(model, model.state_dict() if weights is None else weights)
    bare.save_pretrained(partial, safe_serialization=True, state_dict=whole)
    if checkpoint.folder is None:
        processor.save_pretrained(partial)
    if checkpoint.family is not None:
        _lay_out_as_released(partial, checkpoint, checkpoint.family)
    if checkpoint.folder is not None:
        for file in checkpoint.folder.iterdir():
            # an index of the base's shards would point readers to missing files
            small = file.suffix in (".json", ".jinja", ".txt", ".model") and not file.name.endswith(".index.json")
            if small and not (partial / file.name).exists():
                shutil.copy2(file, partial / file.name)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return target


def save_adapter(model: Any, target: Path, weights: dict[str, Any] | None = None) -> None:
    """Write LoRA weights alone, as PEFT loads them onto the part of the base that was trained; nothing without LoRA."""
    if not hasattr(model, "peft_config"):
        return
    partial = target.with_name(target.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial, safe_serialization=True, state_dict=weights)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _lay_out_as_released(folder: Path, checkpoint: Checkpoint, family: Family) -> None:
    """Name weights and configuration as the released checkpoint does.

    transformers saves the part that was trained and loads either layout; vLLM only the whole model's. Speech output
    is switched off: its weights are missing.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as stored:
            metadata = stored.metadata()
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if all(family.released_name(name) == name for name in weights):
            continue
        save_file({family.released_name(name): w for name, w in weights.items()}, file, metadata=metadata)
    for index in folder.glob("*.safetensors.index.json"):
        listed = json.loads(index.read_text("utf-8"))
        listed["weight_map"] = {family.released_name(name): file for name, file in listed["weight_map"].items()}
        write_json(index, listed)
    if not family.part:
        return
    saved = json.loads((folder / "config.json").read_text("utf-8"))
    part = f"{family.part}_config"
    whole = checkpoint.config if part in checkpoint.config else {"architectures": [family.architecture]}
    inner = saved.get(part, saved)
    whole = {**whole, "model_type": family.name, "enable_audio_output": False, part: inner}
    write_json(folder / "config.json", whole)


def merged(model: Any, weights: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The bare model, and its whole weights with LoRA merged.

    Args:
        model: possibly with LoRA; weights: all of its weights, by name.
    """
    if not hasattr(model, "get_base_model"):
        return model, weights
    root = "base_model.model."
    layers = {n: m for n, m in model.named_modules() if hasattr(m, "lora_A") and hasattr(m, "base_layer")}
    written = {}
    for name, value in weights.items():
        if ".lora_" not in name:
            written[name.replace(".base_layer.", ".").removeprefix(root)] = value
    for name, layer in layers.items():
        weight = weights[f"{name}.base_layer.weight"]
        for adapter in layer.active_adapters:
            down, up = (weights[f"{name}.lora_{side}.{adapter}.weight"] for side in "AB")
            weight = weight + (layer.scaling[adapter] * (up.float() @ down.float())).to(weight.dtype)
        written[f"{name.removeprefix(root)}.weight"] = weight.detach()
    return model.get_base_model(), written
