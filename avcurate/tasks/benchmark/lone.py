"""Questions on clips as they are: is it visible, is it making sound, which of four, which comes first."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from avcurate.seeds import derive_seed
from avcurate.tasks.benchmark.item import Item
from avcurate.tasks.benchmark.knowledge import NEGATIVES, OTHER, Known, Modality, World
from avcurate.tasks.benchmark.phrases import YES_NO, near, wording
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe

SENSE: dict[str, Modality] = {"visible": "video", "audible": "audio", "which_seen": "video", "which_heard": "audio"}
PER_KIND = 3
FREQUENT = 10
CHOICES = 4
LEAST_GAP = 0.5
Refused = tuple[Known, str, str, str]
"""A clip, a task, a name, and the reason why it is not asked."""


@dataclass(frozen=True)
class Candidate:
    """A name that may be asked about in a clip."""

    clip: Known
    name: str
    negative: str | None


class Lone:
    """Makes the questions; what is left out is in ``refused`` afterwards."""

    def __init__(self, world: World, recipe: HallucinationBenchmarkRecipe) -> None:
        self.world, self.recipe = world, recipe
        self.refused: list[Refused] = []
        self._asked: dict[str, int] = defaultdict(int)
        self._frequent = {m: world.names(m)[:FREQUENT] for m in OTHER.values()}
        self._names = {m: world.names(m) for m in OTHER.values()}

    def items(self) -> Iterator[Item]:
        """All of them, balanced; first those that few clips allow, before a clip has its maximum."""
        tasks = self.recipe.tasks
        if "order" in tasks:
            yield from self._orders()
        for task in ("which_heard", "which_seen"):
            if task in tasks:
                yield from self._choices(task)
        for task in ("visible", "audible"):
            if task in tasks:
                yield from self._balanced(task)

    def negatives(self, clip: Known, modality: Modality, rng: random.Random) -> dict[str, list[str]]:
        """Names that are absent, by how they were chosen; each once, under the hardest kind."""
        pools = {
            "cross": sorted(clip.there[OTHER[modality]] - clip.there[modality]),
            "adversarial": self.world.company(clip, modality)[: 4 * PER_KIND],
            "frequent": self._frequent[modality],
            "random": self._names[modality],
        }
        chosen: dict[str, list[str]] = {}
        taken: set[str] = set()
        for kind in NEGATIVES:
            pool = [n for n in pools[kind] if n not in taken and n not in clip.there[modality]]
            if kind in ("frequent", "random"):
                pool = rng.sample(pool, min(len(pool), PER_KIND))
            kept: list[str] = []
            for name in pool:
                reason = self.world.refusal(clip, modality, name)
                if reason is not None:
                    self.refused.append((clip, modality, name, reason))
                elif len(kept) < PER_KIND or kind == "cross":
                    kept.append(name)
            chosen[kind] = kept
            taken.update(kept)
        return chosen

    def _rng(self, *parts: object) -> random.Random:
        return random.Random(derive_seed("benchmark", self.recipe.seed, *parts))

    def _balanced(self, task: str) -> Iterator[Item]:
        """As many Yes as No for every name, negatives of all kinds in turn."""
        modality = SENSE[task]
        yes: dict[str, list[Candidate]] = defaultdict(list)
        no: dict[str, dict[str, list[Candidate]]] = defaultdict(lambda: {k: [] for k in NEGATIVES})
        for clip in self.world.clips:
            for name in sorted(clip.there[modality]):
                yes[name].append(Candidate(clip, name, None))
            for kind, names in self.negatives(clip, modality, self._rng("negatives", task, clip.name)).items():
                for name in names:
                    no[name][kind].append(Candidate(clip, name, kind))
        names = sorted(yes.keys() | no.keys())
        self._rng("names", task).shuffle(names)
        count = 0
        for name in names:
            rng = self._rng("balance", task, name)
            present, absent = yes[name], no[name]
            for pool in (present, *absent.values()):
                rng.shuffle(pool)
            for _ in range(self.recipe.per_object):
                if self.recipe.questions and count >= self.recipe.questions:
                    break
                pair = self._next(present, absent, count)
                if pair is None:
                    break
                count += 1
                for candidate in pair:
                    self._asked[candidate.clip.name] += 1
                    yield self._existence(task, modality, candidate)
            left = [*present, *(c for pool in absent.values() for c in pool)]
            self.refused += [(c.clip, task, name, "unbalanced") for c in left]

    def _next(
        self, present: list[Candidate], absent: dict[str, list[Candidate]], turn: int
    ) -> tuple[Candidate, Candidate] | None:
        """A Yes and a No whose clips have room left; the kinds of No take turns."""
        yes = self._with_room(present)
        if yes is None:
            return None
        order = [NEGATIVES[(turn + i) % len(NEGATIVES)] for i in range(len(NEGATIVES))]
        for kind in order:
            no = self._with_room(absent[kind])
            if no is not None:
                absent[kind].remove(no)
                present.remove(yes)
                return yes, no
        return None

    def _with_room(self, pool: list[Candidate]) -> Candidate | None:
        return next((c for c in pool if self._asked[c.clip.name] < self.recipe.per_clip), None)

    def _existence(self, task: str, modality: Modality, candidate: Candidate) -> Item:
        clip, name = candidate.clip, candidate.name
        there = candidate.negative is None
        return Item(
            clip,
            task,
            wording(task, self.recipe.wordings == "several", self._rng("wording", task, clip.name, name), x=name),
            YES_NO,
            "Yes" if there else "No",
            clip.why_present(modality, name) if there else clip.why_absent(modality, name),
            name,
            candidate.negative,
        )

    def _choices(self, task: str) -> Iterator[Item]:
        modality = SENSE[task]
        for clip in self.world.clips:
            rng = self._rng("choice", task, clip.name)
            there = sorted(clip.there[modality])
            if not there or not self._room(clip, task, ""):
                continue
            right = rng.choice(there)
            wrong: list[str] = []
            for names in self.negatives(clip, modality, rng).values():
                for name in names:
                    if len(wrong) < CHOICES - 1 and not any(near(name, w) for w in (right, *wrong)):
                        wrong.append(name)
            if len(wrong) < CHOICES - 1:
                self.refused.append((clip, task, right, "too_few_distractors"))
                continue
            choices = rng.sample([right, *wrong], CHOICES)
            text = wording(task, self.recipe.wordings == "several", rng)
            why = "; ".join([clip.why_present(modality, right), *(clip.why_absent(modality, w) for w in wrong)])
            self._asked[clip.name] += 1
            yield Item(clip, task, text, tuple(choices), right, why, right)

    def _room(self, clip: Known, task: str, name: str) -> bool:
        room = self._asked[clip.name] < self.recipe.per_clip
        if not room:
            self.refused.append((clip, task, name, "clip_has_enough"))
        return room

    def _orders(self) -> Iterator[Item]:
        for clip in self.world.clips:
            rng = self._rng("order", clip.name)
            item = order_item(clip, rng, self.recipe.wordings == "several")
            if item is not None and self._room(clip, "order", ""):
                self._asked[clip.name] += 1
                yield item


def onsets(clip: Known) -> dict[str, float]:
    """When each thing first sounds, seconds."""
    first: dict[str, float] = {}
    for event in clip.row["events"]:
        first[event["name"]] = min(event["start"], first.get(event["name"], event["start"]))
    return first


def order_item(clip: Known, rng: random.Random, several: bool, first: dict[str, float] | None = None) -> Item | None:
    """Which of two sounds comes first; ``None`` without two that begin clearly apart.

    ``first`` replaces the clip's own onsets, where its sound was edited.
    """
    first = onsets(clip) if first is None else first
    names = sorted(first)
    pairs = [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if abs(first[a] - first[b]) >= LEAST_GAP and not near(a, b)
    ]
    if not pairs:
        return None
    x, y = rng.sample(rng.choice(pairs), 2)
    answer = min((x, y), key=first.__getitem__)
    why = f"{answer} begins at {first[answer]:.2f} s in {clip.name}, the other at {max(first[x], first[y]):.2f} s"
    return Item(clip, "order", wording("order", several, rng, x=x, y=y), (x, y), answer, why, f"{x} / {y}")
