"""Train a model on shards, with a log and checkpoints."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import UserError
from avcurate.prompts import get_prompt
from avcurate.runner.execute import too_many_dead
from avcurate.runner.job import How
from avcurate.runner.rundir import RunDir, check_unchanged, located
from avcurate.runner.tally import Tally
from avcurate.scheduler.ability import within_limit
from avcurate.store.atomic import sha256
from avcurate.store.lock import writer_lock
from avcurate.store.manifest import digests
from avcurate.tasks.train.log import DEAD, METRICS, Tick, log_callback
from avcurate.train import processes, sharding
from avcurate.train.algorithm import Algorithm
from avcurate.train.checkpoints import CHECKPOINTS, newest_whole, step_of
from avcurate.train.media import Rows, read_dead
from avcurate.train.names import ALGORITHMS, REWARDS
from avcurate.train.recipe import TrainRecipe
from avcurate.train.scoring import Scorer
from avcurate.train.shards import Shards, drawn_by_weight, read_shards, refuse_mismatch

STAGE = "train"
# options that came after runs were recorded without them: at these values they change nothing
LATER: dict[str, Any] = {"updates": 1, "warmup": None, "lora_alpha": None, "judge_prompt": None, "by_weight": True}
LATER |= {"towers": "train", "reference": "float32", "clip_high": None}
LATER |= {"sft": {"setting": "av", "only_right": True}}
LATER_MAPO: dict[str, Any] = {"mask": "relevance", "log_eps": 1e-6, "entropy_temperature": 1.0}


def run_training(
    recipe: TrainRecipe, out: Path, tick: Tick = lambda step, steps, values: None, how: How | None = None
) -> Path:
    """Train or resume; returns the folder of the trained model, ``OUT/model``.

    Args:
        how: which questions (a limit or some ids), whether to discard a training run with other settings and start
            over, and the maximum share of dead questions.

    Raises:
        RecipeChanged: the folder holds a training run with other shards, questions, model or recipe.
        TooManyDead: more questions are dead than the limit allows; the model has been saved.
        UserError: incompatible shards, a missing package, or a judge or server that cannot be reached.
    """
    assert recipe.input.shards is not None
    checkpoint = Checkpoint(recipe.model, recipe.revision)
    try:
        import datasets  # noqa: F401
        import trl  # noqa: F401

        from avcurate.train import parts, rl
        from avcurate.train.frozen import freeze
        from avcurate.train.omni import Omni
        from avcurate.train.saving import save_adapter, save_model
    except ImportError as e:
        raise UserError(
            f"training needs {e.name or e}.",
            "In an environment without vLLM, which needs another transformers, run pip install 'avcurate[train]'.",
        ) from None
    algorithm = ALGORITHMS.get(recipe.algo)(recipe)
    rewards = {name: REWARDS.get(name) for name, weight in recipe.rewards.items() if weight and algorithm.rolls_out}
    columns = [*algorithm.columns, *(c for r in rewards.values() for c in r.columns)]
    needs_pem = [name for name, r in rewards.items() if r.needs_pem]
    shards = read_shards(recipe.input.shards, columns=list(dict.fromkeys(columns)), needs_pem=needs_pem)
    refuse_mismatch(shards.facts, recipe, checkpoint)
    _refuse_contradictions(recipe, algorithm, shards.facts)
    how = how or How()
    questions = _select_questions(shards.rows, how)
    offered = drawn_by_weight(questions, recipe.seed) if recipe.by_weight else questions
    from avcurate.engines.transformers_engine import TransformersEngine
    from avcurate.media.cache import ClipCache

    media = recipe.input.media or shards.media
    run = RunDir(out)
    first = processes.is_first()
    processes.prepare()
    with writer_lock(out) if first else nullcontext(), ExitStack() as stack:
        record: dict[str, Any] = {}
        if first:
            record = run.begin("train")
            _record_start(run, record, recipe, checkpoint, shards, how)
        out.mkdir(parents=True, exist_ok=True)
        # in full training, bfloat16 would round the weights after every update; LoRA weights are float32 anyway
        dtype = "auto" if recipe.lora_rank else "float32"
        _avoid_cudnn_attention()
        masked = recipe.maam_scope if recipe.maam else None
        engine = TransformersEngine(checkpoint, dtype=dtype, maam=masked, placed=not sharding.asked_for())
        engine.setup()
        sharding.shard_by_layer(engine.model)
        freeze(engine.model, engine.family, towers=recipe.towers == "freeze")
        clips = ClipCache(media, within_limit(engine, recipe.media), recipe.run.threads)
        stack.callback(clips.close)
        rows = Rows(clips, out / DEAD, engine.family.longest_sound)
        components = parts.Parts(
            Omni(engine),
            recipe,
            rows,
            _without_special_tokens(offered, rows, engine),
            out,
            recipe.report_to,
            log_callback(out, recipe, rows, tick),
        )
        trainer = algorithm.make_trainer(components)
        if trainer is None:
            served = _rollout_server(recipe, out, checkpoint, engine, stack)
            scorer = Scorer(recipe)
            scorer.setup()
            stack.callback(scorer.close)
            trainer = rl.make_trainer(components, algorithm, scorer, served)
        processes.refuse_lonely(trainer.accelerator.num_processes)
        plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
        sharding.refuse_unsharded(plugin is not None, getattr(plugin, "fsdp_version", 2))
        if first:
            newest_whole(out)
        processes.wait()
        checkpoint_folder = newest_whole(out)
        if checkpoint_folder is not None and step_of(checkpoint_folder) >= recipe.steps:
            # only saving the model is left; the Trainer would take one more step
            trainer._load_from_checkpoint(str(checkpoint_folder))
        else:
            trainer.train(resume_from_checkpoint=None if checkpoint_folder is None else str(checkpoint_folder))
            steps = trainer.state.global_step
            if steps < recipe.steps:
                raise UserError(f"training ended after {steps} of {recipe.steps} steps.", "See its log.")
        model = trainer.accelerator.unwrap_model(trainer.model)
        weights = sharding.weights_of(trainer.model)
        if not first:
            processes.wait()
            return out / "model"
        folder = save_model(model, engine.processor, checkpoint, out / "model", weights)
        save_adapter(model, out / "adapter", weights)
        processes.wait()
        dead = read_dead(out / DEAD)
        _record_end(run, record, len(questions), dead)
        if how.fail_on_dead is not None and len(dead) > how.fail_on_dead * len(questions):
            counts = dict(Counter(d["reason"] for d in dead))
            raise too_many_dead(STAGE, Tally(kept=len(questions) - len(dead), dead=counts), how.fail_on_dead)
        return folder


def _avoid_cudnn_attention() -> None:
    """Switch off one of torch's attention kernels: since torch 2.11 its backward pass gives NaN on Hopper GPUs.

    It does for masked batches whose length leaves 64 over multiples of 128, where a query scores all its keys low
    (pytorch#196678); seen here as a gradient of NaN at the fourth step of a Qwen3-Omni of real widths.
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)


