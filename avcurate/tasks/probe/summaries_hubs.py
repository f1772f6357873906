"""Summaries of the probes for hubs of both modalities: ``trace`` and ``sinks``."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from avcurate.metrics.statistics import mean_interval, rank_correlations
from avcurate.tasks.probe.summary import Summary, Table

SINKS = {"uni": "uni-modal sinks", "cross": "cross-modal sinks"}
GROUPS = SINKS | {"object": "object tokens that are no sinks", "rest": "neither"}
TOPS = (0.01, 0.05, 0.1, 0.25, 0.5)
CELLS = 20
ATTENTION = {"cross-modal sinks": "to_cross", "uni-modal sinks": "to_uni", "object tokens": "to_objects"}


class TraceSummary(Summary):
    """Indirect effects by token set, corrupted modality and window; how the effect is spread over single tokens."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__(recipe)
        self._effects: dict[tuple[str, str], list[tuple[float, float, float, float]]] = defaultdict(list)
        self._held: dict[str, list[float]] = defaultdict(list)
        self._shares: dict[str, list[float]] = defaultdict(list)
        self._members: dict[str, list[float]] = defaultdict(list)

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        entries = row["probed"]
        layers = max(e["end"] or 0 for e in entries)
        for entry in entries:
            corrupted, name = entry["corrupted"], entry["set"]
            if name == "each":
                self._each(entry)
                continue
            clean, corr = effects(entry["restored"], entry["broken"])
            whole = entry["end"] is None or (entry["first"], entry["end"]) == (0, layers)
            if whole:
                kept = float(entry["answer"] == entries[0]["answer"])
                self._effects[corrupted, name].append((clean, corr, kept, float(entry["patched"])))
                self.measure(f"{corrupted} corrupted, {name}: IE on the clean answer, x100", row, clean)
            else:
                title = f"Effect of windows of {entry['end'] - entry['first']} layers: {corrupted} corrupted"
                heat = self.heat(title, "first layer", "IE on the clean answer, x100")
                heat.add(name, str(entry["first"]), clean)

    def _each(self, entry: dict[str, Any]) -> None:
        """How much of the sum of the single effects (those above 0) the top tokens hold, and who they are."""
        gains = np.array([max(0.0, t["restored"][0] - entry["broken"][0]) for t in entry["tokens"]])
        if not gains.sum():
            return
        groups = [max(set(t["groups"]), key=t["groups"].count) for t in entry["tokens"]]
        order = np.argsort(-gains, kind="stable")
        for share in TOPS:
            count = max(1, round(share * len(gains)))
            self._held[f"top {share:.0%}"].append(float(gains[order[:count]].sum() / gains.sum()))
        top = order[: max(1, round(0.1 * len(gains)))]
        for group in GROUPS:
            of_group = np.array([g == group for g in groups])
            self._shares[group].append(float(gains[of_group].sum() / gains.sum()))
            self._members[group].append(float(of_group[top].mean()))

    def tables(self) -> list[Table]:
        """Effects by set (paper's Tables 1 to 3), and by single tokens."""
        rows = []
        for (corrupted, name), values in self._effects.items():
            clean, corr, kept, patched = (np.array(c) for c in zip(*values, strict=True))
            rows.append(
                [
                    corrupted,
                    name,
                    str(len(clean)),
                    f"{patched.mean():.0f}",
                    *(cell for c in (clean, corr) for cell in _effect(c)),
                    f"{kept.mean():.1%}",
                ]
            )
        columns = ["corrupted", "tokens", "n", "patched", "IE clean", "95 %", "IE corrupted", "95 %", "clean answer"]
        made = [{"title": "Indirect effects, x100, all layers patched", "columns": columns, "rows": rows}]
        if self._held:
            rows = [[k, str(len(v)), f"{np.mean(v):.1%}"] for k, v in self._held.items()]
            columns = ["tokens by effect", "n", "share of the single effects"]
            made.append({"title": "Tokens patched one by one", "columns": columns, "rows": rows})
            rows = [[GROUPS[g], f"{np.mean(self._shares[g]):.1%}", f"{np.mean(self._members[g]):.1%}"] for g in GROUPS]
            columns = ["group", "share of the single effects", "of the top 10 % of tokens"]
            made.append({"title": "Who holds the single effects", "columns": columns, "rows": rows})
        return made


def effects(restored: list[float], broken: list[float]) -> tuple[float, float]:
    """(IE on the clean answer, IE on the corrupted answer), times 100.

    The first is what the patch gives the clean answer's probability, the second what it takes from the corrupted one's.
    """
    return 100 * (restored[0] - broken[0]), 100 * (broken[1] - restored[1])


def _effect(values: Any) -> tuple[str, str]:
    low, high = mean_interval(values)
    return f"{values.mean():+.2f}", f"{low:+.2f} to {high:+.2f}"


