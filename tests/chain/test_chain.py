"""Chains: steps as commands of their own, done once, resumed, stopped, side by side, with one status."""

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


def made(folder: Path, pairs=(("a", "b"), ("b", "c"))):
    """A chain over real tasks that need no model: sounds swapped, then a page of what was made."""
    media = clips(folder, ["a", "b", "c"])
    file = lines(folder / "pairs.jsonl", [{"clip": c, "donor": d} for c, d in pairs])
    swap = {"name": "swap", "recipe": "swap", "settings": {"input.pairs": "{pairs}", "input.media": "{media}"}}
    audit = {"name": "page", "command": ["audit", "{swap}", "--json"]}
    return chain(swap, audit, vars={"pairs": str(file), "media": str(media)})


def limited(one, limit):
    swap = one.steps[0].model_copy(update={"settings": {**one.steps[0].settings, "run.limit": limit}})
    return one.model_copy(update={"steps": (swap, *one.steps[1:])})


def state(out):
    return {name: step["state"] for name, step in chain_status(out)["steps"].items()}


@pytest.mark.slow
def test_steps_run_in_turn_and_only_what_is_left_is_done_again(tmp_path):
    one, heard = made(tmp_path, [("a", "b"), ("b", "c"), ("c", "a")]), []
    run_chain(
        limited(one, 2), tmp_path / "out", quiet=True, tell=lambda step, what: heard.append((step, what.split()[0]))
    )
    assert heard == [("swap", "begins"), ("swap", "finished"), ("page", "begins"), ("page", "finished")]
    found = chain_status(tmp_path / "out")
    assert found["state"] == "finished" and found["steps"]["swap"]["run"]["stages"]["swap"]["kept"] == 2
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/swap").rglob("*.mp4")}
    heard.clear()
    run_chain(limited(one, 2), tmp_path / "out", quiet=True, tell=lambda *x: heard.append((x[0], x[1].split()[0])))
    # a recipe's run finds out by itself that nothing is left; the page was made from the same and stands
    assert heard == [("swap", "begins"), ("swap", "finished"), ("page", "done")]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out/swap").rglob("*.mp4")} == before
    # a higher limit: what the first step makes has changed, so the page is made again
    heard.clear()
    run_chain(
        limited(one, 3), tmp_path / "out", quiet=True, tell=lambda step, what: heard.append((step, what.split()[0]))
    )
    assert heard[-2:] == [("page", "begins"), ("page", "finished")]
    assert {p: t for p, t in before.items() if p.stat().st_mtime_ns != t} == {}


@pytest.mark.slow
def test_a_step_that_fails_stops_the_chain_with_its_exit_code_and_is_gone_on_from(tmp_path):
    one = made(tmp_path, [("a", "b"), ("gone", "a")])
    swap = one.steps[0].model_copy(update={"settings": {**one.steps[0].settings, "run.fail_on_dead": 0.0}})
    strict = one.model_copy(update={"steps": (swap, one.steps[1])})
    with pytest.raises(StepFailed, match="step swap ended with exit code 3") as e:
        run_chain(strict, tmp_path / "out", quiet=True)
    assert e.value.code == 3 and state(tmp_path / "out") == {"swap": "failed", "page": "not begun"}
    run_chain(one, tmp_path / "out", quiet=True)
    assert state(tmp_path / "out") == {"swap": "finished", "page": "finished"}


@pytest.mark.slow
def test_steps_that_do_not_wait_for_each_other_run_side_by_side(tmp_path):
    media = clips(tmp_path, ["a", "b"])
    file = lines(tmp_path / "pairs.jsonl", [{"clip": "a", "donor": "b"}])
    settings = {"input.pairs": str(file), "input.media": str(media)}
    steps = [{"name": n, "recipe": "swap", "settings": settings, "after": []} for n in ("one", "two")]
    last = {"name": "both", "command": ["status", "{two}"], "after": ["one", "two"]}
    heard = []
    tell = lambda step, what: heard.append(f"{step} {what.split()[0]}")  # noqa: E731
    run_chain(chain(*steps, last), tmp_path / "out", jobs=2, tell=tell)
    assert heard[:2] == ["one begins", "two begins"] and heard[-2:] == ["both begins", "both finished"]
    assert "finished" in (tmp_path / "out/logs/both.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_chain_that_is_stopped_leaves_no_step_running_and_goes_on(tmp_path, number):
    pairs = [(c, d) for c in "abc" for d in "abc" if c != d] * 30
    one = made(tmp_path, pairs)
    recipe = tmp_path / "chain.yaml"
    recipe.write_text(json.dumps(one.model_dump(mode="json")))
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
        ([{"name": "a", "command": ["x"], "settings": {"n": 1}}], "settings go with a recipe"),
        ([{"name": "a", "command": ["x"]}] * 2, "names more than one thing"),
        ([{"name": "out", "command": ["x"]}], "names more than one thing"),
        ([{"name": "a", "command": ["x"], "after": ["b"]}], "no step before it"),
        ([{"name": "a", "command": ["x", "{b}"]}], "no step or variable"),
        ([{"name": "a", "command": ["x"], "python": "train"}], "not listed under python"),
        ([{"name": "../a", "command": ["x"]}], "pattern"),
        ([], "at least 1"),
    ],
)
def test_what_cannot_be_a_chain_says_so(steps, says):
    with pytest.raises(ValidationError, match=says):
        chain(*steps)