def _select_questions(questions: list[dict[str, Any]], how: How) -> list[dict[str, Any]]:
    """The questions to train on.

    Raises:
        UserError: an option does not apply to training, or a question is not in the shards.
    """
    extent = how.extent
    if extent.records:
        raise UserError("shards have no record numbers, so --record does not apply.", "Name questions with --only.")
    if how.executor != "local":
        raise UserError(f"training does not support the executor {how.executor!r}.", "Leave out --executor.")
    if how.retry is not None:
        raise UserError("training has no rows to retry.", "Run the same command again; it retries every clip.")
    if absent := extent.only - {q["question_id"] for q in questions}:
        raise UserError(f"the shards have no question {sorted(absent)[0]!r}.", "Give ids from the column question_id.")
    chosen = [q for q in questions if not extent.only or q["question_id"] in extent.only]
    return chosen[: extent.limit] if extent.limit else chosen


def _clear_training(out: Path) -> None:
    """Remove the output of an earlier training run."""
    for folder in (CHECKPOINTS, "model", "adapter", "policy"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for file in (METRICS, DEAD):
        (out / file).unlink(missing_ok=True)


def _refuse_contradictions(recipe: TrainRecipe, algorithm: Algorithm, facts: dict[str, Any]) -> None:
    if sharding.asked_for() and not recipe.lora_rank and recipe.towers == "train":
        raise UserError(
            "under FSDP a process whose clips lack sound or picture would hang the others while towers are trained.",
            "Add --set towers=freeze, or train with LoRA, which leaves towers alone.",
        )
    if recipe.rollout_url and recipe.maam:
        raise UserError(
            "a server cannot sample under MAAM: vLLM does not support the mask, so rollouts would be off-policy.",
            "Leave out --rollout-url, or train without --maam and use it only at inference.",
        )
    plain = (recipe.temperature, recipe.top_p, recipe.top_k) == (1.0, 1.0, 0)
    if recipe.rollout_url and recipe.importance_cap and not plain:
        raise UserError(
            "a server reports probabilities before temperature, top_p and top_k, so its rollouts cannot be weighed.",
            "Set temperature: 1, top_p: 1 and top_k: 0, or importance_cap: 0.",
        )
    if not algorithm.rolls_out:
        if recipe.rollout_url:
            raise UserError(f"{recipe.algo} needs no rollouts, so it cannot use a server.", "Leave out --rollout-url.")
        shard_prompt, prompt = facts.get("prompt", ""), get_prompt(recipe.prompt).name
        if shard_prompt and shard_prompt != prompt:
            raise UserError(
                f"the shards' responses answer prompt {shard_prompt!r}, but this recipe uses {prompt!r}.",
                f"Set prompt: {shard_prompt} in the recipe; `train-demo-sft` has it.",
            )
    if recipe.maam and not get_prompt(recipe.prompt).fuses:
        raise UserError(
            f"MAAM masks separate-then-fuse responses, not those of prompt {get_prompt(recipe.prompt).name!r}.",
            "Set prompt: separate-then-fuse@1 in the recipe.",
        )


def _record_start(
    run: RunDir, record: dict[str, Any], recipe: TrainRecipe, checkpoint: Checkpoint, shards: Shards, how: How
) -> None:
    """Record the model, shards and settings, or refuse to resume a training run that used others."""
    folder = recipe.input.shards
    assert folder is not None
    excluded = {"kind", "name", "about", "input", "run", "model", "revision", "save_every", "judge", "rollout_url"}
    excluded |= {"report_to", "stage", "rollout_folder"}
    settings = recipe.model_dump(mode="json", exclude=excluded)
    settings = {k: v for k, v in settings.items() if LATER.get(k, ...) != v}
    settings["clip"] = ALGORITHMS.get(recipe.algo).clips[0] if recipe.clip is None else recipe.clip
    if not recipe.rollout_url or not recipe.importance_cap:
        settings.pop("importance_cap")
    settings["mapo"] = {k: v for k, v in settings["mapo"].items() if LATER_MAPO.get(k, ...) != v}
    identity = {
        "model": checkpoint.identity(),
        "shards": {k: shards.facts[k] for k in ("rows", "split", "thresholds", "processor")},
        "questions": {f.name: sha256(f) for f in sorted((folder / "data").iterdir())},
        "recipe": settings,
        "judge": recipe.judge.model if recipe.judge.urls else None,
        "rollouts": "server" if recipe.rollout_url else "model",
    }
    unused = checkpoint.family.unused if checkpoint.family is not None else ""
    if unused and not recipe.lora_rank:
        # trainings begun before that weight was left out hold optimiser state of it, and cannot go on
        identity["untrained"] = unused
    if how.extent.limit or how.extent.only:
        identity["chosen"] = {"limit": how.extent.limit, "only": sorted(how.extent.only)}
    check_unchanged(record, STAGE, identity, force=how.force)
    if how.force and record["stages"].get(STAGE, {}).get("identity") != json.loads(json.dumps(identity)):
        _clear_training(run.root)
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


def _without_special_tokens(questions: list[dict[str, Any]], rows: Rows, engine: Any) -> list[dict[str, Any]]:
    """Drop questions that contain special tokens: a media placeholder in a text would request missing media."""
    special_tokens = engine.processor.tokenizer.all_special_tokens
    kept = []
    for row in questions:
        token = next((m for m in special_tokens if any(m in text for text in (row["question"], *row["choices"]))), None)
        if token is None:
            kept.append(row)
        else:
            rows.leave_out(
                row, "special_token_in_question", f"the question or a choice contains the special token {token}"
            )
    return kept


def _rollout_server(recipe: TrainRecipe, out: Path, checkpoint: Checkpoint, engine: Any, stack: ExitStack) -> Any:
    """The server that samples rollouts, if the recipe names one."""
    if not recipe.rollout_url:
        return None
    from avcurate.train.saving import PARTIAL
    from avcurate.train.served import ServedRollouts

    folder = out / "policy"
    if recipe.rollout_folder is not None:
        # a folder of this training's own inside: it is replaced at every step
        digest = hashlib.sha256(str(out.resolve()).encode()).hexdigest()
        folder = recipe.rollout_folder / f"avcurate-policy-{digest[:12]}"
        if processes.is_first():
            for made in (folder, folder.with_name(folder.name + PARTIAL)):
                stack.callback(shutil.rmtree, made, ignore_errors=True)
    served = ServedRollouts(recipe.rollout_url, checkpoint, folder, engine.banned)
    served.setup()
    stack.callback(served.close)
    return served
