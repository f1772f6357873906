"""Where media are in a sequence of token ids, by the checkpoint's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from avcurate.families.base import Family

Modality = Literal["audio", "video", "both"]


@dataclass(frozen=True)
class MediaTokens:
    """A tokenizer's media token ids.

    Attributes:
        audio: placeholder of sound; video: of frames; ``None`` where the model has none.
        marks: ids of what stands around them, and of placeholders that are not used.
    """

    audio: int | None
    video: int | None
    marks: frozenset[int] = frozenset()

    @classmethod
    def of(cls, config: Any, family: Family) -> MediaTokens:
        """From a loaded model's configuration, or a mapping with the fields of ``config.json``."""

        def of(name: str) -> int | None:
            # the same field has another name in some files
            for spelling in (name, name.replace("_token_id", "_token_index")):
                value = config.get(spelling) if isinstance(config, Mapping) else getattr(config, spelling, None)
                if isinstance(value, int):
                    return value
            return None

        around: tuple[str, ...] = (*family.audio_ids[1:], *family.video_ids[1:], *family.other_ids)
        marks = frozenset(i for i in map(of, around) if i is not None)
        return cls(of(family.audio_ids[0]), of(family.video_ids[0]), marks)

    @property
    def never_sampled(self) -> frozenset[int]:
        """Placeholders and marks: one without its media breaks the positions of any model that reads the response."""
        return self.marks | {i for i in (self.audio, self.video) if i is not None}

    def where(self, ids: Any, modality: Modality) -> Any:
        """Which tokens are the modality's placeholders, marks not included: a bool tensor like ``ids``."""
        wanted = {"audio": (self.audio,), "video": (self.video,), "both": (self.audio, self.video)}[modality]
        found = ids != ids
        for i in wanted:
            if i is not None:
                found = found | (ids == i)
        return found

    def count(self, ids: Any) -> tuple[int, int]:
        """(audio, video) placeholders among the ids of a tensor."""
        return int(self.where(ids, "audio").sum()), int(self.where(ids, "video").sum())
