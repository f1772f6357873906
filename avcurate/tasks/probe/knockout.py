"""``probe knockout``: what becomes of answers when attention is cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from avcurate.attention.cut import Cut
from avcurate.attention.plan import Plan
from avcurate.media.decode import DecodedClip
from avcurate.runner.stage import Row
from avcurate.tasks.probe.stage import ProbeStage


def windows(rules: Sequence[Cut], layers: int, size: int, step: int) -> list[Cut]:
    """Each rule in each window of the layers that it names; a size of 0 leaves rules as they are.

    The last window ends at the last of these layers, whatever the step.

    Raises:
        UserError: a rule begins after the last layer.
    """
    cuts = []
    for rule in rules:
        whole = rule.within(layers)
        end = whole.end or layers
        starts = list(range(rule.first, max(rule.first + 1, end - size + 1), step)) if size else [rule.first]
        if size and starts[-1] + size < end:
            starts.append(end - size)
        cuts += [replace(rule, first=s, end=min(s + size, end) if size else end) for s in starts]
    return cuts


class KnockoutStage(ProbeStage):
    """Answers under each cut, and what the cut model makes of the response that the whole one gave (see/hear §4.2)."""

    probe = "knockout"

    def __init__(self, *arguments: Any, rules: Sequence[str], window: int, step: int, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.rules, self.window, self.step = [Cut.parse(r) for r in rules], window, step

    def depends(self) -> dict[str, Any]:
        """Cuts and windows."""
        return {"cuts": [str(r) for r in self.rules], "window": self.window, "step": self.step}

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]]:
        """One entry for the whole model, with no cut, and one for each cut, under each condition."""
        cuts = windows(self.rules, self.omni.decoder_layers, self.window, self.step)
        entries = []
        for whole in self.answers(row, clip):
            reading = self.reading(whole)
            likely = reading.log_probability()
            entries.append(whole.row() | _cut(None) | {"whole": likely, "without": likely, "changed": False})
            for cut in cuts:
                (under,) = self.answers(row, clip, [whole.condition], [cut])
                without = reading.log_probability(Plan(reading.plain_kinds, [cut]))
                changed = {"whole": likely, "without": without, "changed": under.ids != whole.ids}
                entries.append(under.row() | _cut(cut) | changed)
        return entries


def _cut(cut: Cut | None) -> dict[str, Any]:
    if cut is None:
        return {"cut": None, "first": None, "end": None}
    return {"cut": f"{cut.query}->{cut.keys}", "first": cut.first, "end": cut.end}
