"""Summaries of the probes that read or change attention: ``attention``, ``knockout`` and ``masking``."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.attention.kinds import WRITTEN, Kind
from avcurate.metrics.pem import said_pem
from avcurate.metrics.statistics import paired_interval
from avcurate.tasks.probe.summary import Summary, Table, group_of, stretches

READ_KINDS: dict[str, tuple[Kind, ...]] = {
    "audio": (Kind.AUDIO,),
    "video": (Kind.VIDEO,),
    "query": (Kind.QUERY,),
    "template": (Kind.TEMPLATE, Kind.START),
    "generated": WRITTEN,
}


class AttentionSummary(Summary):
    """Allocation by layer, mass over position, shares by kind of query, both descriptions during ``<sum>``."""

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        for entry in row["probed"]:
            mean, peak = (np.array(entry[k], dtype=np.float64) for k in ("mean", "peak"))
            condition, layers = entry["condition"], entry["layers"]
            for name, kinds in READ_KINDS.items():
                share = mean[:, :, list(kinds)].sum(-1)
                by_layer = self.curves(
                    f"Attention of the response by layer: {condition}", "layer", "share, mean of heads"
                )
                for layer, value in zip(layers, share.mean(1), strict=True):
                    by_layer.add(name, layer, float(value))
                if name in ("audio", "video") and share.any():
                    self._modality(row, condition, name, share, peak[:, :, int(kinds[0])])
            self._sources(condition, np.array(entry["heads"], dtype=np.float64))
            self._fusion(row, entry, mean)

    def _modality(
        self, row: dict[str, Any], condition: str, name: str, share: NDArray[np.float64], peak: NDArray[np.float64]
    ) -> None:
        last = min(int(self.recipe["last"]), len(peak))
        what = {"audio": "sound", "video": "picture"}[name]
        self.measure(f"{condition}: share on {what}", row, float(share.mean()))
        self.measure(
            f"{condition}: mass on {what}, last {last} layers, maximum of heads", row, float(peak[-last:].mean())
        )
        if group := group_of(row):
            self.measure(f"{condition}: share on {what}, {group} questions", row, float(share.mean()))
        title = f"Mass over the response: {condition}"
        self.by_position(title, f"mass, maximum of heads, mean of the last {last} layers", name, peak[-last:].mean(0))
        heat = self.heat(f"Share on {what}, layer by position: {condition}", "position in the response, %", "share")
        for layer in range(len(share)):
            for place, value in stretches(share[layer]):
                heat.add(f"layer {layer}", f"{place:g}", value)

    def _sources(self, condition: str, heads: NDArray[np.float64]) -> None:
        matrix = heads.mean((0, 1)).reshape(len(Kind), len(Kind))
        heat = self.heat(
            f"Who reads whom, all layers and heads: {condition}", "keys", "share of each query's attention"
        )
        for source in Kind:
            if matrix[source].sum() > 0 and source is not Kind.PAD:
                for key in Kind:
                    if key is not Kind.PAD and matrix[:, key].any():
                        heat.add(_kind(source), _kind(key), float(matrix[source, key]))

    def _fusion(self, row: dict[str, Any], entry: dict[str, Any], mean: NDArray[np.float64]) -> None:
        """SFFL Figure 3: while it fuses, how a response divides its attention between its two descriptions."""
        kinds = np.array(entry["kinds"])
        queries = np.flatnonzero(kinds[:-1] == Kind.FUSION) + 1
        if not len(queries):
            return
        read = mean[-int(self.recipe["fusion_layers"]) :, queries].mean((0, 1))
        both = read[Kind.VISUAL_TRACE] + read[Kind.AUDIO_TRACE]
        if both > 0:
            pem = said_pem(entry["text"])
            name = f"{entry['condition']}: <a> of <v> and <a> during <sum>"
            self.measure(f"{name}, {pem or 'no PEM'} named", row, float(read[Kind.AUDIO_TRACE] / both))


def _kind(kind: Kind) -> str:
    return kind.name.lower().replace("_", " ")


class KnockoutSummary(Summary):
    """Answers and log-probabilities under each cut, against the same questions without it."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__(recipe)
        self._right: dict[tuple[str, str, str], dict[str, tuple[float, float]]] = defaultdict(dict)

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        whole = {e["condition"]: e for e in row["probed"] if e["cut"] is None}
        for condition, entry in whole.items():
            self.measure(f"{condition}: right, nothing cut", row, float(entry["correct"]))
        for entry in row["probed"]:
            if entry["cut"] is None:
                continue
            before, condition = whole[entry["condition"]], entry["condition"]
            label = f"{entry['cut']}:{entry['first']}-{entry['end']}"
            lost = entry["whole"] - entry["without"]
            self.measure(f"{condition}: right under {label}", row, float(entry["correct"]))
            self.measure(f"{condition}: log-probability lost per token under {label}", row, lost)
            for group in ("all", group_of(row)):
                if group is not None:
                    pair = float(entry["correct"]), float(before["correct"])
                    self._right[condition, label, group][str(row["question_id"])] = pair
            if self.recipe["window"]:
                middle = (entry["first"] + entry["end"] - 1) / 2
                x = f"middle of a window of {self.recipe['window']} layers"
                right = self.curves(f"Right answers by window: {condition}", x, "share right")
                right.add(entry["cut"], middle, float(entry["correct"]))
                self.curves(f"Log-probability lost by window: {condition}", x, "nats per token").add(
                    entry["cut"], middle, lost
                )

    def tables(self) -> list[Table]:
        """Paired differences, for all questions and by the modality that decides them."""
        rows = []
        for (condition, label, group), pairs in self._right.items():
            under, before = (np.array(x) for x in zip(*pairs.values(), strict=True))
            difference, low, high = paired_interval(under, before)
            rows.append(
                [
                    condition,
                    label,
                    group,
                    str(len(under)),
                    f"{before.mean():.1%}",
                    f"{under.mean():.1%}",
                    f"{100 * difference:+.1f}",
                    f"{100 * low:+.1f} to {100 * high:+.1f}",
                ]
            )
        columns = ["condition", "cut", "questions", "n", "right before", "right under it", "difference", "95 %"]
        return [{"title": "Right answers under each cut", "columns": columns, "rows": rows}]


