"""Counterfactual pairs: a clip edited in one modality, its twin coded the same way, and the same questions of both."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import replace

from avcurate.media.edit import NEEDS_DONOR, SOUND_EDITS, Edit
from avcurate.seeds import derive_seed
from avcurate.tasks.benchmark.gather import HALF
from avcurate.tasks.benchmark.item import Item
from avcurate.tasks.benchmark.knowledge import OTHER, Known, Modality, World
from avcurate.tasks.benchmark.lone import Refused, onsets, order_item
from avcurate.tasks.benchmark.phrases import YES_NO, near, wording
from avcurate.tasks.benchmark.recipe import HallucinationBenchmarkRecipe

TRIES = 40
# a frozen or blurred stretch is noticed only in a picture that moves, a black one only in a picture that is lit
LEAST_MOTION, LEAST_LIGHT = 1.0, 24.0
QUESTION_OF = {"mute": "gap", "freeze": "freeze", "black": "black", "blur": "blur"}
Yield = tuple[Item, Item]


class Pairs:
    """Makes the pairs; what could not be made is in ``refused`` afterwards."""

    def __init__(self, world: World, recipe: HallucinationBenchmarkRecipe) -> None:
        self.world, self.recipe = world, recipe
        self.refused: list[Refused] = []
        self._shown = [c for c in world.clips if c.row["media"] is not None]

    def items(self) -> Iterator[Item]:
        """All of them, edit by edit and clip by clip; twin and counterfactual follow each other."""
        for clip in self._shown:
            rng = random.Random(derive_seed("benchmark", self.recipe.seed, "edits", clip.name))
            wanted = rng.sample(self.recipe.edits, len(self.recipe.edits))
            made = 0
            for name in wanted:
                if made >= self.recipe.edits_per_clip:
                    break
                pairs = self._pairs(clip, name, rng)
                if isinstance(pairs, str):
                    self.refused.append((clip, name, "", pairs))
                    continue
                made += 1
                for twin, other in pairs:
                    yield twin
                    yield other

    def _pairs(self, clip: Known, name: str, rng: random.Random) -> list[Yield] | str:
        """Questions of one edit, each on both sides; or the reason why there are none."""
        if name in NEEDS_DONOR:
            return self._with_donor(clip, name, rng)
        if name in ("shift", "exchange_sound", "exchange_picture"):
            return self._out_of_step(clip, name, rng)
        return self._stretch(clip, name, rng)

    def _with_donor(self, clip: Known, name: str, rng: random.Random) -> list[Yield] | str:
        modality: Modality = "video" if name == "swap_picture" else "audio"
        for donor in rng.sample(self._shown, min(TRIES, len(self._shown))):
            if donor.row["source"] == clip.row["source"] or donor.row["media_sha256"] == clip.row["media_sha256"]:
                continue
            gone = [] if name == "mix" else self._only_in(clip, donor, modality)
            come = self._only_in(donor, clip, modality)
            if not come or (name != "mix" and not gone):
                continue
            edit = Edit(name, level_db=self.recipe.level_db) if name == "mix" else Edit(name)  # type: ignore[arg-type]
            task = "visible" if modality == "video" else "audible"
            pairs = []
            if gone:
                x = rng.choice(gone)
                why = clip.why_present(modality, x), f"{donor.why_absent(modality, x)}, which replaces it"
                pairs.append(self._both(clip, edit, donor, task, x, ("Yes", "No"), why, rng))
            y = rng.choice(come)
            why = clip.why_absent(modality, y), f"{donor.why_present(modality, y)}, which is put in"
            pairs.append(self._both(clip, edit, donor, task, y, ("No", "Yes"), why, rng))
            if name != "mix" and (match := self._match(clip, edit, donor, modality, rng)) is not None:
                pairs.append(match)
            return pairs + self._untouched(clip, edit, donor, rng)
        return "no_donor"

    def _only_in(self, one: Known, other: Known, modality: Modality) -> list[str]:
        """Names that one clip has and the other certainly has not, nor anything like it."""
        return [n for n in sorted(one.there[modality]) if self.world.refusal(other, modality, n) is None]

    def _match(self, clip: Known, edit: Edit, donor: Known, modality: Modality, rng: random.Random) -> Yield | None:
        """Whether sound and picture match: a thing is heard and seen, and the new track has nothing of the sort."""
        kept, other = OTHER[modality], donor
        shared = clip.there["audio"] & clip.there["video"]
        foreign = all(
            other.lacks(modality, n) and not any(near(n, m) for m in other.there[modality]) for n in clip.there[kept]
        )
        if not shared or not foreign or not clip.there[kept]:
            return None
        x = min(shared)
        why = (
            f"{x} is both heard and seen in {clip.name}",
            f"nothing {_verb(kept)} in {clip.name} is {_verb(modality)} in {donor.name}",
        )
        return self._both(clip, edit, donor, "match", None, ("Yes", "No"), why, rng)

    def _untouched(self, clip: Known, edit: Edit, donor: Known | None, rng: random.Random) -> list[Yield]:
        """A question on the modality that stays: its answer must stay too."""
        kept: Modality = "video" if edit.name in SOUND_EDITS else "audio"
        task = "visible" if kept == "video" else "audible"
        there = sorted(clip.there[kept])
        absent = [n for n in self.world.names(kept) if self.world.refusal(clip, kept, n) is None]
        # what the donor brings into the other modality is the tempting thing to see or hear here
        if donor is not None:
            brought = [n for n in absent if n in donor.there[OTHER[kept]]]
            absent = brought or absent
        pool = [(n, "Yes", clip.why_present(kept, n)) for n in there] if rng.random() < 0.5 else []
        pool = pool or [(n, "No", clip.why_absent(kept, n)) for n in absent]
        if not pool:
            return []
        name, answer, why = rng.choice(pool)
        return [self._both(clip, edit, donor, task, name, (answer, answer), (why, f"{why}; unchanged"), rng)]

    def _out_of_step(self, clip: Known, name: str, rng: random.Random) -> list[Yield] | str:
        """Sound or picture moved in time: not in step any more, and for sounds whose times are known another order."""
        seconds = float(clip.row["seconds"])
        offset = self.recipe.offset if name == "shift" else seconds / 2
        edit = Edit("shift", offset=offset) if name == "shift" else Edit(name)  # type: ignore[arg-type]
        if seconds < 2 * self.recipe.offset:
            return "clip_too_short"
        pairs = []
        if clip.row["synchronised"]:
            why = f"{clip.name} is synchronised", f"one track of it is moved by {offset:.2f} s"
            pairs.append(self._both(clip, edit, None, "in_step", None, ("Yes", "No"), why, rng))
        if name != "exchange_picture" and (item := order_item(clip, rng, self._several)) is not None:
            moved = _moved(clip, offset, seconds)
            x, y = item.choices
            if moved is not None and abs(moved[x] - moved[y]) >= HALF:
                answer = min((x, y), key=moved.__getitem__)
                then = f"then {answer} begins at {moved[answer]:.2f} s, the other at {max(moved[x], moved[y]):.2f} s"
                pairs.append(self._sides(item, edit, None, answer, then))
        return pairs + self._untouched(clip, edit, None, rng) if pairs else "times_unknown"

    def _stretch(self, clip: Known, name: str, rng: random.Random) -> list[Yield] | str:
        """A stretch muted, frozen, black or blurred; only where the same stretch of the clip itself is not."""
        seconds, length = float(clip.row["seconds"]), self.recipe.stretch
        starts = [i * HALF for i in range(1, int((seconds - length) / HALF))]
        fitting = [s for s in starts if self._lively(clip, name, s, s + length)]
        if not fitting:
            return "too_short_or_too_still" if name != "mute" else "too_short_or_too_quiet"
        begin = rng.choice(fitting)
        edit = Edit(name, begin=begin, end=begin + length)  # type: ignore[arg-type]
        why = (
            f"measured: {clip.name} has no such stretch",
            f"made so from {begin:.1f} to {begin + length:.1f} s",
        )
        pair = self._both(clip, edit, None, QUESTION_OF[name], None, ("No", "Yes"), why, rng)
        return [pair, *self._untouched(clip, edit, None, rng)]

    def _lively(self, clip: Known, name: str, begin: float, end: float) -> bool:
        """Whether an edit of a stretch would be noticed, and the clip has nothing like it elsewhere."""
        values = clip.row["level_db" if name == "mute" else "light" if name == "black" else "motion"]
        least = {"mute": self.recipe.audible_db, "black": LEAST_LIGHT}.get(name, LEAST_MOTION)
        inside = values[int(begin / HALF) : int(end / HALF)]
        # the last half second may be cut short
        return bool(inside) and min(inside) >= least and all(v >= least for v in values[:-1])

    @property
    def _several(self) -> bool:
        return self.recipe.wordings == "several"

    def _both(
        self,
        clip: Known,
        edit: Edit,
        donor: Known | None,
        task: str,
        name: str | None,
        answers: tuple[str, str],
        why: tuple[str, str],
        rng: random.Random,
    ) -> Yield:
        names = {} if name is None else {"x": name}
        text = wording(task, self._several, rng, **names)
        item = Item(clip, task, text, YES_NO, answers[0], why[0], name)
        return self._sides(item, edit, donor, answers[1], why[1])

    def _sides(self, item: Item, edit: Edit, donor: Known | None, answer: str, why: str) -> Yield:
        """The item on the twin, and on the counterfactual."""
        content = [item.clip.name, edit.record(), donor.name if donor else None, item.question, item.choices]
        pair = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
        twin = Edit("sound" if edit.name in SOUND_EDITS else "picture")
        shared = {"pair": pair, "changes": item.answer != answer}
        return (
            replace(item, edit=twin, side="twin", **shared),  # type: ignore[arg-type]
            replace(item, edit=edit, donor=donor, side="counterfactual", answer=answer, evidence=why, **shared),  # type: ignore[arg-type]
        )


def _verb(modality: Modality) -> str:
    return "heard" if modality == "audio" else "seen"


def _moved(clip: Known, offset: float, seconds: float) -> dict[str, float] | None:
    """When each thing first sounds once all comes later by ``offset``; ``None`` if the cut goes through an event."""
    cut = seconds - offset
    if any(e["start"] < cut < e["end"] for e in clip.row["events"]):
        return None
    first: dict[str, float] = {}
    for event in clip.row["events"]:
        start = (event["start"] + offset) % seconds
        first[event["name"]] = min(start, first.get(event["name"], start))
    return first if onsets(clip) else None
