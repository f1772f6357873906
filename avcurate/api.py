"""The Python API: run a task, open a run, look at its rows. The same tasks, recipes and guarantees as the command line.

    import avcurate as av
    run = av.label_pem("val_qa.json", media="clips", out="runs/pem", model="Qwen/Qwen3-Omni-30B-A3B-Instruct")
    run.mix
    run.to_pandas()
    av.open_run("runs/pem").relabel(tau_acc=0.875)

Options have the names of the command's flags, with underscores; any other field of the recipe goes into
``settings``, e.g. ``settings={"sampling.top_p": 0.9}``. Calling a function again resumes its run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.errors import UserError
from avcurate.recipe import Argument
from avcurate.runner.rundir import RunDir
from avcurate.runner.status import dead_rows, run_status, stage_counts
from avcurate.tasks import TASKS
from avcurate.tasks.base import Context, Task
from avcurate.tasks.options import options_of
from avcurate.tasks.run import load_recipe, run_task, task_of

if TYPE_CHECKING:
    import datasets
    import pandas as pd
    import pyarrow as pa

PathLike = str | Path


class Run:
    """A run directory, opened for reading."""

    def __init__(self, path: PathLike) -> None:
        """Open a run.

        Raises:
            UserError: there is no run at ``path``.
        """
        self._dir = RunDir(Path(path))
        self._task: Task[Any] = task_of(self._dir, self._dir.record())()

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._dir.root

    @property
    def task(self) -> str:
        """The task that made it, e.g. ``label-pem``."""
        return self._task.name

    @property
    def record(self) -> dict[str, Any]:
        """``run.json``: recipe, inputs, versions, counts."""
        return self._dir.record()

    @property
    def tables(self) -> list[str]:
        """The names of its tables, first to last."""
        return [parts.name for parts in self._dir.tables(self.record).values()]

    def rows(self, table: str | None = None, columns: list[str] | None = None) -> pa.Table:
        """Kept rows of a table, by default the last one; every part read is verified.

        Raises:
            UserError: the table does not exist or has no rows yet, or a part is damaged.
        """
        import pyarrow as pa

        name = table or self.tables[-1]
        if name not in self.tables:
            raise UserError(f"{self.path} has no table {name!r}.", f"It has: {', '.join(self.tables)}.")
        parts = self._dir.parts(name)
        if unknown := sorted(set(columns or ()) - set(parts.columns())):
            raise UserError(f"{name} has no column {unknown[0]!r}.", f"It has: {', '.join(parts.columns())}.")
        batches = list(parts.rows(columns=columns))
        if not batches:
            raise UserError(f"the table {name} of {self.path} has no rows yet.", "Run the task until it finishes.")
        return pa.concat_tables(batches)

    def to_pandas(self, table: str | None = None, columns: list[str] | None = None) -> pd.DataFrame:
        """:meth:`rows` as a data frame; needs pandas."""
        frame: pd.DataFrame = self.rows(table, columns).to_pandas()
        return frame

    def to_datasets(self, table: str | None = None, columns: list[str] | None = None) -> datasets.Dataset:
        """:meth:`rows` as a Hugging Face dataset; needs ``avcurate[hf]``."""
        import datasets

        return datasets.Dataset(self.rows(table, columns))

    def dead(self) -> list[dict[str, Any]]:
        """Dead rows, each with reason, message, next step and the command that reproduces it."""
        return dead_rows(self._dir)

    def status(self) -> dict[str, Any]:
        """State, and counts of every stage."""
        return run_status(self._dir)

    @cached_property
    def _summary(self) -> dict[str, Any]:
        return self._task.summarise(self._dir) | {"stages": stage_counts(self.record)}

    def summary(self) -> dict[str, Any]:
        """Summary of the run, as the command prints it with ``--json``."""
        return self._summary

    @property
    def mix(self) -> dict[str, int]:
        """Number of questions per label; ``label-pem`` runs only.

        Raises:
            UserError: it is a run of another task.
        """
        if "labels" not in self._summary:
            raise UserError(f"a {self.task} run has no labels.", "Open a run of label-pem.")
        labels: dict[str, int] = self._summary["labels"]
        return labels

    def relabel(self, tau_acc: float | None = None, tau_cot: float | None = None) -> dict[str, Any]:
        """Relabel a ``label-pem`` run with other thresholds, without a model; returns what changed.

        Raises:
            UserError: nothing has been scored yet.
        """
        from avcurate.tasks.label_pem.relabel import relabel_run

        changed = relabel_run(self._dir, tau_acc, tau_cot)
        self.__dict__.pop("_summary", None)
        return changed

    def show(self) -> Path | None:
        """Print the summary and write the run's page; return its path if the task has one."""
        from avcurate.report.terminal import console, print_funnel

        print_funnel(stage_counts(self.record))
        self._task.show(self._summary, console())
        return self._task.page(self._dir, self._summary)

    def __repr__(self) -> str:
        return f"<{self.task} run {str(self.path)!r}: {self.status()['state']}>"


