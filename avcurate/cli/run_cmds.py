"""Commands on recipes and runs of any task: ``run``, ``status``, ``retry``, ``report``, ``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avcurate.cli.console import print_json

RunArg = Annotated[Path, typer.Argument(help="Run directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
MediaNow = Annotated[
    Path | None, typer.Option("--media", help="Folder of the clips, if they have moved since the run.")
]
WATCH_S = 2.0
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE for any recipe field; repeatable.")]


def run(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe file of any task, with its inputs; or a run directory, to repeat it.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run directory; by default the recipe's `out`.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Process only the row with this id; repeatable.")
    ] = None,
    record: Annotated[
        list[int] | None, typer.Option("--record", help="Process only the record with this number; repeatable.")
    ] = None,
    media: MediaNow = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Redo work done with other settings.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Steps of a chain to run in parallel.", min=1)] = 1,
    json_out: Json = False,
) -> None:
    """Run a recipe of any task, a chain of them, or the recipe of an existing run, on all or some of its rows.

    Examples:

      avcurate run mine.yaml -o runs/mine

      avcurate run curate-train -o runs/curate --set vars.questions=240

      avcurate run runs/pem --only 1a2b3c4d5e6f7081 -o runs/pem-1a2b3c4d5e6f7081
    """
    from avcurate.cli.commands import run_and_show
    from avcurate.errors import UserError
    from avcurate.recipe import override, read_recipe, settings_of, shipped
    from avcurate.runner.rundir import RunDir
    from avcurate.tasks import TASKS
    from avcurate.tasks.run import recipe_of, recorded_recipe, task_of

    changes = {
        "run.only": only,
        "run.records": record,
        "run.limit": 0 if only or record else None,
        "input.media": str(media) if media else None,
        **settings_of(settings),
    }
    # a chain's folder, or any other, may be called what a recipe of the package is called
    if recipe.is_dir() and (RunDir(recipe).exists() or str(recipe) not in shipped()):
        if out is None:
            raise UserError("repeating a recorded run needs a folder for the new run.", "Give it with -o.")
        task = task_of(RunDir(recipe))
        run_and_show(task, recorded_recipe(RunDir(recipe), changes), out, force=force, json_out=json_out)
        return
    data, where = read_recipe(str(recipe))
    target = out or (Path(str(data["out"])) if "out" in data else None)
    if target is None:
        raise UserError(f"{where} does not name a run directory.", "Give it with -o, or as `out` in the recipe.")
    if data.get("kind") == "chain":
        if only or record or media:
            raise UserError(
                "--only, --record and --media do not apply to a chain.", "Set them in the recipe of its step."
            )
        _run_chain(override(data, settings_of(settings)), where, target, jobs, json_out, force=force)
        return
    task = TASKS.get(str(data.get("kind", "label-pem")))
    fields = override({k: v for k, v in data.items() if k != "out"}, changes)
    run_and_show(task, recipe_of(task, fields, where), target, force=force, json_out=json_out)


def _run_chain(data: dict[str, Any], where: str, out: Path, jobs: int, json_out: bool, *, force: bool) -> None:
    from avcurate.chain.recipe import ChainRecipe
    from avcurate.chain.run import chain_status, run_chain
    from avcurate.recipe import validated

    chain = validated(ChainRecipe, data, where)

    def print_event(step: str, what: str) -> None:
        typer.secho(f"── {step}: {what}", bold=True, err=True)

    run_chain(chain, out, jobs=jobs, quiet=json_out, force=force, tell=print_event)
    _show_chain(chain_status(out), json_out)


def _show_chain(status: dict[str, Any], json_out: bool) -> None:
    from avcurate.report.terminal import print_funnel

    if json_out:
        print_json(status)
        return
    typer.echo(f"{status['run']} (chain {status['name']}): {status['state']}")
    for name, step in status["steps"].items():
        seconds = f", {step['seconds']:g} s" if "seconds" in step else ""
        typer.secho(f"{name}: {step['state']}{seconds}", bold=True)
        if "run" in step:
            print_funnel(step["run"]["stages"])


def status(
    run: RunArg,
    dead: Annotated[bool, typer.Option("--dead", help="List dead rows with reason and next step.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every two seconds, until the run ends.")
    ] = False,
    json_out: Json = False,
) -> None:
    """Show the progress of a run or a chain, even while it is running, and why rows died.

    Examples:

      avcurate status runs/pem --dead

      avcurate status runs/pem --watch
    """
    if watch:
        _watch(run)
    from avcurate.chain.run import chain_status, is_chain
    from avcurate.report.terminal import print_dead, print_funnel
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import dead_rows, run_status

    if is_chain(run):
        _show_chain(chain_status(run), json_out)
        return
    result = run_status(RunDir(run))
    if dead:
        result["dead_rows"] = dead_rows(RunDir(run))
    if json_out:
        print_json(result)
        return
    typer.echo(f"{run} ({result['task']}): {result['state']}")
    print_funnel(result["stages"])
    for stage, replicas in result["replicas"].items():
        lost = [r for r in replicas if "lost" in r]
        hosts = {r["host"] for r in replicas if "host" in r}
        typer.echo(f"{stage}: {len(replicas) - len(lost)} replicas on {len(hosts)} machines, {len(lost)} lost")
    if dead:
        print_dead(result["dead_rows"])


def _watch(run: Path) -> None:
    """Show states as they change, until nobody writes the run any more."""
    import time

    from avcurate.chain.run import chain_status, is_chain
    from avcurate.cli.pace import Pace, eta
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import run_status

    paces: dict[str, tuple[Pace, int]] = {}
    last = ""
    while True:
        found = chain_status(run) if is_chain(run) else run_status(RunDir(run))
        lines = []
        stages = {} if is_chain(run) else found["stages"]
        for name, counts in stages.items():
            done = counts["kept"] + sum(counts["filtered"].values()) + sum(counts["dead"].values())
            pace, before = paces.get(name, (Pace(), done))
            if done > before:
                pace.add(done - before)
            paces[name] = (pace, done)
            total = max((c["in"] for c in stages.values()), default=0)
            ends = eta(pace.remaining(total - done))
            lines.append(f"{name} {done:,} of {total:,}" + (f" (eta {ends})" if ends and done < total else ""))
        steps = [f"{n} {s['state']}" for n, s in found.get("steps", {}).items()]
        text = f"{found['state']}: {', '.join(lines or steps)}"
        if text != last:
            typer.echo(text)
            last = text
        if found["state"] != "running":
            return
        time.sleep(WATCH_S)


def _steps(run: Path) -> list[Path]:
    """Folders created by the steps of a chain; empty for any other folder."""
    from avcurate.chain.run import is_chain, made_folders

    return list(made_folders(run).values()) if is_chain(run) else []


def retry(
    run: RunArg,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Retry only rows with this reason; repeatable.")
    ] = None,
    media: MediaNow = None,
    settings: Settings = None,
    json_out: Json = False,
) -> None:
    """Retry dead rows of a run, all or those with given reasons; other rows are left as they are.

    Example: avcurate retry runs/pem --reason media_timeout
    """
    from avcurate.cli.commands import run_and_show
    from avcurate.errors import UserError
    from avcurate.recipe import settings_of
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import dead_rows
    from avcurate.tasks.run import recorded_recipe, task_of

    if steps := _steps(run):
        with_dead = [str(p) for p in steps if RunDir(p).exists() and dead_rows(RunDir(p))]
        hint = f"Its runs with dead rows: {', '.join(with_dead)}." if with_dead else "None of its runs has dead rows."
        raise UserError(f"{run} is a chain; rows belong to the runs of its steps.", hint)
    known = {str(r["reason"]) for r in dead_rows(RunDir(run))} if reason else set()
    if unknown := sorted(set(reason or ()) - known):
        hint = ", ".join(sorted(known)) or "none"
        raise UserError(f"no dead row of {run} has the reason {unknown[0]!r}.", f"Reasons of its dead rows: {hint}.")
    changes = {"input.media": str(media) if media else None, **settings_of(settings)}
    recipe = recorded_recipe(RunDir(run), changes)
    run_and_show(task_of(RunDir(run)), recipe, run, retry=frozenset(reason or ()), json_out=json_out)


def report(run: RunArg, json_out: Json = False) -> None:
    """Rewrite the page of a run and print its summary; for a chain, those of all its runs.

    Example: avcurate report runs/pem
    """
    from avcurate.cli.commands import show_run, summarised
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import refuse_mixed
    from avcurate.store.lock import writer_lock
    from avcurate.tasks.run import task_of

    steps = [s for s in _steps(run) if RunDir(s).exists()]
    summaries: dict[str, Any] = {}
    for folder in steps or (run,):
        task = task_of(RunDir(folder))
        refuse_mixed(RunDir(folder))
        with writer_lock(folder):
            if steps and json_out:
                summaries[folder.name] = summarised(task, folder)
                continue
            if steps:
                typer.secho(folder.name, bold=True)
            show_run(task, folder, json_out)
    if summaries:
        print_json({"run": str(run), "task": "chain", "steps": summaries})


def verify(
    run: RunArg,
    discard_damaged: Annotated[
        bool, typer.Option("--discard-damaged", help="Remove damaged files, so that the same command rebuilds them.")
    ] = False,
    with_media: Annotated[bool, typer.Option("--with-media", help="Also check every clip.")] = False,
    media: MediaNow = None,
    json_out: Json = False,
) -> None:
    """Check every part, record, journal and output file of a run, or every exported shard, against its checksum.

    For a chain, everything its steps wrote.

    Exits with code 1 if anything is damaged.

    Example: avcurate verify runs/pem
    """
    from avcurate.publish.shards import SHARDS, verify_shards
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.verify import discard, verify_run

    def check(folder: Path) -> dict[str, Any]:
        if (folder / SHARDS).is_file() and not RunDir(folder).exists():
            return verify_shards(folder) | {"kept": True}
        result = verify_run(RunDir(folder), with_media=with_media, media=media)
        if discard_damaged:
            discard(RunDir(folder), result)
        return result | {"kept": not discard_damaged}

    if steps := _steps(run):
        checked = [(s, check(s)) for s in steps if RunDir(s).exists() or (s / SHARDS).is_file()]
        result = {
            "run": str(run),
            "files": sum(f["files"] for _, f in checked),
            "damaged": [d | {"path": f"{s.name}/{d['path']}"} for s, f in checked for d in f["damaged"]],
            "kept": any(f["kept"] and f["damaged"] for _, f in checked),
            "next": "See each: avcurate verify " + ", ".join(str(s) for s, f in checked if f["damaged"]),
        }
    else:
        result = check(run)
    kept = result.pop("kept")
    if json_out:
        print_json(result)
    else:
        typer.echo(f"{result['files']:,} files checked, {len(result['damaged'])} damaged.")
        for item in result["damaged"]:
            typer.echo(f"{item['path']}: {item['what']}")
        if result["damaged"]:
            removed = "Damaged files were removed; run the same command again to rebuild them."
            typer.echo(result["next"] if kept else removed)
    if result["damaged"] and kept:
        raise typer.Exit(1)
