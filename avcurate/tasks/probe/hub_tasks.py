"""The probes for hubs of both modalities as tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from avcurate.runner.rundir import RunDir
from avcurate.tasks.probe.hub_recipes import HubRecipe, SinksRecipe, TraceRecipe
from avcurate.tasks.probe.task import ProbeTask

if TYPE_CHECKING:
    from avcurate.tasks.probe.summary import Summary


def _sinks(recipe: HubRecipe) -> Any:
    from avcurate.attention.sinks import SinkOptions

    return SinkOptions(recipe.dims, recipe.tau, recipe.divide)


class ProbeSinks(ProbeTask[SinksRecipe]):
    """Find the sink tokens among sound and picture, and which of them gather one modality or both.

    Prints how many there are, how much attention the response pays them, and where they lie; draws the first rows' on
    frames and waveform. On clips that are described, --invented sets attention against what each caption invents.

    Examples:

      avcurate probe sinks QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --limit 200 -o runs/sinks

      avcurate probe sinks clips.csv --format clips --prompt caption@2 --media clips --invented runs/inv -o runs/s
    """

    name = "probe-sinks"
    recipe = SinksRecipe
    stage = "avcurate.tasks.probe.sinks:SinksStage"
    summary = "avcurate.tasks.probe.summaries_hubs:SinksSummary"

    def options(self, recipe: SinksRecipe) -> dict[str, Any]:
        """How sinks are identified."""
        return {"sinks": _sinks(recipe), "objects": recipe.objects}

    def check(self, recipe: SinksRecipe) -> None:
        """Refuse a run that is none of `hallucination`."""
        if recipe.input.invented is not None:
            RunDir(recipe.input.invented).require("hallucination", made_by="hallucination")

    def _summary(self, run: RunDir, record: dict[str, Any]) -> Summary:
        from avcurate.tasks.probe.summaries_hubs import SinksSummary

        invented = run.path_of("invented", record)
        return SinksSummary(record["recipe"], None if invented is None else shares_invented(RunDir(invented)))

    def draw(self, run: RunDir) -> None:
        """Where the sinks of the first rows lie."""
        from avcurate.tasks.probe.page import EXAMPLES
        from avcurate.tasks.probe.sink_pictures import draw_sinks

        draw_sinks(run, EXAMPLES)


def shares_invented(run: RunDir) -> dict[tuple[str, str], float | None]:
    """Share of a caption's objects that it invents, by clip and caption; ``None`` where it names none."""
    shares: dict[tuple[str, str], float | None] = {}
    for table in run.parts("hallucination").rows(columns=["clip_id", "caption", "named", "right"]):
        for row in table.to_pylist():
            share = 1 - row["right"] / row["named"] if row["named"] else None
            shares[str(row["clip_id"]), row["caption"].strip()] = share
    return shares


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
