"""Commands on recipes and runs of any task: ``run``, ``status``, ``retry``, ``report``, ``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from avcurate.cli.console import print_json

RunArg = Annotated[Path, typer.Argument(help="Run directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
MediaNow = Annotated[
    Path | None, typer.Option("--media", help="Folder of the clips, where it is not where the run found it.")
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of any field of the recipe; repeatable.")]


def run(
    recipe: Annotated[
        Path, typer.Argument(help="Recipe file of any task, with its inputs; or a run directory, to run it again.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Run directory; else the recipe's `out`.")] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only the row of this id; repeatable.")] = None,
    record: Annotated[
        list[int] | None, typer.Option("--record", help="Only the record of this number; repeatable.")
    ] = None,
    media: MediaNow = None,
    settings: Settings = None,
    force: Annotated[bool, typer.Option("--force", help="Redo what was made with other settings.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Steps of a chain side by side.", min=1)] = 1,
    json_out: Json = False,
) -> None:
    """Run a recipe of any task, a chain of them, or the recipe of a run that exists, over all of its rows or some.

    Examples:

      avcurate run mine.yaml -o runs/mine

      avcurate run curate-train -o runs/curate --set vars.questions=240

      avcurate run runs/pem --only 1a2b3c4d5e6f7081 -o runs/pem-1a2b3c4d5e6f7081
    """
    from avcurate.cli.commands import run_and_show
    from avcurate.errors import UserError
    from avcurate.recipe import override, read_recipe, settings_of
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
    if recipe.is_dir():
        if out is None:
            raise UserError("a recorded run needs a place for the new one.", "Give it with -o.")
        task = task_of(RunDir(recipe))
        run_and_show(task, recorded_recipe(RunDir(recipe), changes), out, force=force, json_out=json_out)
        return
    data, where = read_recipe(str(recipe))
    target = out or (Path(str(data["out"])) if "out" in data else None)
    if target is None:
        raise UserError(f"{where} does not say where the run goes.", "Give it with -o, or as `out` in the recipe.")
    if data.get("kind") == "chain":
        if only or record or media:
            raise UserError("--only, --record and --media are for the recipe of one task.", "Set them in its step.")
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

    def tell(step: str, what: str) -> None:
        typer.secho(f"── {step}: {what}", bold=True, err=True)

    run_chain(chain, out, jobs=jobs, quiet=json_out, force=force, tell=tell)
    _show_chain(chain_status(out), json_out)


def _show_chain(found: dict[str, Any], json_out: bool) -> None:
    from avcurate.report.terminal import print_funnel

    if json_out:
        print_json(found)
        return
    typer.echo(f"{found['run']} (chain {found['name']}): {found['state']}")
    for name, step in found["steps"].items():
        seconds = f", {step['seconds']:g} s" if "seconds" in step else ""
        typer.secho(f"{name}: {step['state']}{seconds}", bold=True)
        if "run" in step:
            print_funnel(step["run"]["stages"])


def status(
    run: RunArg,
    dead: Annotated[bool, typer.Option("--dead", help="List dead rows with their reasons and next steps.")] = False,
    json_out: Json = False,
) -> None:
    """How far a run of any task, or a chain, is, also while it is running, and why rows died.

    Example: avcurate status runs/pem --dead
    """
    from avcurate.chain.run import chain_status, is_chain
    from avcurate.report.terminal import print_dead, print_funnel
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import dead_rows, run_status

    if is_chain(run):
        _show_chain(chain_status(run), json_out)
        return
    found = run_status(RunDir(run))
    if dead:
        found["dead_rows"] = dead_rows(RunDir(run))
    if json_out:
        print_json(found)
        return
    typer.echo(f"{run} ({found['task']}): {found['state']}")
    print_funnel(found["stages"])
    if dead:
        print_dead(found["dead_rows"])


def _steps(run: Path) -> list[Path]:
    """Folders that a chain's steps made; of another folder none."""
    from avcurate.chain.run import is_chain, made_folders

    return list(made_folders(run).values()) if is_chain(run) else []


