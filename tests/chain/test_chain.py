"""Chains: steps as separate commands, done once, resumed, stopped, run in parallel, with one status."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from avcurate.chain.recipe import ChainRecipe, Step, planned
from avcurate.chain.run import chain_status, run_chain
from avcurate.cli.app import app
from avcurate.errors import StepFailed, UserError
from avcurate.recipe import shipped
from avcurate.tasks.kinds import load_any
from tests.attack.cases import clips, lines


def chain(*steps, **over):
    return ChainRecipe.model_validate({"name": "mine", "steps": steps, **over})


def swap_chain(folder: Path, pairs=(("a", "b"), ("b", "c"))):
    """A chain over real tasks that need no model: sounds swapped, then a page of the results."""
    media = clips(folder, ["a", "b", "c"])
    file = lines(folder / "pairs.jsonl", [{"clip": c, "donor": d} for c, d in pairs])
    swap = {"name": "swap", "recipe": "swap", "settings": {"input.pairs": "{pairs}", "input.media": "{media}"}}
    audit = {"name": "page", "command": ["audit", "{swap}", "--json"]}
    return chain(swap, audit, vars={"pairs": str(file), "media": str(media)})


def limited(pipeline, limit):
    step = pipeline.steps[0].model_copy(update={"settings": {**pipeline.steps[0].settings, "run.limit": limit}})
    return pipeline.model_copy(update={"steps": (step, *pipeline.steps[1:])})


def state(out):
    return {name: step["state"] for name, step in chain_status(out)["steps"].items()}


@pytest.mark.slow
def test_steps_run_in_order_and_only_what_is_left_is_redone(tmp_path):
    pipeline, events = swap_chain(tmp_path, [("a", "b"), ("b", "c"), ("c", "a")]), []
    run_chain(
        limited(pipeline, 2),
        tmp_path / "out",
        quiet=True,
        tell=lambda step, what: events.append((step, what.split()[0])),
    )
    assert events == [("swap", "started"), ("swap", "finished"), ("page", "started"), ("page", "finished")]
    found = chain_status(tmp_path / "out")
    assert found["state"] == "finished" and found["steps"]["swap"]["run"]["stages"]["swap"]["kept"] == 2
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/swap").rglob("*.mp4")}
    events.clear()
    run_chain(
        limited(pipeline, 2), tmp_path / "out", quiet=True, tell=lambda *x: events.append((x[0], x[1].split()[0]))
    )
    # a recipe's run works out by itself that nothing is left; the page's inputs are unchanged, so it stands
    assert events == [("swap", "started"), ("swap", "finished"), ("page", "unchanged")]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out/swap").rglob("*.mp4")} == before
    # a higher limit changes the output of the first step, so the page is rebuilt
    events.clear()
    run_chain(
        limited(pipeline, 3),
        tmp_path / "out",
        quiet=True,
        tell=lambda step, what: events.append((step, what.split()[0])),
    )
    assert events[-2:] == [("page", "started"), ("page", "finished")]
    assert {p: t for p, t in before.items() if p.stat().st_mtime_ns != t} == {}


@pytest.mark.slow
def test_a_step_that_fails_stops_the_chain_with_its_exit_code_and_is_resumed(tmp_path):
    pipeline = swap_chain(tmp_path, [("a", "b"), ("gone", "a")])
    swap = pipeline.steps[0].model_copy(update={"settings": {**pipeline.steps[0].settings, "run.fail_on_dead": 0.0}})
    strict = pipeline.model_copy(update={"steps": (swap, pipeline.steps[1])})
    with pytest.raises(StepFailed, match="step swap ended with exit code 3") as e:
        run_chain(strict, tmp_path / "out", quiet=True)
    assert e.value.code == 3 and state(tmp_path / "out") == {"swap": "failed", "page": "not begun"}
    run_chain(pipeline, tmp_path / "out", quiet=True)
    assert state(tmp_path / "out") == {"swap": "finished", "page": "finished"}


@pytest.mark.slow
def test_independent_steps_run_in_parallel(tmp_path):
    media = clips(tmp_path, ["a", "b"])
    file = lines(tmp_path / "pairs.jsonl", [{"clip": "a", "donor": "b"}])
    settings = {"input.pairs": str(file), "input.media": str(media)}
    steps = [{"name": n, "recipe": "swap", "settings": settings, "after": []} for n in ("one", "two")]
    last = {"name": "both", "command": ["status", "{two}"], "after": ["one", "two"]}
    events = []
    tell = lambda step, what: events.append(f"{step} {what.split()[0]}")  # noqa: E731
    run_chain(chain(*steps, last), tmp_path / "out", jobs=2, tell=tell)
    assert events[:2] == ["one started", "two started"] and events[-2:] == ["both started", "both finished"]
    assert "finished" in (tmp_path / "out/logs/both.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stopped_chain_leaves_no_step_running_and_resumes(tmp_path, number):
    pairs = [(c, d) for c in "abc" for d in "abc" if c != d] * 8
    pipeline = swap_chain(tmp_path, pairs)
    recipe = tmp_path / "chain.yaml"
    recipe.write_text(json.dumps(pipeline.model_dump(mode="json")))
    command = [sys.executable, "-m", "avcurate", "run", str(recipe), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not list((tmp_path / "out").rglob("part-*.mp4")) and not list((tmp_path / "out/swap").rglob("*.mp4")):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    process.wait(60)
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}[number]
    while any(str(tmp_path / "out/swap") in text for text in running()):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert state(tmp_path / "out") == {"swap": "stopped", "page": "not begun"}
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["state"] == "finished"


def running():
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                yield (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([{"name": "a"}], "needs either recipe or command"),
        ([{"name": "a", "recipe": "swap", "command": ["x"]}], "needs either recipe or command"),
        ([{"name": "a", "command": ["x"], "settings": {"n": 1}}], "settings need a recipe"),
        ([{"name": "a", "command": ["x"]}] * 2, "names more than one thing"),
        ([{"name": "out", "command": ["x"]}], "names more than one thing"),
        ([{"name": "a", "command": ["x"], "after": ["b"]}], "not an earlier step"),
        ([{"name": "a", "command": ["x", "{b}"]}], "not a step or variable"),
        ([{"name": "a", "command": ["x"], "python": "train"}], "not listed under python"),
        ([{"name": "../a", "command": ["x"]}], "pattern"),
        ([], "at least 1"),
    ],
)
def test_invalid_chains_say_why(steps, says):
    with pytest.raises(ValidationError, match=says):
        chain(*steps)


def test_a_missing_interpreter_and_a_folder_that_is_no_chain(tmp_path):
    step = {"name": "a", "command": ["version"], "python": "train"}
    with pytest.raises(UserError, match="does not exist"):
        planned(chain(step, python={"train": str(tmp_path / "none")}), tmp_path)
    pipeline = chain({"name": "a", "command": ["plugins"]})
    run_chain(pipeline, tmp_path / "o", quiet=True)
    with pytest.raises(UserError, match="holds the chain 'mine', not 'other'"):
        run_chain(pipeline.model_copy(update={"name": "other"}), tmp_path / "o")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not a chain folder and is not empty"):
        run_chain(pipeline, tmp_path)


def test_settings_and_variables_are_filled_in_as_set_parses_them(tmp_path):
    step = {
        "name": "a",
        "recipe": "eval",
        "settings": {"conditions": ["a", "{x}"], "n": 4, "prompt": "{x}: y", "run.only": None},
    }
    (found,) = planned(chain(step, vars={"x": "v"}), tmp_path / "o")
    assert found.words[:4] == ("run", "eval", "-o", str(tmp_path / "o/a"))
    from avcurate.recipe import settings_of

    sets = [w for w in found.words[4:] if w != "--set"]
    assert settings_of(sets) == {"conditions": ["a", "v"], "n": 4, "prompt": "v: y", "run.only": None}


def test_shipped_chains_are_complete(tmp_path):
    chains = [load_any(name) for name in shipped()]
    chains = [c for c in chains if isinstance(c, ChainRecipe)]
    assert {c.name for c in chains} >= {"demo", "counterfactual", "curate-train"}
    for pipeline in chains:
        for step in pipeline.steps:
            if step.recipe is not None:
                assert load_any(step.recipe)


def done(chain_recipe, out, **how):
    events = []
    run_chain(chain_recipe, out, quiet=True, tell=lambda *x: events.append(f"{x[0]} {x[1].split()[0]}"), **how)
    return events


def worlds(*steps):
    world = {"name": "world", "command": ["demo", "build", "-o", "{world}", "--questions", "6", "--seed", "{seed}"]}
    return chain(world, *steps, vars={"seed": 1})


@pytest.mark.slow
def test_missing_or_damaged_output_of_a_step_is_rebuilt(tmp_path):
    pipeline, out = worlds(), tmp_path / "out"
    assert done(pipeline, out) == ["world started", "world finished"] and done(pipeline, out) == ["world unchanged"]
    questions = out / "world/questions.json"
    whole = questions.read_bytes()
    questions.write_bytes(whole[:40])
    assert done(pipeline, out)[0] == "world started" and questions.read_bytes() == whole
    next((out / "world/clips").iterdir()).unlink()
    assert done(pipeline, out)[0] == "world started"
    # after a move, nothing is redone
    out.rename(tmp_path / "moved")
    assert done(pipeline, tmp_path / "moved") == ["world unchanged"]


@pytest.mark.slow
def test_a_change_far_upstream_reaches_every_step_that_builds_on_it(tmp_path):
    """The step between writes nothing that would show the change."""
    look = {"name": "look", "command": ["recipe", "ls"]}
    last = {"name": "last", "command": ["recipe", "show", "swap"]}
    pipeline, out = worlds(look, last), tmp_path / "out"
    done(pipeline, out)
    assert done(pipeline, out) == ["world unchanged", "look unchanged", "last unchanged"]
    other = pipeline.model_copy(update={"vars": {"seed": 2}})
    assert [t for t in done(other, out) if t.endswith("started")] == ["world started", "look started", "last started"]


def test_a_folder_that_a_step_did_not_make_is_left_alone(tmp_path):
    out = tmp_path / "out"
    pipeline = chain({"name": "a", "command": ["recipe", "ls"]})
    run_chain(pipeline, out, quiet=True)
    record = json.loads((out / "chain.json").read_text())
    record["steps"]["a"]["kind"] = "recipe"
    (out / "chain.json").write_text(json.dumps(record))
    (out / "a").mkdir()
    (out / "a/mine").write_text("mine")
    other = chain({"name": "a", "command": ["recipe", "ls", "--json"]})
    with pytest.raises(UserError, match="did not create it"):
        run_chain(other, out, quiet=True)
    assert (out / "a/mine").read_text() == "mine"
    (tmp_path / "elsewhere").mkdir()
    (out / "a/mine").unlink()
    (out / "a").rmdir()
    (out / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="did not create it"):
        run_chain(other, out, quiet=True)


ODD = ["[]", "{}", '{"steps": {}}', '{"steps": []}', '{"steps": {"a": 3}, "chain": {}}', "{", ""]


@pytest.mark.parametrize("damage", ODD)
def test_a_damaged_record_gives_one_error(tmp_path, damage):
    pipeline = chain({"name": "a", "command": ["recipe", "ls"]})
    run_chain(pipeline, tmp_path / "o", quiet=True)
    (tmp_path / "o/chain.json").write_text(damage)
    for act in (lambda: run_chain(pipeline, tmp_path / "o"), lambda: chain_status(tmp_path / "o")):
        with pytest.raises(UserError, match="is damaged"):
            act()


@pytest.mark.slow
def test_a_chain_that_runs_itself_ends(tmp_path):
    file = tmp_path / "self.yaml"
    file.write_text(json.dumps({"kind": "chain", "name": "self", "steps": [{"name": "again", "recipe": str(file)}]}))
    with pytest.raises(StepFailed):
        run_chain(load_any(str(file)), tmp_path / "o", quiet=True)


def test_a_step_may_not_change_the_output_of_another(tmp_path):
    """The next run would change it back, and the chain would call both finished."""
    pipeline = swap_chain(tmp_path)
    gone = {"name": "discard", "command": ["verify", "{swap}", "--discard-damaged"]}
    bad = pipeline.model_copy(update={"steps": (pipeline.steps[0], Step.model_validate(gone))})

    def spoil(step, what):
        if (step, what) == ("discard", "started"):
            for clip in (tmp_path / "out/swap").rglob("*.mp4"):
                clip.write_bytes(b"x")

    with pytest.raises(UserError, match="step discard changed the output of step swap"):
        run_chain(bad, tmp_path / "out", quiet=True, tell=spoil)
    assert state(tmp_path / "out") == {"swap": "finished", "discard": "failed"}


@pytest.mark.slow
def test_run_commands_work_on_chains(tmp_path):
    pipeline = swap_chain(tmp_path, [("a", "b"), ("b", "nosuch")])
    run_chain(pipeline, tmp_path / "out", quiet=True)
    out, runner = str(tmp_path / "out"), CliRunner()
    found = runner.invoke(app, ["verify", out, "--json"])
    assert found.exit_code == 0 and json.loads(found.stdout)["files"] > 3, found.output
    found = json.loads(runner.invoke(app, ["report", out, "--json"]).stdout)
    assert set(found["steps"]) == {"swap"} and Path(found["steps"]["swap"]["report"]).is_file()
    found = runner.invoke(app, ["retry", out])
    assert isinstance(found.exception, UserError) and f"{out}/swap" in found.exception.hint
    for clip in (tmp_path / "out/swap").rglob("*.mp4"):
        clip.write_bytes(b"damaged")
    found = runner.invoke(app, ["verify", out, "--json"])
    damaged = json.loads(found.stdout)["damaged"]
    assert found.exit_code == 1 and damaged and all(d["path"].startswith("swap/") for d in damaged)
    assert runner.invoke(app, ["verify", out, "--discard-damaged"]).exit_code == 0
    run_chain(pipeline, tmp_path / "out", quiet=True)
    assert runner.invoke(app, ["verify", out]).exit_code == 0


def test_a_folder_called_like_a_recipe_of_the_package_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    result = CliRunner().invoke(app, ["run", "demo", "-o", "out", "--only", "x"])
    assert isinstance(result.exception, UserError) and "do not apply to a chain" in result.exception.message
