"""``demo``: a synthetic world with known truth, the embedded model, and how well labels agree with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avcurate.cli.console import bar, make_progress, print_json

app = typer.Typer(
    help="A small synthetic audio-visual world with known truth, and a model that hears and sees it.",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Questions = Annotated[int, typer.Option("--questions", help="Number of questions.", min=1)]
Hard = Annotated[
    bool,
    typer.Option("--hard", help="The hard world: noise, distractors, 4 to 12 seconds, yes/no and order questions."),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the world.")]
Workers = Annotated[int, typer.Option("--workers", help="Number of processes.", min=1)]


@app.command("build")
def build(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the world.")],
    questions: Questions = 300,
    seed: Seed = 0,
    hard: Hard = False,
    workers: Workers = 2,
    json_out: Json = False,
) -> None:
    """Build a world: clips with sound, questions in the raw AVQA format, and truth.jsonl beside them.

    Example: avcurate demo build -o hard-world --questions 300 --seed 1 --hard
    """
    from avcurate.demo.build import build_world

    with bar("clips", 0, "clips") as progress:
        items = build_world(out, questions, seed, workers, lambda done, total: progress(done, total=total), hard=hard)
    facts = {
        "world": str(out),
        "questions": len(items),
        "clips": len({i.clip.name for i in items}),
        "seed": seed,
    }
    if json_out:
        print_json(facts)
    else:
        typer.echo(f"{facts['questions']:,} questions on {facts['clips']:,} clips in {out}")
        typer.echo(f"Next: avcurate label-pem {out}/questions.json --media {out}/clips -o runs/demo")


@app.command("evaluate")
def evaluate(
    questions: Questions = 300,
    seed: Seed = 1,
    n: Annotated[int, typer.Option("--n", help="Responses per setting.", min=1)] = 8,
    model: Annotated[str, typer.Option("--model", help="Checkpoint folder, or `embedded`.")] = "embedded",
    world: Annotated[Path | None, typer.Option("--world", help="Folder in which clips are kept and reused.")] = None,
    hard: Hard = False,
    workers: Workers = 2,
    json_out: Json = False,
) -> None:
    """Measure the accuracy of the embedded model per question type under audio, video and both, on a held-out world.

    Example: avcurate demo evaluate --questions 300 --seed 7
    """
    import tempfile

    from avcurate.demo.build import build_world
    from avcurate.demo.evaluate import evaluate as answer_world
    from avcurate.demo.evaluate import table
    from avcurate.engines.checkpoint import Checkpoint
    from avcurate.engines.transformers_engine import TransformersEngine

    with tempfile.TemporaryDirectory(prefix="avcurate-world-") as scratch:
        folder = world or Path(scratch) / "world"
        with bar("clips", 0, "clips") as progress:
            items = build_world(
                folder, questions, seed, workers, lambda done, total: progress(done, total=total), hard=hard
            )
        engine = TransformersEngine(Checkpoint(model))
        engine.setup()
        with bar("questions", 3 * len(items), "requests") as progress:
            rows = table(answer_world(engine, items, folder / "clips", n, seed, progress))
    if json_out:
        print_json(rows)
        return
    from rich.table import Table

    from avcurate.report.terminal import console

    results = Table("question type", "decided by", "chance", "A", "V", "AV", "responses", "as expected")
    for r in rows:
        results.add_row(
            r["type"],
            r["evidence"],
            f"{r['chance']:.2f}",
            *[f"{r[s]:.2f}" for s in ("a", "v", "av")],
            str(r["questions"]),
            "" if hard else "yes" if r["as_it_should_be"] else "NO",
        )
    console().print(results)


@app.command("check")
def check(
    run: Annotated[Path, typer.Argument(help="Run directory of label-pem on a demo world.")],
    world: Annotated[Path, typer.Option("--world", help="Folder of the world.")],
    json_out: Json = False,
) -> None:
    """Compare the labels of a run with the world's truth.

    Example: avcurate demo check runs/demo --world demo-world
    """
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks.label_pem.relabel import confusion
    from avcurate.tasks.label_pem.terminal import print_confusion

    result = confusion(RunDir(run), world / "truth.jsonl")
    print_json(result) if json_out else print_confusion(result)


@app.command("table")
def table(
    groups: Annotated[list[str], typer.Argument(help="NAME=RUN, or NAME=RUN,RUN,… for several seeds, of eval runs.")],
    world: Annotated[Path, typer.Option("--world", help="Folder of the held-out world.")],
    condition: Annotated[str, typer.Option("--condition", help="What was shown: av, a, v, ...")] = "av",
    json_out: Json = False,
) -> None:
    """Compare eval runs on one world: PEM accuracy, answers (by true PEM, under conflict), attention by quarter.

    Several runs under one name are seeds: mean ± standard deviation. Attention is shown if `avcurate attend` has run.

    Example: avcurate demo table before=runs/eval-0 grpo=runs/eval-grpo mapo=runs/eval-mapo --world held
    """
    from rich.table import Table

    from avcurate.demo.table import table as build_table
    from avcurate.errors import UserError
    from avcurate.report.terminal import console

    named: dict[str, list[Path]] = {}
    for group in groups:
        name, _, runs = group.partition("=")
        if not name or not runs:
            raise UserError(f"{group!r} is not NAME=RUN.", "For example: before=runs/eval-before")
        named[name] = [Path(r) for r in runs.split(",")]
    rows = build_table(named, world / "truth.jsonl", condition)
    if json_out:
        print_json(rows)
        return

    def cell(row: dict[str, Any], *keys: str) -> str:
        cells = []
        for k in keys:
            value = row.get(k)
            sd = "" if not value or value["sd"] is None or len(keys) > 1 else f" ± {value['sd']:.3f}"
            cells.append(f"{value['mean']:.3f}{sd}" if value else "–")
        return " ".join(cells)

    measured = {"pem": "PEM", "answers": "answers", "answers_Audio": "on Audio", "answers_Visual": "on Visual"}
    measured |= {"answers_Audio-Visual": "on Audio-Visual", "conflict": "under conflict"}
    quarters = {m: f"{m}, by quarter" for m in ("audio", "video") if any(f"{m}_1" in row for row in rows)}
    out = Table("", "runs", *measured.values(), *quarters.values(), title=f"Shown: {condition}", title_justify="left")
    for row in rows:
        shares = [cell(row, *(f"{m}_{q}" for q in (1, 2, 3, 4))) for m in quarters]
        out.add_row(row["name"], str(row["runs"]), *(cell(row, k) for k in measured), *shares)
    console().print(out)


@app.command("train-model")
def train_model(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the checkpoint.")],
    work: Annotated[Path, typer.Option("--work", help="Folder for clips and training state, reused on resume.")] = Path(
        "build/demo-model"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Seed for data, weights and batches.")] = 0,
    encoder_steps: Annotated[
        int | None, typer.Option("--encoder-steps", help="Training steps of phase one.", min=1)
    ] = None,
    lm_steps: Annotated[int | None, typer.Option("--lm-steps", help="Training steps of phase two.", min=1)] = None,
    clips: Annotated[
        int | None, typer.Option("--clips", help="Training pictures (three times as many sounds).", min=20)
    ] = None,
    workers: Workers = 2,
) -> None:
    """Train the model of the hard world (`embedded-hard`) from scratch, on CPU, in an hour or two. Resumes.

    Writes the checkpoint, a log of every step (log.jsonl) and a loss curve (loss.svg).

    Example: avcurate demo train-model -o my-model --seed 3
    """
    from dataclasses import replace

    from avcurate.demo.bank import build_bank
    from avcurate.demo.curve import TrainLog
    from avcurate.demo.train import TrainSpec, train

    spec = TrainSpec(seed=seed)
    from avcurate.demo.world import CLIP_SECONDS, HARD_SECONDS

    changes = {"encoder_steps": encoder_steps, "lm_steps": lm_steps, "clips": clips}
    spec = replace(spec, **{k: v for k, v in changes.items() if v is not None})
    built = 0
    with bar("clips", spec.clips + len(HARD_SECONDS) * spec.hard_clips, "clips") as progress:

        def tick(n: int) -> None:
            nonlocal built
            built += n
            progress(built)

        folder = work / "clips"
        banks = [build_bank(folder, spec.clips, seed, workers, tick, CLIP_SECONDS)]
        banks += [build_bank(folder, spec.hard_clips, seed, workers, tick, s, hard=True) for s in HARD_SECONDS]
    with make_progress() as progress_bar, TrainLog(work, progress_bar) as log:
        train(banks, out, work, spec, log.report)
    typer.echo(f"Checkpoint: {out}; log and curve: {work}")


@app.command("train-detector")
def train_detector(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the checkpoint.")],
    seed: Annotated[int, typer.Option("--seed", help="Seed for data, weights and batches.")] = 0,
) -> None:
    """Train the embedded detector from scratch, on CPU: a small DETR that finds only the shapes of the demo world.

    Example: avcurate demo train-detector -o my-detector
    """
    from avcurate.demo.detector_model import DetectorSpec
    from avcurate.demo.detector_model import train_detector as train

    with bar("detector", DetectorSpec().backbone_steps + DetectorSpec().steps, "steps") as progress:
        train(out, seed=seed, report=lambda n, total, values: progress(n, total, f"loss {values['loss']:.3f}"))
    typer.echo(f"Checkpoint: {out}.  Next: avcurate objects --media clips -m {out} -o runs/objects")


@app.command("train-judge")
def train_judge(
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the checkpoint.")],
    seed: Annotated[int, typer.Option("--seed", help="Seed for data, weights and batches.")] = 0,
) -> None:
    """Train the embedded judge from scratch, on CPU: it judges only captions of the demo world.

    Example: avcurate demo train-judge -o my-judge
    """
    from avcurate.demo.judge_model import PHASES
    from avcurate.demo.judge_model import train_judge as train

    with bar("judge", sum(p.steps for p in PHASES), "steps") as progress:
        train(out, PHASES, seed, lambda step, total, values: progress(step, total, f"loss {values['loss']:.3f}"))
    typer.echo(f"Checkpoint: {out}.  Next: avcurate judge captions.jsonl -m {out} -o runs/judge")
