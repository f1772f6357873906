"""Shards and a model in, a better model and its log out."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import UserError
from avcurate.prompts import get_prompt
from avcurate.runner.execute import too_many_dead
from avcurate.runner.job import How
from avcurate.runner.rundir import RunDir, check_unchanged, located
from avcurate.runner.tally import Tally
from avcurate.store.atomic import sha256
from avcurate.store.lock import writer_lock
from avcurate.store.manifest import digests
from avcurate.train.algorithm import Algorithm
from avcurate.train.checkpoints import CHECKPOINTS, newest_whole, seal_checkpoint, step_of
from avcurate.train.media import Rows, read_dead
from avcurate.train.names import ALGORITHMS
from avcurate.train.recipe import TrainRecipe
from avcurate.train.scoring import Scorer
from avcurate.train.shards import Shards, read_shards, refuse_mismatch

STAGE = "train"
METRICS = "metrics.jsonl"
DEAD = "dead.jsonl"

Tick = Callable[[int, int, dict[str, float]], None]


def run_training(
    recipe: TrainRecipe, out: Path, tick: Tick = lambda step, steps, values: None, how: How | None = None
) -> Path:
    """Train, or resume; returns the folder of the trained model, ``OUT/model``.

    Args:
        how: which questions (the first so many, or some by id), whether what was trained with other settings is
            removed and trained again, and the share of dead questions that is too many.

    Raises:
        RecipeChanged: the folder holds a training of other shards, questions, model or recipe.
        TooManyDead: more questions could not be trained on than the limit allows; the model is there.
        UserError: shards that do not fit, a missing package, or a judge or server that cannot be reached.
    """
    assert recipe.input.shards is not None
    checkpoint = Checkpoint(recipe.model, recipe.revision)
    try:
        import datasets  # noqa: F401
        import trl  # noqa: F401

        from avcurate.train import parts, rl
        from avcurate.train.omni import Omni
        from avcurate.train.saving import save_model
    except ImportError as e:
        raise UserError(
            f"training needs {e.name or e}.",
            "Install it apart from vLLM, which needs another transformers: pip install 'avcurate[train]'.",
        ) from None
    algorithm = ALGORITHMS.get(recipe.algo)(recipe)
    shards = read_shards(recipe.input.shards, columns=algorithm.columns)
    refuse_mismatch(shards.facts, recipe, checkpoint)
    _refuse_contradictions(recipe, algorithm, shards.facts)
    how = how or How()
    questions = _chosen(shards.rows, how)
    from avcurate.engines.transformers_engine import TransformersEngine
    from avcurate.media.cache import ClipCache
    from avcurate.media.decode import DecodeSpec

    media = recipe.input.media or shards.media
    run = RunDir(out)
    with writer_lock(out), ExitStack() as open_things:
        record = run.begin("train")
        _record_start(run, record, recipe, checkpoint, shards, how)
        # weights that take the updates themselves must not be rounded to bfloat16 after each; LoRA's are float32
        dtype = "auto" if recipe.lora_rank else "float32"
        engine = TransformersEngine(checkpoint, dtype=dtype, maam=recipe.maam_scope if recipe.maam else None)
        engine.setup()
        clips = ClipCache(media, DecodeSpec(**recipe.media.model_dump()), recipe.run.workers)
        open_things.callback(clips.close)
        rows = Rows(clips, out / DEAD)
        made_of = parts.Parts(
            Omni(engine),
            recipe,
            rows,
            _askable(questions, rows, engine),
            out,
            recipe.report_to,
            _log_callback(out, recipe, rows, tick),
        )
        trainer = algorithm.make_trainer(made_of)
        if trainer is None:
            served = _served(recipe, out, checkpoint, engine, open_things)
            scorer = Scorer(recipe)
            scorer.setup()
            open_things.callback(scorer.close)
            trainer = rl.make_trainer(made_of, algorithm, scorer, served)
        begun = newest_whole(out)
        if begun is not None and step_of(begun) >= recipe.steps:
            # only the model was not written; the Trainer would take one step more
            trainer._load_from_checkpoint(str(begun))
        else:
            trainer.train(resume_from_checkpoint=None if begun is None else str(begun))
            steps = trainer.state.global_step
            if steps < recipe.steps:
                raise UserError(f"training ended after {steps} of {recipe.steps} steps.", "See its log.")
        model = trainer.accelerator.unwrap_model(trainer.model)
        folder = save_model(model, engine.processor, checkpoint, out / "model")
        dead = read_dead(out / DEAD)
        _record_end(run, record, len(questions), dead)
        if how.fail_on_dead is not None and len(dead) > how.fail_on_dead * len(questions):
            counts = dict(Counter(d["reason"] for d in dead))
            raise too_many_dead(STAGE, Tally(kept=len(questions) - len(dead), dead=counts), how.fail_on_dead)
        return folder


def _chosen(questions: list[dict[str, Any]], how: How) -> list[dict[str, Any]]:
    """The questions that are trained on.

    Raises:
        UserError: something is asked for that a training does not have, or a question that is not in the shards.
    """
    extent = how.extent
    if extent.records:
        raise UserError("shards have no record numbers, so --record means nothing here.", "Name questions with --only.")
    if how.executor != "local":
        raise UserError(f"a training does not run on the executor {how.executor!r}.", "Leave out --executor.")
    if how.retry is not None:
        raise UserError("a training has no rows to retry.", "Run the same command again; it tries every clip again.")
    if absent := extent.only - {q["question_id"] for q in questions}:
        raise UserError(f"no question of the shards is {sorted(absent)[0]!r}.", "Name ids of the column question_id.")
    chosen = [q for q in questions if not extent.only or q["question_id"] in extent.only]
    return chosen[: extent.limit] if extent.limit else chosen


def _begin_again(out: Path) -> None:
    """Remove what an earlier training left."""
    for folder in (CHECKPOINTS, "model", "policy"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for file in (METRICS, DEAD):
        (out / file).unlink(missing_ok=True)


def _refuse_contradictions(recipe: TrainRecipe, algorithm: Algorithm, facts: dict[str, Any]) -> None:
    if recipe.rollout_url and recipe.maam:
        raise UserError(
            "a server cannot sample under MAAM: vLLM has no such mask, and rollouts would not be the policy's own.",
            "Leave out --rollout-url, or train without --maam and use it at inference alone.",
        )
    if not algorithm.rolls_out:
        if recipe.rollout_url:
            raise UserError(f"{recipe.algo} makes no rollouts, so no server can make them.", "Leave out --rollout-url.")
        asked, ours = facts.get("prompt", ""), get_prompt(recipe.prompt).name
        if asked and asked != ours:
            raise UserError(
                f"the shards' responses answer prompt {asked!r}, this training asks {ours!r}.",
                f"Set prompt: {asked} in the recipe; `train-demo-sft` has it.",
            )
    if recipe.maam and not get_prompt(recipe.prompt).fuses:
        raise UserError(
            f"MAAM masks separate-then-fuse responses, not those of prompt {get_prompt(recipe.prompt).name!r}.",
            "Set prompt: separate-then-fuse@1 in the recipe.",
        )


def _record_start(
    run: RunDir, record: dict[str, Any], recipe: TrainRecipe, checkpoint: Checkpoint, shards: Shards, how: How
) -> None:
    """Record what is trained on what, or refuse to resume what was begun with something else."""
    folder = recipe.input.shards
    assert folder is not None
    left_out = {"kind", "name", "about", "input", "run", "model", "revision", "save_every", "judge", "rollout_url"}
    left_out |= {"report_to", "stage"}
    identity = {
        "model": checkpoint.identity(),
        "shards": {k: shards.facts[k] for k in ("rows", "split", "thresholds", "processor")},
        "questions": {f.name: sha256(f) for f in sorted((folder / "data").iterdir())},
        "recipe": recipe.model_dump(mode="json", exclude=left_out),
        "judge": recipe.judge.model if recipe.judge.urls else None,
        "rollouts": "server" if recipe.rollout_url else "model",
    }
    if how.extent.limit or how.extent.only:
        identity["chosen"] = {"limit": how.extent.limit, "only": sorted(how.extent.only)}
    check_unchanged(record, STAGE, identity, force=how.force)
    if how.force and record["stages"].get(STAGE, {}).get("identity") != json.loads(json.dumps(identity)):
        _begin_again(run.root)
    record["recipe"] = recipe.model_dump(mode="json", exclude={"input"})
    media = recipe.input.media or shards.media
    record["input"] = {"shards": located(folder, run.root), "media": located(media, run.root)}
    record["stages"].setdefault(STAGE, {})["identity"] = json.loads(json.dumps(identity))
    record.pop("complete", None)
    run.save(record)


def _record_end(run: RunDir, record: dict[str, Any], questions: int, dead: list[dict[str, Any]]) -> None:
    counts = dict(Counter(d["reason"] for d in dead))
    record["stages"][STAGE] |= {
        "complete": True,
        "in": questions,
        "kept": questions - len(dead),
        "filtered": {},
        "dead": counts,
    }
    record["files"] = {f"model/{name}": digest for name, digest in digests(run.root / "model").items()}
    record["complete"] = True
    run.save(record)


def _askable(questions: list[dict[str, Any]], rows: Rows, engine: Any) -> list[dict[str, Any]]:
    """Questions whose words are only words: one that holds a placeholder would ask for media that are not there."""
    marks = engine.processor.tokenizer.all_special_tokens
    found = []
    for row in questions:
        mark = next((m for m in marks if any(m in text for text in (row["question"], *row["choices"]))), None)
        if mark is None:
            found.append(row)
        else:
            rows.leave_out(row, "special_token_in_question", f"the question or a choice holds the special token {mark}")
    return found


def _served(recipe: TrainRecipe, out: Path, checkpoint: Checkpoint, engine: Any, open_things: ExitStack) -> Any:
    """The server that samples rollouts, where one is asked for."""
    if not recipe.rollout_url:
        return None
    from avcurate.train.served import ServedRollouts

    served = ServedRollouts(recipe.rollout_url, checkpoint, out / "policy", engine.banned)
    served.setup()
    open_things.callback(served.close)
    return served


def _log_callback(out: Path, recipe: TrainRecipe, rows: Rows, tick: Tick) -> Any:
    file, steps = out / METRICS, recipe.steps
    from transformers import TrainerCallback

    class Log(TrainerCallback):  # type: ignore[misc]
        """Writes a line for every step; lines past a resumed checkpoint are replaced."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Forget steps that are done again."""
            kept = [line for line in read_metrics(file) if line["step"] <= state.global_step]
            file.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """The Trainer has written a checkpoint."""
            seal_checkpoint(out, state.global_step)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            """One line."""
            values = {k: v for k, v in (logs or {}).items() if isinstance(v, (int, float))}
            # before the Trainer saves: a checkpoint with such weights would be resumed from
            broken = [k for k in ("loss", "grad_norm") if not math.isfinite(values.get(k, 0.0))]
            if broken:
                raise UserError(
                    f"{broken[0]} is {values[broken[0]]} at step {state.global_step}, after the questions "
                    f"{', '.join(rows.lately(recipe.prompts))}.",
                    "Lower learning_rate, or leave those questions out of the shards; the same command goes on from "
                    "the last checkpoint, which was written before.",
                )
            # the Trainer's closing words are no step
            if not values or "train_runtime" in values:
                return
            with file.open("a", encoding="utf-8") as f:
                f.write(json.dumps({"step": state.global_step, **values}) + "\n")
            tick(state.global_step, steps, values)

    return Log()


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """Lines of a training's log; a line that a crash cut off is left out."""
    found = []
    for line in file.read_text("utf-8").splitlines() if file.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def summarise_training(out: Path) -> dict[str, Any]:
    """First and last tenth of every logged value."""
    lines = read_metrics(out / METRICS)
    names = sorted({k for line in lines for k in line} - {"step", "epoch"})
    tenth = max(1, len(lines) // 10)

    def mean(part: list[dict[str, Any]], name: str) -> float | None:
        values = [line[name] for line in part if line.get(name) is not None]
        return sum(values) / len(values) if values else None

    return {
        "out": str(out),
        "dead": len(read_dead(out / DEAD)),
        "steps": lines[-1]["step"] if lines else 0,
        "values": {n: {"first": mean(lines[:tenth], n), "last": mean(lines[-tenth:], n)} for n in names},
    }