class MaskingSummary(Summary):
    """Accuracy with sound silenced, and ACS: what silencing at random leaves and silencing by attention takes."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__(recipe)
        self._acs: dict[tuple[str, float, str], dict[str, tuple[float, float]]] = defaultdict(dict)

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        right: dict[tuple[str, str, float], list[float]] = defaultdict(list)
        for entry in row["probed"]:
            right[entry["condition"], entry["way"], round(entry["share"], 6)].append(float(entry["correct"]))
        for (condition, way, share), values in right.items():
            value = sum(values) / len(values)
            if way == "whole":
                self.measure(f"{condition}: right, whole sound", row, value)
                continue
            self.measure(f"{condition}: right, {way} {share:.0%} silenced", row, value)
            self.curves(f"Right answers with sound silenced: {condition}", "share silenced, %", "share right").add(
                way, round(100 * share, 4), value
            )
            if way == "random":
                top = right[condition, "top", share][0]
                # MAPO's figures fit a count over questions that are right with the whole sound: both are shown
                solved = "right before" if right[condition, "whole", 0.0][0] else None
                for group in ("all", solved, group_of(row)):
                    if group is not None:
                        self._acs[condition, share, group][str(row["question_id"])] = value, top

    def tables(self) -> list[Table]:
        """ACS at each share (MAPO §4.4)."""
        rows = []
        for (condition, share, group), pairs in sorted(self._acs.items()):
            random, top = (np.array(x) for x in zip(*pairs.values(), strict=True))
            acs, low, high = paired_interval(random, top)
            rows.append([condition, f"{share:.0%}", group, str(len(top)), f"{acs:+.3f}", f"{low:+.3f} to {high:+.3f}"])
        columns = ["condition", "silenced", "questions", "n", "ACS", "95 %"]
        title = "ACS: right answers with random spans silenced minus those with top-ranked spans silenced"
        return [{"title": title, "columns": columns, "rows": rows}]