def open_run(path: PathLike) -> Run:
    """Open an existing run, finished or not.

    Raises:
        UserError: there is no run at ``path``.
    """
    return Run(path)


def run(
    task: str,
    *inputs: PathLike,
    out: PathLike,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    **options: Any,
) -> Run:
    """Run or resume any task by name, including tasks of plug-ins.

    Args:
        inputs: the positional arguments of the command, e.g. the annotation file.
        out: run directory.
        recipe: name or file; by default the task's own.
        settings: fields of the recipe by dotted path.
        force: redo what was made with other settings.
        options: flags of the command, with underscores: ``media``, ``model``, ``n``, ``limit``, …

    Raises:
        UserError: an invalid option, input or recipe; see :mod:`avcurate.errors` for the others.
        TypeError: an option the command does not have.
    """
    task_type = TASKS.get(task)
    options_by_name = {o.name: o for o in options_of(task_type.recipe)}
    positional = [o for o in options_by_name.values() if isinstance(o.flag, Argument)]
    if len(inputs) > len(positional):
        raise TypeError(f"{task} takes {len(positional)} positional inputs, not {len(inputs)}")
    given = {o.name: value for o, value in zip(positional, inputs, strict=False)} | options
    if unknown := sorted(set(given) - set(options_by_name)):
        raise TypeError(f"{task} has no option {unknown[0]!r}; it has {', '.join(sorted(options_by_name))}")
    changes = {options_by_name[name].path: str(v) if isinstance(v, Path) else v for name, v in given.items()}
    loaded = load_recipe(task_type, recipe, changes | dict(settings or {}))
    run_task(task_type, loaded, Context(Path(out)), force=force)
    return Run(out)


def label_pem(annotations: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Label each question's Preferred Evidence Modality; see :func:`run` and ``avcurate label-pem --help``."""
    return run("label-pem", annotations, out=out, **options)


def evaluate(annotations: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Evaluate a model under A, V, AV and forced PEMs; see :func:`run` and ``avcurate eval --help``."""
    return run("eval", annotations, out=out, **options)


def caption(clips: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Describe clips under A, V and AV; see :func:`run` and ``avcurate caption --help``."""
    return run("caption", clips, out=out, **options)


def dominance(*clips: PathLike, out: PathLike, **options: Any) -> Run:
    """Find clips that one modality decides; see :func:`run` and ``avcurate dominance --help``."""
    return run("dominance", *clips, out=out, **options)


def objects(*clips: PathLike, out: PathLike, **options: Any) -> Run:
    """List what is in the picture of every clip; see :func:`run` and ``avcurate objects --help``."""
    return run("objects", *clips, out=out, **options)


def hallucination(captions: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Measure what captions hallucinate; see :func:`run` and ``avcurate hallucination --help``."""
    return run("hallucination", captions, out=out, **options)


def pair(captions: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Pair each picture with a sound that contradicts it; see :func:`run` and ``avcurate pair --help``."""
    return run("pair", captions, out=out, **options)


def swap(pairs: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Make counterfactual clips; see :func:`run` and ``avcurate swap --help``."""
    return run("swap", pairs, out=out, **options)


def judge(captions: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Score captions for sound and picture; see :func:`run` and ``avcurate judge --help``."""
    return run("judge", captions, out=out, **options)


def grade(evaluation: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Score the answers of a finished evaluation with a judge; see :func:`run` and ``avcurate grade --help``."""
    return run("grade", evaluation, out=out, **options)


def leak(annotations: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Find questions that text, picture or sound alone answers; see :func:`run` and ``avcurate leak --help``."""
    return run("leak", annotations, out=out, **options)


def benchmark_hallucination(evidence: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Build a hallucination benchmark; see :func:`run` and ``avcurate benchmark hallucination --help``."""
    return run("benchmark-hallucination", evidence, out=out, **options)


def probe(name: str, annotations: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Look inside a model: ``attention``, ``knockout``, ``lens``, ``shift``, ``entropy``, ``preference``, ``masking``.

    See :func:`run` and ``avcurate probe NAME --help``. Needs ``avcurate[transformers]``.
    """
    return run(f"probe-{name}", annotations, out=out, **options)


def train_on(shards: PathLike, *, out: PathLike, **options: Any) -> Run:
    """Train on curated shards; see :func:`run` and ``avcurate train --help``. Needs ``avcurate[train]``."""
    return run("train", shards, out=out, **options)
