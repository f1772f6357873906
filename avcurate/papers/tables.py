"""Tables in the shape of the papers': their columns, their averages, and a dash for what no run gives.

Denominators are those of the runs' own summaries: every question that was to be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avcurate.errors import UserError
from avcurate.metrics.evaluation import AVH, MIS, VAH, overall_average
from avcurate.runner.rundir import RunDir
from avcurate.tasks.evaluate.summary import summarise_eval
from avcurate.tasks.run import task_of

Cell = float | None
Named = Mapping[str, Sequence[RunDir]]
TASKS = {"VAH": VAH, "AVH": AVH, "MIS": MIS}
SOURCES = {"AVQA": ("avqa",), "Valor2": ("valor32k-avqa", "valor32k-avqa-v1"), "MUSIC-AVQA": ("music-avqa",)}
HEARD = {"MMAU": "mmau", "MMAR": "mmar", "MMSU": "mmsu", "MMAU-P": "mmau-pro"}


@dataclass(frozen=True)
class PaperTable:
    """A table: columns after the row's name, and rows of values in [0, 1] (or as the column says)."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    def as_text(self, places: int = 2) -> list[list[str]]:
        """Per cent with two places, as the papers print them."""
        return [[name, *("–" if v is None else f"{100 * v:.{places}f}" for v in cells)] for name, cells in self.rows]


@dataclass(frozen=True)
class Layout:
    """How a table is made of named runs."""

    about: str
    made_by: str
    build: Callable[[Named], PaperTable]


def _evals(runs: Sequence[RunDir]) -> list[tuple[str, dict[str, Any]]]:
    """(source of the questions, summary) of eval runs."""
    read = []
    for run in runs:
        columns = ["source"]
        sources = {s for t in run.parts("questions").rows(columns=columns) for s in t.column(0).to_pylist()}
        read.append((min(sources) if len(sources) == 1 else "", summarise_eval(run)))
    return read


