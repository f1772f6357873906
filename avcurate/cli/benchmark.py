"""``benchmark``: build clip benchmarks from published lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avcurate.cli.console import print_json

app = typer.Typer(help="Build clip benchmarks from published lists, with a funnel.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the benchmark.")]
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
