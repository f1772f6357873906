"""Summaries of the probes that read states and probabilities: ``lens``, ``shift``, ``entropy``, ``preference``."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

import numpy as np

from avcurate.tasks.probe.summary import Summary, Table, group_of

RANKS = ((1, 1, "1"), (2, 3, "2 to 3"), (4, 10, "4 to 10"), (11, 1 << 40, "over 10"))


class LensSummary(Summary):
    """Latent recall: concepts that hidden states hold, against chance and against what is said."""

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        for entry in row["probed"]:
            for of, where, what in (
                ("audio", "in_audio", "sound"),
                ("video", "in_video", "picture"),
                ("either", "in_audio", "answer, at sound"),
                ("either", "in_video", "answer, at picture"),
            ):
                concepts = [c for c in entry["concepts"] if c["of"] == of]
                self._recall(row, entry, concepts, where, what)

    def _recall(self, row: dict[str, Any], entry: dict[str, Any], concepts: list[Any], where: str, what: str) -> None:
        condition = entry["condition"]
        for present, name in ((True, what), (False, f"{what}, absent (chance)")):
            chosen = [c for c in concepts if c["present"] is present]
            if not chosen or not entry["at_audio" if where == "in_audio" else "at_video"][0]:
                continue
            curves = self.curves(f"Concepts recalled by layer: {condition}", "layer", "share of concepts")
            for place, layer in enumerate(entry["layers"]):
                curves.add(name, layer, sum(c[where][place] for c in chosen) / len(chosen))
            held = [any(c[where]) for c in chosen]
            self.measure(f"{condition}: {name}, recalled in any layer", row, sum(held) / len(held))
            if present:
                told = [c["said"] for c in chosen]
                kept = [h and not t for h, t in zip(held, told, strict=True)]
                self.measure(f"{condition}: {what}, said", row, sum(told) / len(told))
                self.measure(f"{condition}: {what}, recalled and not said", row, sum(kept) / len(kept))


class ShiftSummary(Summary):
    """Divergence from the base and its rank of each token."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__(recipe)
        self._words: dict[str, list[tuple[float, int]]] = defaultdict(list)

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        for entry in row["probed"]:
            kl, rank = np.array(entry["kl"], dtype=np.float64), np.array(entry["rank"])
            condition = entry["condition"]
            self.measure(f"{condition}: KL from the base, nats", row, float(kl.mean()))
            for low, high, name in RANKS:
                share = float(((rank >= low) & (rank <= high)).mean())
                self.measure(f"{condition}: tokens of rank {name} under the base", row, share)
            self.by_position(f"Divergence over the response: {condition}", "KL, nats", "all", kl)
            for tag, k, r in zip(entry["speech"] or [], kl, rank, strict=False):
                self._words[f"{condition}: {tag or 'no word'}"].append((float(k), int(r)))

    def tables(self) -> list[Table]:
        """By kind of word, where a tagger is installed."""
        rows = [
            [tag, f"{len(v):,}", f"{np.mean([k for k, _ in v]):.3f}", f"{np.mean([r == 1 for _, r in v]):.1%}"]
            for tag, v in sorted(self._words.items())
        ]
        columns = ["word", "tokens", "KL, nats", "rank 1"]
        return [{"title": "By kind of word", "columns": columns, "rows": rows}] if rows else []


class EntropySummary(Summary):
    """Entropy with and without the modality, and their difference."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__(recipe)
        self._words: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        name = self.recipe["without"]
        for entry in row["probed"]:
            full, less = (np.array(entry[k], dtype=np.float64) for k in ("entropy", "without"))
            condition, delta = entry["condition"], less - full
            self.measure(f"{condition}: entropy, nats", row, float(full.mean()))
            self.measure(f"{condition}: entropy without {name}", row, float(less.mean()))
            self.measure(f"{condition}: differential entropy", row, float(delta.mean()))
            if group := group_of(row):
                self.measure(f"{condition}: differential entropy, {group} questions", row, float(delta.mean()))
            title = f"Entropy over the response: {condition}"
            self.by_position(title, "nats", "with", full)
            self.by_position(title, "nats", f"without {name}", less)
            right = "right answers" if entry["correct"] else "wrong answers"
            self.by_position(f"Differential entropy over the response: {condition}", "nats", right, delta)
            for tag, f, d in zip(entry["speech"] or [], full, delta, strict=False):
                self._words[f"{condition}: {tag or 'no word'}"].append((float(f), float(d)))

    def tables(self) -> list[Table]:
        """By part of speech, where a tagger is installed (MAPO Figure 7)."""
        rows = [
            [tag, f"{len(v):,}", f"{np.mean([f for f, _ in v]):.3f}", f"{np.mean([d for _, d in v]):+.3f}"]
            for tag, v in sorted(self._words.items())
        ]
        columns = ["word", "tokens", "entropy, nats", "differential entropy"]
        return [{"title": "By part of speech", "columns": columns, "rows": rows}] if rows else []


class PreferenceSummary(Summary):
    """Which modality answers follow where they conflict, and where in the model that is decided."""

    FOLLOWS: ClassVar = ("audio", "video", "neither", "unreadable")

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        for entry in row["probed"]:
            for name in self.FOLLOWS:
                self.measure(f"answer follows {name}", row, float(entry["follows"] == name))
            if entry["margin"] is None:
                continue
            curves = self.curves("Margin of the sound's answer over the picture's", "layer", "logits")
            agree = self.curves("Hidden states lean to the answer that is given", "layer", "share of questions")
            for layer, margin in enumerate(entry["margin"]):
                curves.add(f"follows {entry['follows']}", layer, margin)
                if entry["follows"] in ("audio", "video"):
                    agree.add("agrees", layer, float((margin > 0) == (entry["follows"] == "audio")))
            self.measure("margin in the last layer, logits", row, entry["margin"][-1])
