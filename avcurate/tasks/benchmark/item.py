"""One question of a benchmark, on a clip as it is or on one side of a pair."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from avcurate.media.edit import Edit
from avcurate.runner.stage import Row
from avcurate.tasks.benchmark.knowledge import Known, Modality, in_file
from avcurate.tasks.benchmark.phrases import DECIDED_BY

PLAIN = Edit("plain")


@dataclass(frozen=True)
class Item:
    """See ``schema.ITEM`` for the fields."""

    clip: Known
    task: str
    question: str
    choices: tuple[str, ...]
    answer: str
    evidence: str
    object: str | None = None
    negative: str | None = None
    edit: Edit = PLAIN
    donor: Known | None = None
    pair: str | None = None
    side: str | None = None
    changes: bool | None = None

    @property
    def id(self) -> str:
        """Hash of clip, edit and question."""
        donor = self.donor.name if self.donor else None
        content = [self.clip.name, self.edit.record(), donor, self.side, self.question, self.choices, self.answer]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def row(self) -> Row:
        """As stored."""
        donor: dict[str, Any] = {"donor": None, "donor_media": None, "donor_sha256": None}
        if self.donor is not None:
            file = in_file(self.donor.row)
            donor = {
                "donor": self.donor.name,
                "donor_media": file["media"],
                "donor_sha256": file["media_sha256"],
            }
        return {
            "item_id": self.id,
            "row": self.clip.row["row"],
            "clip": self.clip.name,
            **in_file(self.clip.row),
            **donor,
            "edit": self.edit.name,
            "edit_spec": json.dumps(self.edit.record(), sort_keys=True),
            "pair": self.pair,
            "side": self.side,
            "changes": self.changes,
            "task": self.task,
            "object": self.object,
            "negative": self.negative,
            "question": self.question,
            "choices": list(self.choices),
            "answer": self.answer,
            "pem": str(DECIDED_BY[self.task]),
            "evidence": self.evidence,
            "by_sound": self._suggested("audio"),
            "by_picture": self._suggested("video"),
        }

    def _suggested(self, modality: Modality) -> str | None:
        """The answer that one modality suggests, also to a question about the other; ``None``: it suggests none.

        A thing is suggested by being there: who hears a dog may well say that one is visible.
        """
        if self.task not in ("visible", "audible", "which_heard", "which_seen"):
            return None
        if self.task in ("visible", "audible"):
            assert self.object is not None
            return self._says(modality, self.object)
        said = [c for c in self.choices if self._says(modality, c) == "Yes"]
        return said[0] if len(said) == 1 else None

    def _says(self, modality: Modality, name: str) -> str | None:
        shown = [self.clip]
        if self.donor is not None and self.edit.name == f"swap_{'sound' if modality == 'audio' else 'picture'}":
            shown = [self.donor]
        elif self.donor is not None and self.edit.name == "mix" and modality == "audio":
            shown = [self.clip, self.donor]
        if any(name in k.there[modality] for k in shown):
            return "Yes"
        return "No" if all(k.lacks(modality, name) for k in shown) else None
