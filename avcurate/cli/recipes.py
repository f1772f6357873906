"""``recipe`` and ``prompt``: list, show and validate what runs are configured with."""

from __future__ import annotations

from typing import Annotated

import typer

from avcurate.cli.console import print_json

recipe_app = typer.Typer(help="List, show and validate recipes.", no_args_is_help=True)
prompt_app = typer.Typer(help="List and show prompts.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@recipe_app.command("ls")
def recipe_ls(json_out: Json = False) -> None:
    """List the recipes that ship with avcurate. Example: avcurate recipe ls"""
    from avcurate.recipe import read_recipe, shipped

    recipes = {name: read_recipe(name)[0] for name in shipped()}
    if json_out:
        print_json({name: {"kind": r["kind"], "about": r.get("about", "")} for name, r in recipes.items()})
        return
    for name, r in recipes.items():
        typer.echo(f"{name:<24} {r['kind']:<14} {r.get('about', '')}")


@recipe_app.command("show")
def recipe_show(name: Annotated[str, typer.Argument(help="Recipe name or file.")], json_out: Json = False) -> None:
    """Print a recipe with every default filled in. Example: avcurate recipe show label-pem"""
    import yaml

    from avcurate.tasks.kinds import load_any

    data = load_any(name).model_dump(mode="json")
    if json_out:
        print_json(data)
    else:
        typer.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)


@recipe_app.command("serve")
def recipe_serve(
    name: Annotated[str, typer.Argument(help="Recipe name or file, of a task that asks a model.")],
    json_out: Json = False,
) -> None:
    """Print the `vllm serve` command that a recipe's model needs.

    Example: avcurate recipe serve label-pem-qwen3-omni-8gpu
    """
    import shlex

    from avcurate.engines.serving import serve_command
    from avcurate.errors import UserError
    from avcurate.recipe import ModelSpec
    from avcurate.tasks.kinds import load_any

    recipe = load_any(name)
    spec = getattr(recipe, "model", None)
    if not isinstance(spec, ModelSpec):
        raise UserError(f"{name} asks no model that vLLM could serve.", "`avcurate recipe ls` lists recipes by kind.")
    command = serve_command(spec, interleaved=getattr(recipe, "layout", "") == "interleaved")
    print_json({"command": command}) if json_out else typer.echo(shlex.join(command))


@recipe_app.command("validate")
def recipe_validate(name: Annotated[str, typer.Argument(help="Recipe name or file.")], json_out: Json = False) -> None:
    """Check a recipe without running it. Example: avcurate recipe validate mine.yaml"""
    from avcurate.tasks.kinds import load_any

    load_any(name)
    print_json({"valid": True, "name": name}) if json_out else typer.echo(f"{name} is a valid recipe.")


@recipe_app.command("schema")
def recipe_schema(
    kind: Annotated[str, typer.Argument(help="Kind of recipe, e.g. label-pem, pool or benchmark.")],
    json_out: Json = False,
) -> None:
    """Print the JSON schema of a kind of recipe: every field with type and description.

    Example: avcurate recipe schema label-pem
    """
    from avcurate.tasks.kinds import recipe_model

    print_json(recipe_model(kind).model_json_schema())


@recipe_app.command("diff")
def recipe_diff(
    one: Annotated[str, typer.Argument(help="Recipe name or file.")],
    other: Annotated[str, typer.Argument(help="Another recipe of the same kind.")],
    json_out: Json = False,
) -> None:
    """Print the fields in which two recipes differ, defaults included.

    Example: avcurate recipe diff train-sffl-stage-1 train-sffl-stage-2
    """
    from avcurate.tasks.kinds import differences

    changed = differences(one, other)
    if json_out:
        print_json({k: {"one": a, "other": b} for k, (a, b) in changed.items()})
        return
    for key, (a, b) in changed.items():
        typer.echo(f"{key}: {a} → {b}")


@prompt_app.command("ls")
def prompt_ls(json_out: Json = False) -> None:
    """List prompts and their versions. Example: avcurate prompt ls"""
    from avcurate.prompts import PROMPTS

    prompts = {p.name: p.about for p in PROMPTS.values()}
    if json_out:
        print_json(prompts)
        return
    for name, about in prompts.items():
        typer.echo(f"{name:<24} {about}")


@prompt_app.command("show")
def prompt_show(
    name: Annotated[str, typer.Argument(help="Prompt name, with or without version, or a .yaml file.")] = "cot",
    question: Annotated[str, typer.Option("--question", help="Question to render it with.")] = "What makes the sound?",
    json_out: Json = False,
) -> None:
    """Print a prompt as the model receives it, with its version. Example: avcurate prompt show separate-then-fuse"""
    from avcurate.prompts import get_prompt
    from avcurate.recipe import read_prompt

    prompt = get_prompt(read_prompt(name))
    text = prompt.render(question, ("a dog", "a train", "rain", "a crowd"))
    print_json({"name": prompt.name, "prompt": text}) if json_out else typer.echo(f"# {prompt.name}\n{text}")