def _condition(summary: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    conditions: dict[str, Any] = summary["conditions"]
    return next((conditions[n] for n in names if n in conditions), {})


def _benchmarks(runs: Sequence[RunDir], names: Sequence[str] = ("av",)) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for source, summary in _evals(runs):
        condition = _condition(summary, names)
        tasks = condition.get("tasks", {})
        cells |= {short: tasks[task]["accuracy"] for short, task in TASKS.items() if task in tasks}
        if "avhbench" in condition:
            cells["AVHBench"] = condition["avhbench"]
        cells |= {
            name: condition["all"]["accuracy"] for name, known in SOURCES.items() if source in known and condition
        }
    return cells


def sffl_1(named: Named) -> PaperTable:
    """SFFL Tables 1, 4 and 5: AVHBench by task with its average, three benchmarks, the average of the four."""
    columns = ("VAH", "AVH", "MIS", "AVHBench", *SOURCES)
    rows = []
    for name, runs in named.items():
        cells = _benchmarks(runs)
        four = [cells.get(c) for c in ("AVHBench", *SOURCES)]
        known = [v for v in four if v is not None]
        rows.append((name, (*(cells.get(c) for c in columns), overall_average(*known) if len(known) == 4 else None)))
    return PaperTable("SFFL Table 1", ("VAH", "AVH", "MIS", "Avg.", *SOURCES, "Avg."), tuple(rows))


SETTINGS = {
    "Audio-only input": "a",
    "Video-only input": "v",
    "AV input": "av",
    "AV input, PEM=Audio": "av+Audio",
    "AV input, PEM=Visual": "av+Visual",
    "AV input, PEM=Audio-Visual": "av+Audio-Visual",
}


def _by_conditions(title: str, rows: Mapping[str, str], named: Named, pem: bool) -> PaperTable:
    made = []
    for name, runs in named.items():
        summaries = [s for _, s in _evals(runs)]
        for label, condition in rows.items():
            measures: dict[str, Any] = next(
                (s["conditions"][condition] for s in summaries if condition in s["conditions"]), {}
            )
            tasks = measures.get("tasks", {})
            cells = [tasks[t]["accuracy"] if t in tasks else None for t in TASKS.values()]
            row = label if len(named) == 1 else f"{name}: {label}"
            made.append((row, (*((measures.get("pem_accuracy"),) if pem else ()), *cells)))
    return PaperTable(title, (*(("PEM Acc.",) if pem else ()), *TASKS), tuple(made))


def sffl_2(named: Named) -> PaperTable:
    """SFFL Table 2: six inference settings; runs under one name are put together."""
    return _by_conditions("SFFL Table 2", SETTINGS, named, pem=False)


def sffl_3(named: Named) -> PaperTable:
    """SFFL Table 3: where the PEM comes from."""
    sources = {"Random": "random", "Oracle-PEM": "oracle", "Predicted-PEM": "av"}
    return _by_conditions("SFFL Table 3", sources, named, pem=True)


def mapo_1(named: Named) -> PaperTable:
    """MAPO Table 1: four benchmarks that only hear, and their mean; by the benchmark's own rule where there is one."""
    rows = []
    for name, runs in named.items():
        cells: dict[str, Cell] = {}
        for source, summary in _evals(runs):
            condition = _condition(summary, ("a", "av"))
            official = condition.get("official", {}).get("accuracy")
            ours = condition["all"]["accuracy"] if condition else None
            cells |= {c: ours if official is None else official for c, known in HEARD.items() if known == source}
        known = [cells.get(c) for c in HEARD]
        values = [v for v in known if v is not None]
        rows.append((name, (*known, sum(values) / 4 if len(values) == 4 else None)))
    return PaperTable("MAPO Table 1", (*HEARD, "Avg."), tuple(rows))


def seehear(named: Named) -> PaperTable:
    """See/hear: fidelity to sound and to picture; each row's drop against the first, relative."""
    from avcurate.tasks.judge.summary import summarise_judge

    rows: list[tuple[str, tuple[Cell, ...]]] = []
    first: tuple[Cell, ...] | None = None
    for name, (run, *_) in named.items():
        run.require("judge", made_by="judge")
        summary = summarise_judge(run)
        cells: tuple[Cell, ...] = (summary["audio"]["mean"], summary["video"]["mean"])
        first = first or cells
        drops = tuple(None if not b or v is None else (b - v) / b for v, b in zip(cells, first, strict=True))
        rows.append((name, (*cells, *drops)))
    return PaperTable("See/hear, fidelity", ("audio", "video", "audio drop", "video drop"), tuple(rows))


def hubs(named: Named) -> PaperTable:
    """crossmodal-hub: hallucination of captions, by decoder or model."""
    from avcurate.tasks.hallucination.summary import summarise_hallucination

    rows = []
    for name, (run, *_) in named.items():
        run.require("hallucination", made_by="hallucination")
        summary = summarise_hallucination(run)
        values = [summary["measures"][k]["value"] for k in ("chair_s", "chair_i", "f1")]
        rows.append((name, (*values, summary["aloha"]["mean"])))
    return PaperTable("crossmodal-hub, captions", ("CHAIRs", "CHAIRi", "F1", "ALOHa"), tuple(rows))


LAYOUTS: dict[str, Layout] = {
    "sffl-1": Layout("SFFL Tables 1, 4, 5: AVHBench, AVQA, Valor32k-AVQA, MUSIC-AVQA", "eval", sffl_1),
    "sffl-2": Layout("SFFL Table 2: six inference settings on AVHBench", "eval", sffl_2),
    "sffl-3": Layout("SFFL Table 3: random, oracle and predicted PEM on AVHBench", "eval", sffl_3),
    "mapo-1": Layout("MAPO Table 1: MMAU, MMAR, MMSU, MMAU-Pro", "eval", mapo_1),
    "seehear": Layout("See/hear: fidelity of captions, factual against counterfactual", "judge", seehear),
    "hubs": Layout("crossmodal-hub: CHAIR, F1, ALOHa of captions", "hallucination", hubs),
}


def paper_table(layout: str, named: Named) -> PaperTable:
    """A table of named runs.

    Raises:
        UserError: there is no such layout, or a run is of another task or not finished.
    """
    if layout not in LAYOUTS:
        raise UserError(f"there is no table {layout!r}.", f"Tables are: {', '.join(LAYOUTS)}.")
    wanted = LAYOUTS[layout].made_by
    for run in (r for runs in named.values() for r in runs):
        task = task_of(run).name
        if task != wanted:
            raise UserError(f"{run.root} is a run of {task}; {layout} is made of runs of {wanted}.", "Give other runs.")
    return LAYOUTS[layout].build(named)
