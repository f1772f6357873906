"""Run the steps of a chain as separate commands: each resumes by itself, and the chain records which are done."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avcurate.chain.recipe import ChainRecipe, Planned, planned
from avcurate.errors import AvcurateError, StepFailed, UserError
from avcurate.media.child import die_with_parent
from avcurate.store.atomic import sha256, write_json
from avcurate.store.lock import writer_lock

RECORD = "chain.json"
COMMAND, RECIPE = "command", "recipe"
DEPTH, MAX_DEPTH = "AVCURATE_CHAIN_DEPTH", 3
CONFIG, SMALL = "config.json", 8 << 20
POLL_S = 0.05
GRACE_S = 5.0
Tell = Callable[[str, str], None]
"""Called with (step, event)."""


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    step: Planned
    began: float


def read_chain(out: Path) -> dict[str, Any]:
    """Read the record of a chain.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        record: dict[str, Any] = json.loads((out / RECORD).read_text("utf-8"))
        if not all(isinstance(s["state"], str) for s in record["steps"].values()):
            raise ValueError("a step has no state")
        ChainRecipe.model_validate(record["chain"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        problem = " ".join(str(e).split())[:200]
        hint = "Restore it, or remove it and run the chain into a new folder."
        raise UserError(f"{out / RECORD} is damaged: {problem}", hint) from None
    return record


def run_chain(
    chain: ChainRecipe,
    out: Path,
    *,
    jobs: int = 1,
    quiet: bool = False,
    force: bool = False,
    tell: Tell = lambda step, what: None,
) -> None:
    """Run or resume a chain.

    A step that runs a recipe is always started and works out by itself what is left; a command is repeated only
    if its arguments, or the output of earlier steps, have changed.

    Args:
        jobs: number of independent steps to run in parallel; with more than one, output goes to OUT/logs.
        quiet: redirect the output of steps to standard error.
        force: recipes redo work done with other settings or inputs.

    Raises:
        StepFailed: a step failed; it has printed the error itself.
        UserError: the folder holds something else, or another process is running the chain.
    """
    depth = int(os.environ.get(DEPTH, "0"))
    if depth >= MAX_DEPTH:
        raise UserError(f"chains are nested more than {depth} deep.", "A step must not run its own chain.")
    steps = planned(chain, out)
    if force:
        steps = [replace(s, words=(*s.words, "--force")) if s.resumes else s for s in steps]
    if out.exists() and not (out / RECORD).exists() and any(p.name != "lock" for p in out.iterdir()):
        raise UserError(f"{out} is not a chain folder and is not empty.", "Give an empty or new folder with -o.")
    with writer_lock(out):
        record: dict[str, Any] = {"chain": chain.model_dump(mode="json"), "steps": {}}
        if (out / RECORD).exists():
            before = read_chain(out)
            if (name := before.get("chain", {}).get("name")) != chain.name:
                raise UserError(f"{out} holds the chain {name!r}, not {chain.name!r}.", "Give another folder with -o.")
            record["steps"] = {k: v for k, v in before["steps"].items() if k in {s.name for s in steps}}
        _Chain(out, steps, record, jobs, quiet, tell).run()


class _Chain:
    def __init__(
        self, out: Path, steps: list[Planned], record: dict[str, Any], jobs: int, quiet: bool, tell: Tell
    ) -> None:
        self.out, self.steps, self.record, self.jobs, self.quiet, self.tell = out, steps, record, jobs, quiet, tell
        self.running: list[_Running] = []
        self.done: set[str] = set()

    def run(self) -> None:
        self._save()
        waiting = list(self.steps)
        try:
            while waiting or self.running:
                for step in [s for s in waiting if set(s.after) <= self.done]:
                    if len(self.running) >= self.jobs:
                        break
                    waiting.remove(step)
                    self._start(step)
                self._reap()
                if self.running:
                    time.sleep(POLL_S)
        except BaseException:
            self._stop()
            raise

    def _start(self, step: Planned) -> None:
        entry = self.record["steps"].get(step.name, {})
        before = {name: made_by(self.out / name) for name in step.before}
        # the folder may move
        arguments = [w.replace(str(self.out), "{out}") for w in step.words if w != "--force"]
        unchanged = entry.get("words") == arguments and entry.get("before") == before
        intact = entry.get("made") == made_by(step.folder)
        if entry.get("state") == "finished" and unchanged and intact and not step.resumes:
            self.tell(step.name, "unchanged")
            self.done.add(step.name)
            return
        if not step.resumes and (step.folder.exists() or step.folder.is_symlink()):
            if entry.get("kind") != COMMAND or step.folder.is_symlink():
                raise UserError(
                    f"{step.folder} exists, and step {step.name} did not create it.",
                    "Remove it, or rename the step.",
                )
            shutil.rmtree(step.folder)
        self.tell(step.name, "started")
        self.record["steps"][step.name] = {
            "state": "running",
            "kind": RECIPE if step.resumes else COMMAND,
            "words": arguments,
            "before": before,
        }
        self._save()
        command = [step.python or sys.executable, "-m", "avcurate", *step.words]
        self.running.append(_Running(self._spawn(command, step.name), step, time.monotonic()))

    def _spawn(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        env = dict(os.environ) | {DEPTH: str(int(os.environ.get(DEPTH, "0")) + 1)}
        if self.jobs > 1:
            # in parallel, each step would use every core
            env.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.jobs)))

        def spawn(stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=env,
                # Ctrl-C reaches only this process, which stops each step once; no step outlives it
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),
            )

        if self.jobs == 1:
            return spawn(sys.stderr if self.quiet else None, None)
        (self.out / "logs").mkdir(exist_ok=True)
        with (self.out / "logs" / f"{name}.log").open("ab") as log:
            return spawn(log, log)

    def _reap(self) -> None:
        for job in [r for r in self.running if r.process.poll() is not None]:
            self.running.remove(job)
            code = job.process.returncode
            seconds = round(time.monotonic() - job.began, 1)
            entry = self.record["steps"][job.step.name]
            entry |= {"state": "failed" if code else "finished", "exit_code": code, "seconds": seconds}
            entry["made"] = made_by(job.step.folder)
            self._save()
            if not code:
                self._refuse_changes(job.step, entry)
            self.tell(job.step.name, f"ended with exit code {code}" if code else f"finished in {seconds:g} s")
            if code:
                details = f"See {self.out}/logs/{job.step.name}.log." if self.jobs > 1 else "Its error is above."
                raise StepFailed(
                    f"step {job.step.name} ended with exit code {code}: avcurate {' '.join(job.step.words)}",
                    f"{details} Run the same command again to resume.",
                    code,
                )
            self.done.add(job.step.name)

    def _refuse_changes(self, step: Planned, entry: dict[str, Any]) -> None:
        """Refuse a step that changed another step's output, which the next run of the chain would change back."""
        changed = next((name for name, digest in entry["before"].items() if made_by(self.out / name) != digest), None)
        if changed is None:
            return
        entry["state"] = "failed"
        self._save()
        raise UserError(
            f"step {step.name} changed the output of step {changed}: avcurate {' '.join(step.words)}",
            f"Set thresholds and the like in step {changed}, which would otherwise undo the change on the next run.",
        )

    def _stop(self) -> None:
        """Stop every running step so that it can resume."""
        for job in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(job.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        for job in self.running:
            try:
                job.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(job.process.pid, signal.SIGKILL)
                job.process.wait()
            self.record["steps"][job.step.name]["state"] = "stopped"
        self._save()

    def _save(self) -> None:
        write_json(self.out / RECORD, self.record)


def made_by(folder: Path) -> str:
    """Digest of a step's output; a missing folder has a digest, too.

    For a run, it covers the records of its parts, so pages and notes do not change it; for any other folder, the names
    and sizes of all files, and the bytes of small ones.
    """
    digest = hashlib.sha256()
    if (folder / "run.json").is_file() and not (folder / f"model/{CONFIG}").is_file():
        files = sorted(folder.rglob("part-*.json"))
    else:
        excluded = ("run.json", "lock", "report.html")
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in excluded)
    for path in files:
        size = path.stat().st_size
        content = sha256(path) if size <= SMALL else str(size)
        digest.update(f"{path.relative_to(folder)}\0{size}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def is_chain(out: Path) -> bool:
    """Whether a folder holds a chain."""
    return (out / RECORD).is_file()


def made_folders(out: Path) -> dict[str, Path]:
    """Folders created so far by the steps of a chain, by step.

    Raises:
        UserError: the record of the chain is missing or damaged.
    """
    names = [step["name"] for step in read_chain(out)["chain"]["steps"]]
    return {name: out / name for name in names if (out / name).is_dir()}


def chain_status(out: Path) -> dict[str, Any]:
    """State of every step, with the status of its run."""
    from avcurate.runner.rundir import RunDir
    from avcurate.runner.status import is_written, run_status

    record = read_chain(out)
    is_running = is_written(RunDir(out))
    steps: dict[str, Any] = {}
    for step in record["chain"]["steps"]:
        name = step["name"]
        entry = record["steps"].get(name, {"state": "not begun"})
        if entry["state"] == "running" and not is_running:
            entry = entry | {"state": "stopped"}
        steps[name] = {k: v for k, v in entry.items() if k not in ("before", "made", "kind")}
        run = RunDir(out / name)
        if run.exists():
            with contextlib.suppress(AvcurateError):
                steps[name]["run"] = run_status(run)
    states = {s["state"] for s in steps.values()}
    state = (
        "running" if is_running else "finished" if states == {"finished"} else "stopped; the same command resumes it"
    )
    return {"run": str(out), "task": "chain", "name": record["chain"]["name"], "state": state, "steps": steps}
