"""Training checkpoints: sealed once complete, and the newest complete one to resume from."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from avcurate.store.manifest import seal, sealed, wrong_files

CHECKPOINTS = "checkpoints"
_log = logging.getLogger(__name__)


def checkpoint_folder(out: Path, step: int) -> Path:
    """Where the Trainer writes the checkpoint of a step."""
    return out / CHECKPOINTS / f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The step after which the checkpoint was written."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def seal_checkpoint(out: Path, step: int) -> None:
    """Mark a checkpoint as complete."""
    seal(checkpoint_folder(out, step))


def newest_whole(out: Path) -> Path | None:
    """The newest checkpoint with all files intact; ``None``: training starts from its first step.

    Newer ones are removed: unfinished ones silently, damaged ones with a warning that names the file.
    """
    folders = (out / CHECKPOINTS).glob("checkpoint-*")
    numbered = [p for p in folders if p.name.rsplit("-", 1)[1].isdigit()]
    for folder in sorted(numbered, key=step_of, reverse=True):
        wrong = wrong_files(folder)
        if not wrong:
            return folder
        if sealed(folder):
            _log.warning("%s is damaged (%s %s); resuming from an earlier one.", folder, *wrong[0])
        shutil.rmtree(folder)
    return None