def retry(
    run: RunArg,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Only rows dead for this reason; repeatable.")
    ] = None,
    media: MediaNow = None,
    settings: Settings = None,
    json_out: Json = False,
) -> None:
    """Process dead rows of a run again, all or those of some reasons; other rows are left as they are.

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
        there = (
            f"Runs of it with dead rows: {', '.join(with_dead)}." if with_dead else "None of its runs has dead rows."
        )
        raise UserError(f"{run} is a chain; rows belong to the runs of its steps.", there)
    known = {str(r["reason"]) for r in dead_rows(RunDir(run))} if reason else set()
    if unknown := sorted(set(reason or ()) - known):
        there = ", ".join(sorted(known)) or "none"
        raise UserError(f"no row of {run} is dead for {unknown[0]!r}.", f"Reasons of its dead rows: {there}.")
    changes = {"input.media": str(media) if media else None, **settings_of(settings)}
    recipe = recorded_recipe(RunDir(run), changes)
    run_and_show(task_of(RunDir(run)), recipe, run, retry=frozenset(reason or ()), json_out=json_out)


def report(run: RunArg, json_out: Json = False) -> None:
    """Write the page of a run of any task again, and print what it says; of a chain those of all its runs.

    Example: avcurate report runs/pem
    """
    from avcurate.cli.commands import show_run, summarised
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import refuse_mixed
    from avcurate.store.lock import writer_lock
    from avcurate.tasks.run import task_of

    steps = [s for s in _steps(run) if RunDir(s).exists()]
    found: dict[str, Any] = {}
    for one in steps or (run,):
        task = task_of(RunDir(one))
        refuse_mixed(RunDir(one))
        with writer_lock(one):
            if steps and json_out:
                found[one.name] = summarised(task, one)
                continue
            if steps:
                typer.secho(one.name, bold=True)
            show_run(task, one, json_out)
    if found:
        print_json({"run": str(run), "task": "chain", "steps": found})


def verify(
    run: RunArg,
    discard_damaged: Annotated[
        bool, typer.Option("--discard-damaged", help="Remove what is damaged, so that the same command remakes it.")
    ] = False,
    with_media: Annotated[bool, typer.Option("--with-media", help="Also read every clip again.")] = False,
    media: MediaNow = None,
    json_out: Json = False,
) -> None:
    """Check every part, record, journal and made file of a run, or every file of exported shards, against its checksum.

    Of a chain, all that its steps made.

    Exit code 1 where something is damaged.

    Example: avcurate verify runs/pem
    """
    from avcurate.publish.shards import SHARDS, verify_shards
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.verify import discard, verify_run

    def look(folder: Path) -> dict[str, Any]:
        if (folder / SHARDS).is_file() and not RunDir(folder).exists():
            return verify_shards(folder) | {"kept": True}
        found = verify_run(RunDir(folder), with_media=with_media, media=media)
        if discard_damaged:
            discard(RunDir(folder), found)
        return found | {"kept": not discard_damaged}

    if steps := _steps(run):
        looked = [(s, look(s)) for s in steps if RunDir(s).exists() or (s / SHARDS).is_file()]
        found = {
            "run": str(run),
            "files": sum(f["files"] for _, f in looked),
            "damaged": [d | {"path": f"{s.name}/{d['path']}"} for s, f in looked for d in f["damaged"]],
            "kept": any(f["kept"] and f["damaged"] for _, f in looked),
            "next": "See each: avcurate verify " + ", ".join(str(s) for s, f in looked if f["damaged"]),
        }
    else:
        found = look(run)
    kept = found.pop("kept")
    if json_out:
        print_json(found)
    else:
        typer.echo(f"{found['files']:,} files checked, {len(found['damaged'])} damaged.")
        for item in found["damaged"]:
            typer.echo(f"{item['path']}: {item['what']}")
        if found["damaged"]:
            removed = "removed; run the same command again to remake it."
            typer.echo(found["next"] if kept else f"What is damaged was {removed}")
    if found["damaged"] and kept:
        raise typer.Exit(1)
