"""Selects the clips of a benchmark and accounts for every other one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from avcurate.benchmark.ontology import Ontology
from avcurate.benchmark.rules import BenchmarkRecipe
from avcurate.seeds import derive_seed
from avcurate.sources.clips import (
    BadRow,
    LabelledClip,
    read_audioset,
    read_classes,
    read_vggsound,
    read_vggsounder,
)


@dataclass
class Selection:
    """What happened to every row of the list.

    Attributes:
        kept: clips by ``clip_id``, with their one class.
        filtered: (clip_id, class, reason) of clips that a rule left out.
        bad: rows that could not be read.
        funnel: (step, clips left after it), starting with the whole list.
    """

    kept: dict[str, str] = field(default_factory=dict)
    filtered: list[tuple[str, str, str]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    funnel: list[tuple[str, int]] = field(default_factory=list)

    def keep_if(self, step: str, reason: str, rule: Callable[[str, str], bool]) -> None:
        """Apply one rule on (clip_id, class); clips it refuses are filtered under ``reason``."""
        refused = [(c, label) for c, label in self.kept.items() if not rule(c, label)]
        for clip, label in refused:
            del self.kept[clip]
            self.filtered.append((clip, label, reason))
        self.funnel.append((step, len(self.kept)))

    def start(self, rows: Iterable[LabelledClip | BadRow]) -> None:
        """Take the list: one class per clip; a clip listed again is filtered as a duplicate."""
        for row in rows:
            if isinstance(row, BadRow):
                self.bad.append(row)
            elif row.clip_id in self.kept:
                self.filtered.append((row.clip_id, row.label, "duplicate"))
            else:
                self.kept[row.clip_id] = row.label
        self.funnel.append(("clips listed", len(self.kept)))


def select_vggsound(recipe: BenchmarkRecipe, vggsound: Path, vggsounder: Path) -> Selection:
    """Apply a recipe to VGGSound's test list and VGGSounder's annotations.

    With ``only_av_label`` and without flags this rule gives exactly the 363 clips of
    VGGSound-Animal from VGGSounder 0.1.6: extra classes that are only heard or only seen are allowed.
    """
    chosen = Selection()
    listed = list(read_vggsound(vggsound))
    chosen.start(listed)
    train = {r.clip_id for r in listed if isinstance(r, LabelledClip) and r.split == "train"}
    if train:
        chosen.keep_if("in the test split", "train_split", lambda c, label: c not in train)
    both: dict[str, set[str]] = defaultdict(set)
    flags: dict[str, set[str]] = defaultdict(set)
    doubtful: set[str | None] = set()
    for row in read_vggsounder(vggsounder):
        if isinstance(row, BadRow):
            chosen.bad.append(row)
            doubtful.add(row.clip_id)
            continue
        flags[row.clip_id] |= row.flags
        if row.modality == "AV":
            both[row.clip_id].add(row.label)
    if recipe.classes:
        classes = set(recipe.classes)
        chosen.keep_if("in the classes", "class_not_wanted", lambda c, label: label in classes)
    if doubtful:
        chosen.keep_if("annotation can be read", "annotation_broken", lambda c, label: c not in doubtful)
    if recipe.only_av_label:
        chosen.keep_if("annotated in VGGSounder", "not_annotated", lambda c, label: c in flags)
        chosen.keep_if(
            "own class is the only one heard and seen", "other_av_labels", lambda c, label: both[c] == {label}
        )
    for flag in recipe.without_flags:
        chosen.keep_if(f"without {flag.replace('_', ' ')}", flag, lambda c, label, f=flag: f not in flags[c])  # type: ignore[misc]
    _cap(chosen, recipe)
    return chosen


def select_audioset(recipe: BenchmarkRecipe, segments: Path, classes: Path, ontology: Path) -> Selection:
    """Apply a recipe to AudioSet segments: clips with exactly one most specific class below its branches."""
    tree = Ontology(ontology)
    labels: dict[str, list[str]] = defaultdict(list)
    chosen = Selection()
    for row in read_audioset(segments, read_classes(classes)):
        if isinstance(row, BadRow):
            chosen.bad.append(row)
        else:
            labels[row.clip_id].append(row.label)
    included, excluded = tree.below(recipe.branches), tree.below(recipe.without_branches)
    sources = {
        clip: tree.most_specific([x for x in names if not recipe.branches or x in included])
        for clip, names in labels.items()
    }
    chosen.start(LabelledClip(0, clip, names[0] if len(names) == 1 else "") for clip, names in sources.items())
    if recipe.without_branches:
        chosen.keep_if(
            "no class of the unwanted branches", "unwanted_branch", lambda c, label: not excluded & set(labels[c])
        )
    chosen.keep_if("exactly one most specific class", "not_one_class", lambda c, label: label != "")
    if recipe.classes:
        listed = set(recipe.classes)
        chosen.keep_if("in the classes", "class_not_wanted", lambda c, label: label in listed)
    _cap(chosen, recipe)
    return chosen


def _cap(chosen: Selection, recipe: BenchmarkRecipe) -> None:
    """Draw at most ``per_class`` of a class and ``total`` in all; a clip's rank depends on that clip alone."""

    def rank(clip: str) -> tuple[int, str]:
        return derive_seed("benchmark", recipe.seed, clip), clip

    if recipe.per_class:
        by_class: dict[str, list[str]] = defaultdict(list)
        for clip, label in chosen.kept.items():
            by_class[label].append(clip)
        drawn = {c for clips in by_class.values() for c in sorted(clips, key=rank)[: recipe.per_class]}
        chosen.keep_if(f"at most {recipe.per_class} of a class", "class_is_full", lambda c, label: c in drawn)
    if recipe.total:
        first = set(sorted(chosen.kept, key=rank)[: recipe.total])
        chosen.keep_if(f"at most {recipe.total} in all", "benchmark_is_full", lambda c, label: c in first)
