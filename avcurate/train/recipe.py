"""Options of ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from avcurate.recipe import Argument, Flag, MediaPath, MediaSpec, ModelSpec, PromptField, Required, Strict, TaskRecipe
from avcurate.train.names import ALGORITHMS, REWARDS
from avcurate.train.rewards import STAGE_1, STAGE_2

STAGES: dict[str, dict[str, Any]] = {
    name: {"rewards": weights, "prompt": "separate-then-fuse@1"} for name, weights in (("1", STAGE_1), ("2", STAGE_2))
}
_RENAMED = {f"{n}_weight": n for n in ("accuracy", "preference", "format", "consistency")}


PLACES = ("reasoning", "answer")
"""What a judge's prompt must have a place for, in braces."""


def read_judge_prompt(value: Any) -> Any:
    """A judge's prompt; a string that ends in ``.txt`` is read as a file, whose content becomes part of the recipe.

    The names in MAPO's Appendix B, ``{think_text}`` and ``{answer_text}``, are taken as well.
    """
    if not isinstance(value, str):
        return value
    text = Path(value).read_text("utf-8") if value.endswith(".txt") else value
    text = text.replace("{think_text}", "{reasoning}").replace("{answer_text}", "{answer}")
    missing = [p for p in PLACES if f"{{{p}}}" not in text]
    if missing:
        raise ValueError(f"the judge's prompt has no {{{missing[0]}}}")
    return text


class MapoSpec(Strict):
    """What MAPO adds to GRPO; defaults are the paper's Table 5."""

    modality: Literal["audio", "video", "both"] = Field(
        "audio", description="Modality that is removed for the reference and whose attention is watched."
    )
    gate: Literal["pos", "none"] = Field(
        "pos", description="`pos`: attention loss on content words only; `none`: on all tokens."
    )
    base: float = Field(1.0, gt=0, description="τ_base of the length-scaled temperature.")
    cap: float = Field(5.0, ge=0, description="C_mask, cap on both weights; 0: none.")
    eta: float = Field(0.1, ge=0, description="Weight of the attention loss.")
    exponent: float = Field(1.0, ge=0, description="κ of the temporal weight.")
    floor: float = Field(0.1, ge=0, le=1, description="α, the failure gate's weight for right answers.")
    fail_at: float = Field(0.0, description="A completion has failed if its accuracy reward is at most this.")
    prefactor_cap: float = Field(3.0, gt=0, description="C_pref, cap on the prefactor.")
    advantage_floor: float = Field(
        0.1, ge=0, description="ε, least |advantage| in the attention loss: groups that fail as one count too."
    )
    layers: int = Field(5, ge=1, description="Number of deepest layers whose attention is watched.")
    mask: Literal["relevance", "none"] = Field(
        "relevance", description="`relevance`: tokens weighted by ω; `none`: all alike, as in GRPO (an ablation)."
    )
    log_eps: float = Field(1e-6, gt=0, description="ε added to the mass inside the logarithm; not the advantage's ε.")
    entropy_temperature: float = Field(
        1.0, gt=0, description="Temperature of both entropies; the paper states none, and its release divides by none."
    )


class SftSpec(Strict):
    """Which stored responses supervised fine-tuning learns from."""

    setting: Literal["a", "v", "av"] = Field(
        "av",
        description="Setting whose responses are targets. The policy is shown sound and picture in any case: responses "
        "from one of them alone teach it to neglect the other.",
    )
    only_right: bool = Field(True, description="Learn from right responses only.")


class TrainInput(Strict):
    """Shards, and where their clips are."""

    shards: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="Folder written by `avcurate export`."
    )
    media: Annotated[MediaPath | None, Flag("--media")] = Field(
        None, description="Folder of the clips; by default the one named in the shards."
    )


class ConsistencyModel(ModelSpec):
    """The judge of consistency."""

    engine: str = Field("server", description="How the judge is run.")
    model: Annotated[str, Flag("--judge-model")] = Field(
        "Qwen/Qwen3-30B-A3B-Instruct-2507", description="The judge, by its name on the server."
    )
    urls: Annotated[tuple[str, ...], Flag("--judge-url")] = Field(
        (), description="OpenAI-compatible server that judges consistency; repeatable."
    )
    served_name: str | None = Field(None, description="The judge's name on its server, if that is an alias.")


