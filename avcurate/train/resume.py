"""Loads checkpoints of thinkers."""

from __future__ import annotations

from typing import Any


class ThinkerCheckpoints:
    """A mix-in for the Trainers."""

    accelerator: Any
    model: Any
    is_fsdp_enabled: bool

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Load a checkpoint's weights. The Trainer matches tensors by their names on disk, which are those of the whole
        omni model and not of its thinker, and silently continues when none matches.
        """
        model = self.model if model is None else model
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
            return
        bare = self.accelerator.unwrap_model(model)
        if hasattr(bare, "get_base_model"):
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
            return
        stored = type(bare).from_pretrained(resume_from_checkpoint, dtype=bare.dtype, use_safetensors=True)
        bare.load_state_dict(stored.state_dict(), strict=True)
