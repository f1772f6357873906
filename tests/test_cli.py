"""Every command has help with an example, starts quickly, and fails with one sentence."""

import re
import subprocess
import sys

import pytest
import typer.main

from avcurate.cli.app import app
from tests.conftest import REPO

HEAVY = ("torch", "transformers", "vllm", "sentence_transformers", "ray", "datasets", "pyarrow", "numpy", "pydantic")


def commands(by_name, path=()):
    for name, command in by_name.items():
        if hasattr(command, "commands"):
            inner = {n: command.get_command(None, n) for n in command.list_commands(None)}
            yield from commands(inner, (*path, name))
        else:
            yield (*path, name), command


def every_command():
    group = typer.main.get_command(app)
    return {name: group.get_command(None, name) for name in group.list_commands(None)}


ALL = list(commands(every_command()))


def avcurate(*words, **kwargs):
    return subprocess.run([sys.executable, "-m", "avcurate.cli.app", *words], capture_output=True, text=True, **kwargs)


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(p) for p, _ in ALL])
def test_help_has_an_example(path, command):
    assert "avcurate " + " ".join(path) in command.help
    assert all(p.help for p in command.params if p.name != "help")


@pytest.mark.parametrize(("path", "command"), ALL, ids=[" ".join(p) for p, _ in ALL])
def test_the_reference_has_every_command_and_option(path, command):
    """docs/cli.md is made by `make reference`."""
    reference = (REPO / "docs/cli.md").read_text()
    head = re.split(rf"^## `avcurate {' '.join(path)}`$", reference, flags=re.M)
    assert len(head) == 2, "run make reference"
    section = re.split(r"^#+ `avcurate ", head[1], flags=re.M)[0]
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert any(f"`{o}" in section or f", {o}" in section for o in parameter.opts), parameter.opts
    readme = (REPO / "README.md").read_text()
    assert path[0] in readme


def test_nothing_heavy_is_imported_for_help():
    code = f"import sys, avcurate.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_errors_are_one_sentence_with_the_next_step(tmp_path):
    done = avcurate("label-pem", str(tmp_path / "none.json"), "--media", str(tmp_path), "-o", str(tmp_path / "r"))
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "does not exist" in done.stderr and "annotation file" in done.stderr
    assert avcurate("status", str(tmp_path)).returncode == 1
    assert avcurate("label-pem").returncode == 2
    assert "Recipes are" in avcurate("recipe", "show", "nope").stderr


def test_a_run_that_keeps_no_row_is_no_success(tmp_path):
    pytest.importorskip("simplemma")
    file = tmp_path / "captions.jsonl"
    file.write_text('{"clip": "a", "caption": "", "objects": ["dog"]}\n{"clip": "b", "caption": ""}\n')
    done = avcurate("hallucination", str(file), "-o", str(tmp_path / "run"))
    assert done.returncode == 3 and "none of 2 rows came through" in done.stderr and "caption_empty 2" in done.stderr
    one = avcurate("run", str(tmp_path / "run"), "--record", "1", "-o", str(tmp_path / "one"))
    assert one.returncode == 0, one.stderr