class TrainRecipe(TaskRecipe):
    """GRPO, MAPO or SFT on exported shards."""

    kind: Literal["train"] = "train"
    input: TrainInput = TrainInput()
    model: Annotated[str, Flag("--model", "-m")] = Field(
        "embedded", description="`embedded`, or a model folder or name."
    )
    revision: str | None = Field(None, description="Revision on the model hub.")
    stage: Annotated[Literal["1", "2"] | None, Flag("--stage")] = Field(
        None, description="SFFL's reward and prompt: 1 is PEM and structure, 2 adds answers. Sets the weights."
    )
    judge: ConsistencyModel = ConsistencyModel()
    judge_prompt: Annotated[str | None, BeforeValidator(read_judge_prompt), Flag("--judge-prompt")] = Field(
        None, description="The judge's prompt, as text or a .txt file, with {reasoning} and {answer}; null: our own."
    )
    rollout_url: Annotated[str | None, Flag("--rollout-url")] = Field(
        None, description="vLLM server that samples rollouts; it receives the weights each step."
    )
    rollout_folder: Path | None = Field(
        None,
        description="Folder in which that server finds the weights, seen by both under one path; null: in the output. "
        "One in memory (/dev/shm) spares the disk where both are on one machine; they are removed in the end.",
    )
    report_to: Annotated[tuple[str, ...], Flag("--report-to")] = Field(
        (), description="trackio, tensorboard or wandb; repeatable."
    )
    algo: Annotated[str, Flag("--algo")] = Field(
        "grpo", description="grpo, mapo, gspo, dapo, dr-grpo, sft or a plug-in's; `avcurate plugins` lists them."
    )
    prompt: Annotated[PromptField, Flag("--prompt", help="Prompt by name, or a .yaml file of your own.")] = Field(
        "separate-then-fuse@1", description="Prompt by name, or your own fields or file."
    )
    rewards: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(
        STAGE_2, description="Weight of each reward, by name; `avcurate plugins` lists them."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of plug-in algorithms and rewards; each reads its own."
    )
    by_weight: bool = Field(
        True, description="Draw questions by the shards' column `weight`, if they have one (`export --balance`)."
    )
    steps: Annotated[int, Flag("--steps")] = Field(100, ge=1, description="Optimiser steps.")
    prompts: int = Field(12, ge=1, description="Questions whose rollouts are sampled at a time.")
    group: int = Field(4, ge=2, description="Rollouts per question.")
    micro_batch: int = Field(16, ge=1, description="Completions per forward pass with gradients.")
    updates: Annotated[int, Flag("--updates")] = Field(
        1,
        ge=1,
        description="Optimiser steps on one step's rollouts; above 1 the later ones are off-policy and clipped.",
    )
    learning_rate: float = Field(1e-5, gt=0, description="Learning rate after a short warm-up; constant.")
    warmup: float | None = Field(
        None, ge=0, le=1, description="Share of the steps in which the rate rises; null: a tenth, at most five steps."
    )
    beta: float = Field(0.002, ge=0, description="Weight of the KL term.")
    reference: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Number format of the frozen copy that the KL term and MAPO read in full training; under FSDP it "
        "is sharded. With LoRA the base itself is read.",
    )
    clip: float | None = Field(
        None,
        gt=0,
        description="ε of the clipped surrogate, both sides; null: the algorithm's own (0.2; GSPO 3e-4).",
    )
    clip_high: float | None = Field(
        None, gt=0, description="ε above 1; null: as `clip`, or the algorithm's own (GSPO 4e-4, DAPO 0.28)."
    )
    importance_cap: float = Field(
        2.0,
        ge=0,
        description="Cap of the importance weights of rollouts from a server, whose kernels give other probabilities "
        "than training's; 0: no weights.",
    )
    temperature: float = Field(1.0, gt=0, description="Temperature of rollouts.")
    top_p: float = Field(1.0, gt=0, le=1, description="Probability mass that rollouts are sampled from.")
    top_k: int = Field(0, ge=0, description="Likeliest tokens that rollouts are sampled from; 0: all.")
    max_tokens: int = Field(1200, ge=1, description="Longest completion, tokens.")
    lora_rank: Annotated[int, Flag("--lora")] = Field(
        0, ge=0, description="Rank of LoRA on all linear layers of the decoder; 0: full training."
    )
    lora_alpha: float | None = Field(None, gt=0, description="α of LoRA; null: twice the rank.")
    towers: Literal["train", "freeze"] = Field(
        "train",
        description="Whether full training trains what hears and sees; `freeze`: the text decoder alone (FSDP).",
    )
    maam: Annotated[bool, Flag("--maam/--no-maam")] = Field(
        False, description="Rollouts and losses under the modality-asymmetric attention mask."
    )
    maam_scope: Literal["inner", "inner+open_tag", "span"] = Field(
        "inner+open_tag",
        description="Which query tokens of a part the mask applies to; `inner` is the paper to the letter.",
    )
    save_every: int = Field(50, ge=1, description="Steps between checkpoints.")
    seed: Annotated[int, Flag("--seed")] = Field(0, description="Seed of the training.")
    mapo: MapoSpec = MapoSpec()
    sft: SftSpec = SftSpec()
    media: MediaSpec = MediaSpec()

    @model_validator(mode="before")
    @classmethod
    def _stage_sets_weights(cls, data: Any) -> Any:
        """``stage`` is short for SFFL's rewards and prompt of that stage."""
        old = next((k for k in _RENAMED if isinstance(data, dict) and k in data), None)
        if old is not None:
            raise ValueError(f"{old} is now written rewards: {{{_RENAMED[old]}: WEIGHT}}")
        if isinstance(data, dict) and str(data.get("stage") or "") in STAGES:
            return {**data, "stage": str(data["stage"]), **STAGES[str(data["stage"])]}
        return data

    @model_validator(mode="after")
    def _saves_between_rollouts(self) -> Self:
        if self.save_every % self.updates:
            raise ValueError(
                f"save_every {self.save_every} is not a multiple of updates {self.updates}: training resumes where "
                "rollouts are sampled"
            )
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for registry, names in ((ALGORITHMS, [self.algo]), (REWARDS, list(self.rewards))):
            unknown = [n for n in names if n not in registry]
            if unknown:
                raise ValueError(f"there is no {registry.kind} {unknown[0]!r}; known: {', '.join(registry.names())}")
        return self
