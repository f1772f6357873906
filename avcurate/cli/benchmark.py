"""``benchmark``: clips from published lists, and questions on clips whose sound and picture are known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avcurate.cli.commands import command_of
from avcurate.cli.console import bar, print_json
from avcurate.tasks.benchmark.task import HallucinationBenchmark

if TYPE_CHECKING:
    from avcurate.tasks.benchmark.rebuild import Checked

app = typer.Typer(
    help="Build benchmarks: clips from published lists, hallucination and counterfactual questions.",
    no_args_is_help=True,
)
app.command("hallucination")(command_of(HallucinationBenchmark))
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the benchmark.")]
Folder = Annotated[Path, typer.Argument(help="Folder of a benchmark: RUN/benchmark of `benchmark hallucination`.")]
Workers = Annotated[int, typer.Option("--workers", help="Number of clips made or read in parallel.", min=1)]
VggSound = Annotated[Path, typer.Option("--vggsound", help="VGGSound's csv (the test list, or the whole release).")]
VggSounder = Annotated[Path, typer.Option("--vggsounder", help="VGGSounder's csv (0.1.x labels, or 1.0).")]


@app.command("vggsound-animal")
def vggsound_animal(
    vggsound: VggSound,
    vggsounder: VggSounder,
    out: Out,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Recipe with the rules, by name or file.")
    ] = "vggsound-animal",
    json_out: Json = False,
) -> None:
    """Select clips of 27 animal classes whose own class alone is heard and seen; no music, stills or voice-over.

    Yields the 363 clips of VGGSound-Animal from VGGSounder 0.1.6.

    Example: avcurate benchmark vggsound-animal --vggsound test.csv --vggsounder vggsounder.csv -o animal
    """
    _vggsound(recipe, vggsound, vggsounder, out, json_out)


@app.command("vggsound-all")
def vggsound_all(
    vggsound: VggSound,
    vggsounder: VggSounder,
    out: Out,
    recipe: Annotated[
        str, typer.Option("--recipe", "-r", help="Recipe with the rules, by name or file.")
    ] = "vggsound-all",
    json_out: Json = False,
) -> None:
    """Apply the same rule to every class, at most 10 clips of each, drawn with the recipe's seed.

    Example: avcurate benchmark vggsound-all --vggsound test.csv --vggsounder vggsounder.csv -o all
    """
    _vggsound(recipe, vggsound, vggsounder, out, json_out)


@app.command("audioset")
def audioset(
    segments: Annotated[Path, typer.Option("--segments", help="AudioSet segments csv, e.g. eval_segments.csv.")],
    classes: Annotated[Path, typer.Option("--classes", help="class_labels_indices.csv.")],
    ontology: Annotated[Path, typer.Option("--ontology", help="ontology.json.")],
    out: Out,
    recipe: Annotated[str, typer.Option("--recipe", "-r", help="Recipe with the rules, by name or file.")] = "audioset",
    json_out: Json = False,
) -> None:
    """Select AudioSet clips with exactly one most specific sounding object, capped per class and in total.

    Example: avcurate benchmark audioset --segments eval_segments.csv --classes class_labels_indices.csv
    --ontology ontology.json -o audioset
    """
    from avcurate.benchmark.build import select_audioset
    from avcurate.benchmark.rules import load_benchmark
    from avcurate.benchmark.write import write_benchmark

    rules = load_benchmark(recipe)
    chosen = select_audioset(rules, segments, classes, ontology)
    _show(write_benchmark(out, rules, chosen, [segments, classes, ontology]), out, json_out)


@app.command("verify")
def verify(
    folder: Folder,
    media: Annotated[
        Path | None, typer.Option("--media", help="Folder of the originals, to check those as well.")
    ] = None,
    workers: Workers = 2,
    json_out: Json = False,
) -> None:
    """Check that the questions and clips of a benchmark, and the originals, are what its manifest says.

    Example: avcurate benchmark verify runs/hallucination/benchmark --media clips
    """
    from avcurate.tasks.benchmark.rebuild import read_manifest
    from avcurate.tasks.benchmark.rebuild import verify as check

    total = len(read_manifest(folder)["files"])
    _settle(folder, total, check(folder, media, workers), json_out)


@app.command("rebuild")
def rebuild(
    folder: Folder,
    media: Annotated[Path, typer.Option("--media", help="Folder of the originals.")],
    workers: Workers = 2,
    json_out: Json = False,
) -> None:
    """Make the clips of a benchmark from your own copies of the originals.

    Files that are there and unchanged are left; originals that are missing or changed are named.

    Example: avcurate benchmark rebuild hallucination --media clips
    """
    from avcurate.tasks.benchmark.rebuild import read_manifest
    from avcurate.tasks.benchmark.rebuild import rebuild as make

    total = len(read_manifest(folder)["files"])
    _settle(folder, total, make(folder, media, workers), json_out)


def _settle(folder: Path, total: int, checked: Iterator[Checked], json_out: bool) -> None:
    """Count states and list what is wrong; exit code 1 if anything is."""
    states: Counter[str] = Counter()
    wrong: list[Checked] = []
    with bar("clips", total, "clips") as progress:
        for done, one in enumerate(checked, 1):
            states[one.state] += 1
            wrong += [one] if one.message else []
            progress(done)
    if json_out:
        print_json({"folder": str(folder), "files": total, **states, "wrong": [asdict(w) for w in wrong]})
    else:
        typer.echo(f"{total:,} clips: " + ", ".join(f"{n:,} {state.replace('_', ' ')}" for state, n in states.items()))
        for one in wrong[:20]:
            typer.echo(f"{one.file}: {one.state.replace('_', ' ')}: {one.message}")
        if len(wrong) > 20:
            typer.echo(f"… and {len(wrong) - 20:,} more; --json lists all of them.")
    if wrong:
        raise typer.Exit(1)


@app.command("score")
def score(
    run: Annotated[Path, typer.Argument(help="An eval run on a benchmark.")],
    json_out: Json = False,
) -> None:
    """Score an evaluation: by task and kind of negative, which modality answers follow, sensitivity to edits.

    Questions that died or were left out count as answered wrongly.

    Example: avcurate benchmark score runs/eval
    """
    from avcurate.cli.benchmark_score import print_score
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.benchmark.score import score as scored

    result = scored(RunDir(run))
    print_json(result) if json_out else print_score(result)


def _vggsound(recipe: str, vggsound: Path, vggsounder: Path, out: Path, json_out: bool) -> None:
    from avcurate.benchmark.build import select_vggsound
    from avcurate.benchmark.rules import load_benchmark
    from avcurate.benchmark.write import write_benchmark

    rules = load_benchmark(recipe)
    chosen = select_vggsound(rules, vggsound, vggsounder)
    _show(write_benchmark(out, rules, chosen, [vggsound, vggsounder]), out, json_out)


def _show(facts: dict[str, Any], out: Path, json_out: bool) -> None:
    if json_out:
        print_json(facts)
        return
    from rich.table import Table

    from avcurate.report.terminal import console

    table = Table("step", "clips left", "left out")
    previous = None
    for step in facts["funnel"]:
        left_out = "" if previous is None else f"{previous - step['clips']:,}"
        table.add_row(step["step"], f"{step['clips']:,}", left_out)
        previous = step["clips"]
    console().print(table)
    for reason, n in facts["dead"].items():
        typer.echo(f"{n:,} rows could not be read: {reason} (see filtered.csv)")
    typer.echo(f"{facts['clips']:,} clips of {len(facts['classes'])} classes in {out}/clips.csv")
