"""The probes for hubs of both modalities as tasks."""

from __future__ import annotations

from typing import Any

from avcurate.tasks.probe.hub_recipes import HubRecipe, SinksRecipe, TraceRecipe
from avcurate.tasks.probe.task import ProbeTask


def _sinks(recipe: HubRecipe) -> Any:
    from avcurate.attention.sinks import SinkOptions

    return SinkOptions(recipe.dims, recipe.tau, recipe.divide)


class ProbeSinks(ProbeTask[SinksRecipe]):
    """Find the sink tokens among sound and picture, and which of them gather one modality or both.

    Prints how many there are, how much attention the response pays them, and where they lie.

    Example: avcurate probe sinks QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --limit 200 -o runs/sinks
    """

    name = "probe-sinks"
    recipe = SinksRecipe
    stage = "avcurate.tasks.probe.sinks:SinksStage"
    summary = "avcurate.tasks.probe.summaries_hubs:SinksSummary"

    def options(self, recipe: SinksRecipe) -> dict[str, Any]:
        """How sinks are identified."""
        return {"sinks": _sinks(recipe), "objects": recipe.objects}


class ProbeTrace(ProbeTask[TraceRecipe]):
    """Corrupt a modality, put clean hidden states back at some tokens, and see how much of the answer returns.

    Prints indirect effects, times 100, for each token set; by window of layers with --window, by token with --each.

    Example: avcurate probe trace QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --window 10 --step 2 -o runs/trace
    """

    name = "probe-trace"
    recipe = TraceRecipe
    stage = "avcurate.tasks.probe.trace:TraceStage"
    summary = "avcurate.tasks.probe.summaries_hubs:TraceSummary"

    def options(self, recipe: TraceRecipe) -> dict[str, Any]:
        """What is corrupted and patched."""
        named = ("corrupt", "how", "site", "sets", "window", "step", "each")
        return {name: getattr(recipe, name) for name in named} | {"sinks": _sinks(recipe), "objects": recipe.objects}
