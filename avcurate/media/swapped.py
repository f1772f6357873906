"""Clips of a swap run under their original names: questions stay the same while the sound changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from avcurate.errors import MediaError, UserError
from avcurate.media.folder import MediaFolder

Variant = Literal["counterfactual", "factual", "silent", "audio_only", "video_only"]


class SwappedFolder(MediaFolder):
    """The files that a swap run made from clips.

    Args:
        originals: folder of the clips that were swapped; names are looked up in it first.
        run: the swap run; paths found are relative to it.
        files: file of the wanted variant by the clip's path in ``originals``.
        variant: which variant; for messages.
        pattern: as for ``MediaFolder``.

    Raises:
        UserError: the run made no such variant.
    """

    def __init__(
        self, originals: Path, run: Path, files: dict[str, str], variant: Variant, pattern: str | None = None
    ) -> None:
        super().__init__(originals, pattern)
        if not files:
            raise UserError(f"{run} has no {variant} clips.", "Run `avcurate swap` with that variant.")
        self.files = files
        self.variant = variant
        self._originals = MediaFolder(originals, pattern)
        self.root = run

    def identity(self) -> dict[str, str]:
        """What the clips depend on: the variant, and which file stands for which clip."""
        files = json.dumps(self.files, sort_keys=True).encode()
        return {
            **super().identity(),
            "variant": self.variant,
            "files": hashlib.sha256(files).hexdigest()[:16],
        }

    def find(self, name: str) -> str:
        """Path of the clip's variant, relative to the swap run.

        Raises:
            MediaError: as ``MediaFolder.find``; ``not_swapped`` where the run made none from this clip.
        """
        clip = self._originals.find(name)
        if clip not in self.files:
            raise MediaError(
                "not_swapped", f"no {self.variant} clip was made from {clip}.", "It is not in the benchmark."
            )
        return self.files[clip]
