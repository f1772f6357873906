"""The chain behind ``avcurate train``: shards and a model in, a better model and its log out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import RecipeChanged, UserError
from avcurate.recipe import TrainRecipe
from avcurate.store.atomic import sha256, write_json
from avcurate.store.lock import writer_lock
from avcurate.train.shards import read_shards, refuse_mismatch

Tick = Callable[[int, int, dict[str, float]], None]


@dataclass(frozen=True)
class TrainJob:
    """One ``train`` invocation.

    Attributes:
        shards: folder of ``avcurate export``.
        out: where checkpoints, the log and the model go; a run that was interrupted goes on.
        model: ``embedded`` or a model folder or name.
        media: folder of the clips; by default the one the shards name.
        report_to: TRL's own switches (``trackio``, ``tensorboard``, ``wandb``).
    """

    shards: Path
    out: Path
    recipe: TrainRecipe
    model: str = "embedded"
    revision: str | None = None
    media: Path | None = None
    report_to: tuple[str, ...] = ()
    decode_workers: int = 2


def run_training(job: TrainJob, tick: Tick = lambda step, steps, values: None) -> Path:
    """Train, or go on training; returns the folder of the trained model, ``OUT/model``.

    Raises:
        RecipeChanged: the folder holds a training of other shards, model or recipe.
        UserError: shards that do not fit, or a missing package.
    """
    checkpoint = Checkpoint(job.model, job.revision)
    shards = read_shards(job.shards)
    refuse_mismatch(shards.facts, job.recipe, checkpoint)
    try:
        import datasets
        import transformers
        import trl  # noqa: F401

        from avcurate.train.omni import Omni
        from avcurate.train.trainer import OmniTrainer
    except ImportError as e:
        raise UserError(
            f"training needs {e.name or e}.",
            "Install it apart from vLLM, which needs another transformers: pip install 'avcurate[train]'.",
        ) from None
    from trl import GRPOConfig

    from avcurate.engines.transformers_engine import TransformersEngine
    from avcurate.media.cache import ClipCache
    from avcurate.media.decode import DecodeSpec

    recipe = job.recipe
    identity = {
        "model": checkpoint.identity(),
        "shards": {k: shards.facts[k] for k in ("rows", "split", "thresholds", "processor")},
        "questions": {f.name: sha256(f) for f in sorted((job.shards / "data").iterdir())},
        "media": str((job.media or shards.media).resolve()),
        "recipe": recipe.model_dump(mode="json", exclude={"name", "about", "save_every"}),
    }
    job.out.mkdir(parents=True, exist_ok=True)
    with writer_lock(job.out):
        _check(job.out, identity)
        engine = TransformersEngine(checkpoint, dtype="auto")
        engine.setup()
        clips = ClipCache(job.media or shards.media, DecodeSpec(**recipe.media.model_dump()), job.decode_workers)
        completions = recipe.prompts * recipe.group
        if completions % recipe.micro_batch:
            raise UserError(
                f"{recipe.prompts} questions of {recipe.group} rollouts are no multiple of micro_batch "
                f"{recipe.micro_batch}.",
                "Change one of the three in the recipe.",
            )
        passes = completions // recipe.micro_batch
        args = GRPOConfig(
            output_dir=str(job.out / "checkpoints"),
            max_steps=recipe.steps,
            per_device_train_batch_size=recipe.micro_batch,
            gradient_accumulation_steps=passes,
            steps_per_generation=passes,
            num_generations=recipe.group,
            max_completion_length=recipe.max_tokens,
            temperature=recipe.temperature,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=min(5, recipe.steps // 10),
            beta=0.0,
            loss_type="grpo",
            logging_steps=1,
            save_steps=recipe.save_every,
            save_total_limit=2,
            seed=recipe.seed,
            report_to=list(job.report_to),
            remove_unused_columns=False,
            gradient_checkpointing=engine._device != "cpu",
            gradient_checkpointing_kwargs={"use_reentrant": False},
            bf16=engine._device != "cpu",
            disable_tqdm=True,
        )
        data = datasets.Dataset.from_list([{"prompt": r["question"], "row": r} for r in shards.rows])
        trainer = OmniTrainer(
            Omni(engine),
            recipe,
            clips,
            args,
            train_dataset=data,
            processing_class=engine.processor.tokenizer,
            peft_config=_lora(recipe) if recipe.lora_rank else None,
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.add_callback(_log_callback(job.out / "metrics.jsonl", recipe.steps, tick))
        last = _last_checkpoint(Path(args.output_dir))
        trainer.train(resume_from_checkpoint=last)
        clips.close()
        return _save(trainer, engine, checkpoint, job.out / "model")


def _last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end: the Trainer's state is written last."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rsplit("-", 1)[1]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)
            continue
        return str(checkpoint)
    return None


def _check(out: Path, identity: dict[str, Any]) -> None:
    """Refuse to go on with what was begun otherwise."""
    file, now = out / "train.json", json.loads(json.dumps(identity))
    if file.is_file():
        before = json.loads(file.read_text("utf-8"))
        changed = [k for k in now if before.get(k) != now[k]]
        if changed:
            raise RecipeChanged(
                f"{out} holds a training with another {' and '.join(changed)}.", "Start a new one with another -o."
            )
    else:
        write_json(file, now)


def _lora(recipe: TrainRecipe) -> Any:
    from peft import LoraConfig

    # linear layers of the text decoder; towers and head stay as they are
    pattern = r".*(?:^|\.)(?:language_model|model)\.layers\.\d+\.(?:self_attn|mlp)\..*_proj"
    return LoraConfig(r=recipe.lora_rank, lora_alpha=2 * recipe.lora_rank, target_modules=pattern)


def _log_callback(file: Path, steps: int, tick: Tick) -> Any:
    from transformers import TrainerCallback

    class Log(TrainerCallback):  # type: ignore[misc]
        """Writes a line for every step; lines past a resumed checkpoint are replaced."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Forget steps that are done again."""
            kept = [line for line in read_metrics(file) if line["step"] <= state.global_step]
            file.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            """One line."""
            values = {
                k: v for k, v in (logs or {}).items() if isinstance(v, (int, float)) and not k.startswith("train_")
            }
            if not values:
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


def _save(trainer: Any, engine: Any, checkpoint: Checkpoint, target: Path) -> Path:
    """The trained weights beside the processor's files, so that every engine loads the folder."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.save_pretrained(target, safe_serialization=True)
    engine.processor.save_pretrained(target)
    if checkpoint.folder is not None:
        for file in checkpoint.folder.iterdir():
            # an index of the base's shards would send readers to files that are not there
            wanted = file.suffix in (".json", ".jinja", ".txt") and not file.name.endswith(".index.json")
            if wanted and not (target / file.name).exists():
                shutil.copy2(file, target / file.name)
    return target


def summarise_training(out: Path) -> dict[str, Any]:
    """First and last tenth of every logged value."""
    lines = read_metrics(out / "metrics.jsonl")
    names = sorted({k for line in lines for k in line} - {"step", "epoch"})
    tenth = max(1, len(lines) // 10)

    def mean(part: list[dict[str, Any]], name: str) -> float | None:
        values = [line[name] for line in part if line.get(name) is not None]
        return sum(values) / len(values) if values else None

    return {
        "out": str(out),
        "steps": lines[-1]["step"] if lines else 0,
        "values": {n: {"first": mean(lines[:tenth], n), "last": mean(lines[-tenth:], n)} for n in names},
    }