class SinksSummary(Summary):
    """Counts of sinks, attention that responses pay them, and where they lie."""

    def __init__(self, recipe: dict[str, Any], invented: dict[tuple[str, str], float | None] | None = None) -> None:
        super().__init__(recipe)
        self._invented = invented
        self._pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._unpaired = 0
        self._counts: dict[tuple[str, str], list[tuple[float, float, float]]] = defaultdict(list)
        self._rules: dict[str, int] = defaultdict(int)

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        for entry in row["probed"]:
            self._rules[f"dimensions {', '.join(map(str, entry['dims']))}; τ {entry['tau']:.4g}"] += 1
            self.measure("sinks among media tokens", row, float(len(entry["sinks"])))
            self.measure("places that sinks of any kind took", row, float(entry["places"]))
            self._pair(row, entry)
            for name, key in (("media", "to_media"), ("uni-modal sinks", "to_uni"), ("cross-modal sinks", "to_cross")):
                self.measure(f"attention of the response to {name}", row, entry[key])
            # runs made before object tokens were known have none
            if entry.get("objects"):
                self.measure("object tokens", row, float(entry["objects"]))
                self.measure("attention of the response to object tokens", row, entry["to_objects"])
                if entry["sinks"]:
                    share = float(np.mean([s["object"] for s in entry["sinks"]]))
                    self.measure("share of the sinks that are object tokens", row, share)
            for of in ("audio", "video"):
                for group in ("uni", "cross"):
                    ours = [s for s in entry["sinks"] if s["of"] == of and s["group"] == group]
                    mds = float(np.mean([s["mds"] for s in ours])) if ours else float("nan")
                    share = len(ours) / entry["media"][of] if entry["media"][of] else float("nan")
                    self._counts[of, group].append((float(len(ours)), share, mds))
                    curves = self.curves(f"Where {of} sinks lie", "place among the modality's tokens, %", "sinks")
                    places = np.array([s["place"] for s in ours], dtype=np.float64)
                    cells = np.bincount((places * CELLS).astype(int).clip(0, CELLS - 1), minlength=CELLS)
                    for i, count in enumerate(cells):
                        curves.add(SINKS[group], (i + 0.5) * 100 / CELLS, float(count))

    def tables(self) -> list[Table]:
        """Sinks by modality and group, and the rule that found them."""
        rows = []
        for (of, group), values in self._counts.items():
            count, share, mds = np.array(values).T
            scored = mds[np.isfinite(mds)]
            score = f"{scored.mean():+.3f}" if len(scored) else "–"
            shared = share[np.isfinite(share)]
            of_tokens = f"{shared.mean():.1%}" if len(shared) else "–"
            rows.append([of, SINKS[group], str(len(count)), f"{count.mean():.1f}", of_tokens, score])
        columns = ["tokens", "group", "questions", "sinks", "of the modality's tokens", "mean modality score"]
        rules = [[rule, str(n)] for rule, n in self._rules.items()]
        return [
            *self._against_invention(),
            {"title": "Sinks by group", "columns": columns, "rows": rows},
            {"title": "How sinks were identified", "columns": ["rule", "responses"], "rows": rules},
        ]

    def _pair(self, row: dict[str, Any], entry: dict[str, Any]) -> None:
        """A caption's attention beside the share of its objects that it invents; only of the very same caption."""
        if self._invented is None:
            return
        share = self._invented.get((row["video_id"], entry["text"].strip()))
        if share is None:
            self._unpaired += 1
            return
        for name, key in ATTENTION.items():
            if entry.get(key) is not None and entry["to_media"]:
                self._pairs[name].append((entry[key] / entry["to_media"], share))

    def _against_invention(self) -> list[Table]:
        rows = []
        for name, pairs in self._pairs.items():
            paid, invented = np.array(pairs).T
            ranked = rank_correlations(paid, invented)["spearman"]
            value, interval = ranked["value"], ranked["interval"]
            means = [f"{x.mean():.1%}" if len(x) else "–" for x in (paid[invented > 0], paid[invented == 0])]
            low, high = interval if isinstance(interval, list) else (None, None)
            rows.append(
                [
                    name,
                    str(len(paid)),
                    *means,
                    "–" if not isinstance(value, float) else f"{value:+.3f}",
                    "–" if low is None or high is None else f"{low:+.3f} to {high:+.3f}",
                ]
            )
        if self._invented is None:
            return []
        title = f"Share of the attention to media, against what captions invent ({self._unpaired} left out)"
        columns = ["to", "captions", "where some is invented", "where none is", "Spearman", "95 %"]
        return [{"title": title, "columns": columns, "rows": rows}]

    def figures(self) -> list[dict[str, Any]]:
        """Curves, and a point for each caption."""
        points = [
            {"name": name, "points": [list(p) for p in pairs]} for name, pairs in self._pairs.items() if len(pairs) > 1
        ]
        title, x, y = "A point for each caption", "share of the attention to media", "share of its objects invented"
        scatter = [{"kind": "scatter", "title": title, "x": x, "y": y, "series": points}] if points else []
        return scatter + super().figures()
