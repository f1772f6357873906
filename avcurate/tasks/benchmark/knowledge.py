"""What is known of every clip, and what usually goes together: the ground on which questions are asked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from avcurate.runner.stage import Row
from avcurate.tasks.benchmark.phrases import named_in, near

Modality = Literal["audio", "video"]
LIST = {"audio": "heard", "video": "seen"}
OTHER: dict[str, Modality] = {"audio": "video", "video": "audio"}
NEGATIVES = ("cross", "adversarial", "frequent", "random")


@dataclass(frozen=True)
class Known:
    """One clip's evidence, for quick questions.

    Attributes:
        row: as the stage before stored it.
        there: names present in each modality; absent: names listed as absent; complete: modalities that list all.
    """

    row: Row
    there: dict[str, frozenset[str]]
    absent: dict[str, frozenset[str]]
    complete: frozenset[str]

    @classmethod
    def of(cls, row: Row) -> Known:
        """From a row of ``looked``."""
        complete = {"": (), "both": ("audio", "video")}.get(row["exhaustive"], (row["exhaustive"],))
        return cls(
            row,
            {m: frozenset(row[name]) for m, name in LIST.items()},
            {m: frozenset(row[f"not_{name}"]) for m, name in LIST.items()},
            frozenset(complete),
        )

    @property
    def name(self) -> str:
        """The clip's name."""
        return str(self.row["clip"])

    def lacks(self, modality: Modality, name: str) -> bool:
        """Whether a name is certainly absent from a modality."""
        if name in self.there[modality]:
            return False
        return name in self.absent[modality] or modality in self.complete

    def why_absent(self, modality: Modality, name: str) -> str:
        """The evidence for it, in words."""
        verb = LIST[modality]
        if name in self.absent[modality]:
            return f"{name} is listed as not {verb} in {self.name}"
        return f"{name} is not among all that is {verb} in {self.name}"

    def why_present(self, modality: Modality, name: str) -> str:
        """The evidence for presence, in words."""
        return f"{name} is {LIST[modality]} in {self.name}"


@dataclass
class World:
    """All clips, and how often names occur and occur together.

    Attributes:
        clips: in the order of their records.
        often: how many clips have a name, by modality.
        together: how many clips that have one name in any modality have another in a given one.
        aliases: other words for names.
    """

    clips: list[Known]
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    often: dict[str, Counter[str]] = field(default_factory=lambda: {"audio": Counter(), "video": Counter()})
    together: dict[str, dict[str, Counter[str]]] = field(
        default_factory=lambda: {"audio": defaultdict(Counter), "video": defaultdict(Counter)}
    )

    @classmethod
    def of(cls, rows: Iterable[Row], aliases: dict[str, tuple[str, ...]]) -> World:
        """From rows of ``looked``."""
        world = cls([Known.of(r) for r in rows], aliases)
        for clip in world.clips:
            everything = clip.there["audio"] | clip.there["video"]
            for modality in LIST:
                world.often[modality].update(clip.there[modality])
                for other in everything:
                    world.together[modality][other].update(clip.there[modality] - {other})
        return world

    def names(self, modality: Modality) -> list[str]:
        """Every name that occurs in a modality in some clip, the most frequent first."""
        return [n for n, _ in sorted(self.often[modality].items(), key=lambda x: (-x[1], x[0]))]

    def company(self, clip: Known, modality: Modality) -> list[str]:
        """Names that usually occur in a modality beside what the clip holds, the likeliest first."""
        score: Counter[str] = Counter()
        for other in sorted(clip.there["audio"] | clip.there["video"]):
            seen_with = self.together[modality][other]
            total = self.often["audio"][other] + self.often["video"][other]
            for name, n in seen_with.items():
                score[name] = max(score[name], round(1e6 * n / max(1, total)))
        return [n for n, _ in sorted(score.items(), key=lambda x: (-x[1], x[0]))]

    def refusal(self, clip: Known, modality: Modality, name: str) -> str | None:
        """Why the absence of a name cannot be asked about; ``None``: it can."""
        if not clip.lacks(modality, name):
            return "absence_unknown"
        if any(near(name, other) for other in clip.there[modality]):
            return "too_near"
        captions = clip.row["audio_captions" if modality == "audio" else "video_captions"]
        if named_in(name, self.aliases.get(name, ()), captions):
            return "named_in_caption"
        return None


def in_file(row: Row) -> dict[str, Any]:
    """Columns of an item that say which file a clip is."""
    return {"media": row["media"], "media_sha256": row["media_sha256"]}
