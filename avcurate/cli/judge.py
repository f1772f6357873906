"""``judge``: how faithfully captions tell what is heard and what is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import StageBars, print_json
from avcurate.cli.label import EngineName, Force, Json, Run, Url, mapping_of


def judge(
    captions: Annotated[
        Path, typer.Argument(help="Table with clip and caption, and audio_caption and video_caption (or --truth).")
    ],
    out: Run,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", help="A language model by name or folder; `embedded-judge` knows the demo world."
        ),
    ] = "Qwen/Qwen3-32B",
    engine: EngineName = None,
    url: Url = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Another table with clip, audio_caption and video_caption.")
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", help="FIELD=COLUMN; also human_audio and human_video; repeatable.")
    ] = None,
    n: Annotated[int, typer.Option("--n", help="Judgements of each caption and modality.", min=1)] = 1,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the judgements.")] = 0,
    temperature: Annotated[float, typer.Option("--temperature", help="Sampling temperature; 0 is greedy.")] = 0.7,
    max_tokens: Annotated[int, typer.Option("--max-tokens", help="Longest reply, with its reasoning.", min=1)] = 8192,
    structured: Annotated[
        bool, typer.Option("--structured/--free", help="Hold the judge to JSON where the engine can.")
    ] = True,
    against: Annotated[
        Path | None, typer.Option("--against", help="Another judge run on the same clips: the drop per modality.")
    ] = None,
    force: Force = False,
    json_out: Json = False,
) -> None:
    """Let a language model score captions in [0, 1], for the sound and, apart, for the picture.

    A reply that cannot be read is counted and kept, never scored 0. With columns of human scores, Spearman's and
    Kendall's correlation are printed with intervals.

    Example: avcurate judge captions/av.jsonl --truth truth.jsonl -e server --url http://127.0.0.1:8000/v1 -o runs/judge
    """
    from avcurate.chains.judging import JudgeJob, compare_judged, run_judge, summarise_judge
    from avcurate.engines.base import Sampling
    from avcurate.recipe import parse_model
    from avcurate.report.judging import print_judging
    from avcurate.report.terminal import print_funnel
    from avcurate.runner.rundir import RunDir

    spec = parse_model({"model": model, "engine": engine or "transformers", "urls": url or ()})
    sampling = Sampling(temperature=temperature, top_p=0.8, top_k=20, max_tokens=max_tokens)
    job = JudgeJob(captions, out, spec, truth, mapping_of(mapping), n, seed, sampling, structured, force)
    with StageBars(1, 1.0) as bars:
        run_judge(job, bars.begin)
    run = RunDir(out)
    summary = summarise_judge(run)
    compared = compare_judged(run, RunDir(against)) if against else None
    stages = {k: v for k, v in run.record()["stages"].items() if "in" in v}
    if json_out:
        print_json(summary | {"against": compared, "stages": stages})
        return
    print_funnel(stages)
    print_judging(summary, compared)
