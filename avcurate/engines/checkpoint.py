"""What a checkpoint says of itself: where it lies, which family it is, and how media are fed to it.

Knows folders and configuration files; loads no weights.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from avcurate.engines.accounting import TokenMath, load_json
from avcurate.errors import UserError

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent.parent / "demo" / "checkpoint"
SHIPPED = {EMBEDDED: EMBEDDED_FOLDER, "embedded-judge": EMBEDDED_FOLDER.with_name("judge")}

# video sizes that the processors' own classes use; a value saved in a checkpoint does not override them
_FAMILY_PIXELS = {
    "qwen2_5_omni": (128 * 28 * 28, 768 * 28 * 28),
    "qwen3_omni_moe": (128 * 32 * 32, 768 * 32 * 32),
}


@dataclass(frozen=True)
class Checkpoint:
    """A model by name or folder, at a revision."""

    model: str
    revision: str | None = None

    @cached_property
    def folder(self) -> Path | None:
        """Local folder, or ``None`` where the name is one for the model hub."""
        if self.model in SHIPPED:
            return SHIPPED[self.model]
        local = Path(self.model).expanduser()
        if local.is_dir():
            return local
        if local.is_absolute() or self.model.startswith("."):
            raise UserError(f"the model folder {self.model} does not exist.", "Check --model.")
        return None

    @property
    def path(self) -> str:
        """What to give to ``from_pretrained``."""
        return str(self.folder or self.model)

    def _json(self, name: str) -> dict[str, Any]:
        if self.folder is not None:
            return load_json(self.folder / name)
        try:
            from huggingface_hub import hf_hub_download

            return load_json(Path(hf_hub_download(self.model, name, revision=self.revision)))
        except Exception:
            return {}

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.json``; empty where it cannot be had."""
        return self._json("config.json")

    @property
    def family(self) -> str:
        """``qwen2_5_omni``, ``qwen3_omni_moe`` or another model type."""
        return str(self.config.get("model_type", "")).removesuffix("_thinker")

    @property
    def reads_text_alone(self) -> bool:
        """Whether its configuration knows neither sound nor picture; false where it cannot be read."""
        media = ("thinker_config", "vision_config", "audio_config")
        return bool(self.config) and not any(name in self.config for name in media)

    @cached_property
    def profile(self) -> dict[str, Any]:
        """``avcurate.json`` of the checkpoint: how media are fed to it. Only ours have one."""
        return self._json("avcurate.json")

    @property
    def video_kwargs(self) -> dict[str, Any]:
        """Arguments every processor call needs so that frames are resized the same way everywhere."""
        size = self.profile.get("video_size")
        return {"size": size} if size else {}

    @cached_property
    def token_math(self) -> TokenMath | None:
        """Expected token counts, for the families whose arithmetic is known."""
        if self.family not in _FAMILY_PIXELS:
            return None
        extractor = self._json("preprocessor_config.json") | self._json("processor_config.json").get(
            "feature_extractor", {}
        )
        thinker = self.config.get("thinker_config", self.config)
        vision = thinker.get("vision_config", {})
        low, high = _FAMILY_PIXELS[self.family]
        size = self.profile.get("video_size", {"shortest_edge": low, "longest_edge": high})
        if "patch_size" not in vision or "hop_length" not in extractor:
            return None
        return TokenMath(
            family=self.family,
            hop=extractor["hop_length"],
            patch=vision["patch_size"],
            merge=vision["spatial_merge_size"],
            temporal=vision["temporal_patch_size"],
            min_pixels=size["shortest_edge"],
            max_pixels=size["longest_edge"],
        )

    def identity(self) -> dict[str, Any]:
        """Name and revision; for a folder, a hash of its weights and configuration."""
        if self.folder is None:
            return {"model": self.model, "revision": self.revision}
        digest = hashlib.sha256()
        for file in sorted(self.folder.glob("*.json")) + sorted(self.folder.glob("*.safetensors")):
            digest.update(file.name.encode())
            if file.stat().st_size < 64 << 20:
                digest.update(file.read_bytes())
            else:
                with file.open("rb") as f:
                    digest.update(f.read(1 << 20) + str(file.stat().st_size).encode())
        return {"model": self.model, "content": digest.hexdigest()[:16]}