def test_an_interpreter_that_is_not_there_and_a_folder_that_is_no_chain(tmp_path):
    step = {"name": "a", "command": ["version"], "python": "train"}
    with pytest.raises(UserError, match="does not exist"):
        planned(chain(step, python={"train": str(tmp_path / "none")}), tmp_path)
    one = chain({"name": "a", "command": ["plugins"]})
    run_chain(one, tmp_path / "o", quiet=True)
    with pytest.raises(UserError, match="holds the chain 'mine', not 'other'"):
        run_chain(one.model_copy(update={"name": "other"}), tmp_path / "o")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files and no chain"):
        run_chain(one, tmp_path)


def test_settings_and_variables_are_filled_in_as_set_reads_them(tmp_path):
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


def test_chains_that_come_with_the_package_are_whole(tmp_path):
    chains = [load_any(name) for name in shipped()]
    chains = [c for c in chains if isinstance(c, ChainRecipe)]
    assert {c.name for c in chains} >= {"demo", "counterfactual", "curate-train"}
    for one in chains:
        for step in one.steps:
            if step.recipe is not None:
                assert load_any(step.recipe)


def done(chain_recipe, out, **how):
    heard = []
    run_chain(chain_recipe, out, quiet=True, tell=lambda *x: heard.append(f"{x[0]} {x[1].split()[0]}"), **how)
    return heard


def worlds(*more):
    world = {"name": "world", "command": ["demo", "build", "-o", "{world}", "--questions", "6", "--seed", "{seed}"]}
    return chain(world, *more, vars={"seed": 1})


@pytest.mark.slow
def test_what_a_step_made_and_is_gone_or_damaged_is_made_again(tmp_path):
    one, out = worlds(), tmp_path / "out"
    assert done(one, out) == ["world begins", "world finished"] and done(one, out) == ["world done"]
    questions = out / "world/questions.json"
    whole = questions.read_bytes()
    questions.write_bytes(whole[:40])
    assert done(one, out)[0] == "world begins" and questions.read_bytes() == whole
    next((out / "world/clips").iterdir()).unlink()
    assert done(one, out)[0] == "world begins"
    # moved, nothing is done again
    out.rename(tmp_path / "moved")
    assert done(one, tmp_path / "moved") == ["world done"]


@pytest.mark.slow
def test_a_change_far_upstream_reaches_every_step_that_builds_on_it(tmp_path):
    """The step between makes nothing of its own that could tell."""
    look = {"name": "look", "command": ["recipe", "ls"]}
    last = {"name": "last", "command": ["recipe", "show", "swap"]}
    one, out = worlds(look, last), tmp_path / "out"
    done(one, out)
    assert done(one, out) == ["world done", "look done", "last done"]
    other = one.model_copy(update={"vars": {"seed": 2}})
    assert [t for t in done(other, out) if t.endswith("begins")] == ["world begins", "look begins", "last begins"]


def test_a_folder_that_a_step_did_not_make_is_left_alone(tmp_path):
    out = tmp_path / "out"
    one = chain({"name": "a", "command": ["recipe", "ls"]})
    run_chain(one, out, quiet=True)
    record = json.loads((out / "chain.json").read_text())
    record["steps"]["a"]["kind"] = "recipe"
    (out / "chain.json").write_text(json.dumps(record))
    (out / "a").mkdir()
    (out / "a/mine").write_text("mine")
    other = chain({"name": "a", "command": ["recipe", "ls", "--json"]})
    with pytest.raises(UserError, match="did not make it"):
        run_chain(other, out, quiet=True)
    assert (out / "a/mine").read_text() == "mine"
    (tmp_path / "elsewhere").mkdir()
    (out / "a/mine").unlink()
    (out / "a").rmdir()
    (out / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="did not make it"):
        run_chain(other, out, quiet=True)


ODD = ["[]", "{}", '{"steps": {}}', '{"steps": []}', '{"steps": {"a": 3}, "chain": {}}', "{", ""]


@pytest.mark.parametrize("damage", ODD)
def test_a_damaged_record_is_a_sentence(tmp_path, damage):
    one = chain({"name": "a", "command": ["recipe", "ls"]})
    run_chain(one, tmp_path / "o", quiet=True)
    (tmp_path / "o/chain.json").write_text(damage)
    for act in (lambda: run_chain(one, tmp_path / "o"), lambda: chain_status(tmp_path / "o")):
        with pytest.raises(UserError, match="is damaged"):
            act()


@pytest.mark.slow
def test_a_chain_that_runs_itself_ends(tmp_path):
    file = tmp_path / "self.yaml"
    file.write_text(json.dumps({"kind": "chain", "name": "self", "steps": [{"name": "again", "recipe": str(file)}]}))
    with pytest.raises(StepFailed):
        run_chain(load_any(str(file)), tmp_path / "o", quiet=True)


def test_a_step_may_not_change_what_another_made(tmp_path):
    """Run again, the other would change it back, and the chain would call both finished."""
    one = made(tmp_path)
    gone = {"name": "discard", "command": ["verify", "{swap}", "--discard-damaged"]}
    bad = one.model_copy(update={"steps": (one.steps[0], Step.model_validate(gone))})
    spoil = lambda step, what: (  # noqa: E731
        [p.write_bytes(b"x") for p in (tmp_path / "out/swap").rglob("*.mp4")]
        if (step, what) == ("discard", "begins")
        else None
    )
    with pytest.raises(UserError, match="step discard changed what step swap made"):
        run_chain(bad, tmp_path / "out", quiet=True, tell=spoil)
    assert state(tmp_path / "out") == {"swap": "finished", "discard": "failed"}


@pytest.mark.slow
def test_commands_on_runs_know_chains(tmp_path):
    one = made(tmp_path, [("a", "b"), ("b", "nosuch")])
    run_chain(one, tmp_path / "out", quiet=True)
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
    run_chain(one, tmp_path / "out", quiet=True)
    assert runner.invoke(app, ["verify", out]).exit_code == 0
