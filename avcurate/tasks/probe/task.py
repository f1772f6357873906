"""The probes as tasks: questions in, what was read inside the model out."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from avcurate.engines.open import open_engine
from avcurate.errors import UserError
from avcurate.media.folder import MediaFolder
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import stage_counts
from avcurate.tasks.asking import question_source
from avcurate.tasks.base import Context, Task
from avcurate.tasks.conditions import conditions_of, swapped_folder
from avcurate.tasks.probe.recipe import (
    AttentionRecipe,
    EntropyRecipe,
    KnockoutRecipe,
    LensRecipe,
    MaskingRecipe,
    PreferenceRecipe,
    ProbeRecipe,
    ShiftRecipe,
)

if TYPE_CHECKING:
    from rich.console import Console

    from avcurate.tasks.probe.summary import Summary

P = TypeVar("P", bound=ProbeRecipe)


class ProbeTask(Task[P], Generic[P]):
    """What all probes share.

    Attributes:
        stage: ``module:class`` of its stage, imported when it runs, because it needs torch.
        summary: ``module:class`` of its summary.
    """

    stage: ClassVar[str]
    summary: ClassVar[str]

    def plan(self, recipe: P, context: Context) -> Job:
        """Questions, and the one stage that answers and reads."""
        inputs = recipe.input
        assert inputs.media is not None
        stage_name = f"probe_{self.name.removeprefix('probe-')}"
        if inputs.against is not None:
            RunDir(inputs.against).require(stage_name, made_by=self.name.replace("-", " ", 1))
        self.check(recipe)
        folder = MediaFolder(inputs.media, inputs.media_pattern)
        if inputs.swapped is not None:
            folder = swapped_folder(inputs.swapped, recipe.variant, inputs.media, inputs.media_pattern)
        engine = context.engine or open_engine(recipe.model, recipe.layout == "interleaved")
        try:
            stage = _imported(self.stage)
        except ImportError as e:
            raise UserError(f"probes need {e.name}.", "Install it: pip install 'avcurate[transformers]'.") from None
        conditions = conditions_of(recipe.conditions, recipe.prompt)
        options = self.options(recipe)
        made = stage(engine, recipe.spec(), conditions, folder.root, workers=recipe.run.threads, **options)
        return Job(question_source(inputs, folder), (made,))

    @abstractmethod
    def options(self, recipe: P) -> dict[str, Any]:
        """Further arguments of the stage."""

    def check(self, recipe: P) -> None:
        """Refuse further inputs that are not what they should be.

        Raises:
            UserError: one is not.
        """

    def draw(self, run: RunDir) -> None:
        """Write pictures that the page shows."""

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """Measures with intervals, tables and figures; with another run also paired differences."""
        from avcurate.tasks.probe.summary import measured

        other = run.path_of("against")
        ours = self._read(run)
        theirs = self._read(RunDir(other)) if other is not None else None
        record = run.record()
        return {
            "run": str(run.root),
            "model": record["recipe"]["model"]["model"],
            "measures": measured(ours.measures, theirs.measures if theirs else None),
            "tables": ours.tables(),
            "figures": ours.figures(),
            "against": str(other) if other else None,
            "stages": stage_counts(record),
        }

    def _read(self, run: RunDir) -> Summary:
        record = run.require(f"probe_{self.name.removeprefix('probe-')}", made_by=self.name.replace("-", " ", 1))
        summary = self._summary(run, record)
        columns = ["question_id", "video_id", "stated_modality", "probed"]
        for table in run.parts(f"probe_{self.name.removeprefix('probe-')}").rows(columns=columns):
            for row in table.to_pylist():
                summary.add(row)
        return summary

    def _summary(self, run: RunDir, record: dict[str, Any]) -> Summary:
        summary: Summary = _imported(self.summary)(record["recipe"])
        return summary

    def show(self, summary: dict[str, Any], console: Console) -> None:
        """Print measures and tables."""
        from avcurate.tasks.probe.page import print_probe

        print_probe(summary, console)

    def page(self, run: RunDir, summary: dict[str, Any]) -> Path:
        """``report.html``: figures, tables, and responses with their tokens beside the clip."""
        from avcurate.tasks.probe.page import write_probe

        self.draw(run)
        return write_probe(run, self.name, summary)


class ProbeAttention(ProbeTask[AttentionRecipe]):
    """Show where a response's attention goes: sound, picture, question or its own words, by layer and by token.

    Writes the share of every layer per token (mean and maximum over heads), and per head from each kind of query.

    Example: avcurate probe attention QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --limit 200 -o runs/attention
    """

    name = "probe-attention"
    recipe = AttentionRecipe
    stage = "avcurate.tasks.probe.attention:AttentionStage"
    summary = "avcurate.tasks.probe.summaries_attention:AttentionSummary"

    def options(self, recipe: AttentionRecipe) -> dict[str, Any]:
        """None."""
        return {}


class ProbeKnockout(ProbeTask[KnockoutRecipe]):
    """Cut attention from some tokens to others, in all layers or a window of them, and see which answers survive.

    Prints right answers with and without each cut, paired, and the log-probability that the response loses.

    Example: avcurate probe knockout QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --window 7 --step 3 -o runs/cuts
    """

    name = "probe-knockout"
    recipe = KnockoutRecipe
    stage = "avcurate.tasks.probe.knockout:KnockoutStage"
    summary = "avcurate.tasks.probe.summaries_attention:KnockoutSummary"

    def options(self, recipe: KnockoutRecipe) -> dict[str, Any]:
        """Cuts and windows."""
        return {"rules": recipe.cuts, "window": recipe.window, "step": recipe.step}


class ProbeLens(ProbeTask[LensRecipe]):
    """Decode hidden states at sound, picture and response, and find what the model heard and did not say.

    --concepts names words for what is in each clip; as many that are not in it measure chance.

    Example: avcurate probe lens QA.json --media clips --concepts concepts.jsonl -m Qwen/Qwen2.5-Omni-7B -o runs/lens
    """

    name = "probe-lens"
    recipe = LensRecipe
    stage = "avcurate.tasks.probe.lens:LensStage"
    summary = "avcurate.tasks.probe.summaries_tokens:LensSummary"

    def options(self, recipe: LensRecipe) -> dict[str, Any]:
        """Concepts, and how states are decoded."""
        return {"concepts": recipe.concepts, "top": recipe.top, "norm": recipe.norm}


class ProbeShift(ProbeTask[ShiftRecipe]):
    """Measure how far a response's tokens have moved from a base model: divergence, and the base's rank of each.

    Example: avcurate probe shift QA.json --media clips -m runs/mapo/model --base Qwen/Qwen2.5-Omni-7B -o runs/shift
    """

    name = "probe-shift"
    recipe = ShiftRecipe
    stage = "avcurate.tasks.probe.shift:ShiftStage"
    summary = "avcurate.tasks.probe.summaries_tokens:ShiftSummary"

    def options(self, recipe: ShiftRecipe) -> dict[str, Any]:
        """The base."""
        return {"base": recipe.base, "dtype": recipe.model.dtype}


class ProbeEntropy(ProbeTask[EntropyRecipe]):
    """Compare each token's entropy with and without a modality: which words depend on it (MAPO Figure 7).

    Example: avcurate probe entropy QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --without audio -o runs/entropy
    """

    name = "probe-entropy"
    recipe = EntropyRecipe
    stage = "avcurate.tasks.probe.entropy:EntropyStage"
    summary = "avcurate.tasks.probe.summaries_tokens:EntropySummary"

    def options(self, recipe: EntropyRecipe) -> dict[str, Any]:
        """The modality."""
        return {"without": recipe.without}


class ProbePreference(ProbeTask[PreferenceRecipe]):
    """On clips whose sound and picture are answered differently: which one the answer follows, and in which layer.

    Example: avcurate probe preference QA.json --media clips --swapped runs/swap -m Qwen/Qwen2.5-Omni-7B -o runs/prefer
    """

    name = "probe-preference"
    recipe = PreferenceRecipe
    stage = "avcurate.tasks.probe.preference:PreferenceStage"
    summary = "avcurate.tasks.probe.summaries_tokens:PreferenceSummary"

    def options(self, recipe: PreferenceRecipe) -> dict[str, Any]:
        """None."""
        return {}


class ProbeMasking(ProbeTask[MaskingRecipe]):
    """Silence the sound that attention ranks first, and random sound of equal length: does attention find what counts?

    The difference is MAPO's attention causal score (ACS). --answering lets another engine answer.

    Example: avcurate probe masking QA.json --media clips -m Qwen/Qwen2.5-Omni-7B --answering vllm -o runs/masking
    """

    name = "probe-masking"
    recipe = MaskingRecipe
    stage = "avcurate.tasks.probe.masking:MaskingStage"
    summary = "avcurate.tasks.probe.summaries_attention:MaskingSummary"

    def options(self, recipe: MaskingRecipe) -> dict[str, Any]:
        """How sound is ranked and silenced, and who answers."""
        answering = None
        if recipe.answering is not None:
            spec = recipe.model.model_copy(update={"engine": recipe.answering, "options": {}})
            answering = open_engine(spec, recipe.layout == "interleaved")
        chosen = {"shares": recipe.shares, "draws": recipe.draws, "block": recipe.block, "last": recipe.last}
        return chosen | {"silence": recipe.silence, "answering": answering}


def _imported(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
