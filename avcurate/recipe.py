"""A recipe: everything a run depends on, in one validated file.

Knows names and values; opens no model and no media.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avcurate.errors import UserError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(_Strict):
    """Which model answers, and through which engine."""

    engine: Literal["transformers", "vllm", "server", "scripted"] = Field(
        "transformers", description="How the model is run."
    )
    model: str = Field("embedded", description="`embedded`, a model name or folder; for scripted, the script.")
    revision: str | None = Field(None, description="Revision on the model hub.")
    urls: tuple[str, ...] = Field((), description="Servers, e.g. http://127.0.0.1:8000/v1.")
    served_name: str | None = Field(None, description="The model's name at the servers, where that is an alias of it.")
    max_sequences: int = Field(96, ge=1, description="Responses generated at the same time.")
    max_model_len: int = Field(32_768, ge=256, description="Longest prompt plus response, tokens (vllm).")
    dtype: str = Field("auto", description="Number format of the weights.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the checkpoint (vllm).")
    options: dict[str, Any] = Field(default_factory=dict, description="Passed to the engine as they are.")


class SamplingSpec(_Strict):
    """Decoding values."""

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0: off.")
    max_tokens: int = Field(1024, ge=1)
    first_logprobs: int = Field(0, ge=0, le=20, description="Likeliest first tokens whose log-probability is stored.")


class MediaSpec(_Strict):
    """How clips are decoded."""

    fps: float = Field(2.0, gt=0, description="Frames per second shown.")
    max_frames: int = Field(128, ge=2, description="Longer clips are shown at a lower rate.")
    max_pixels: int = Field(768 * 28 * 28, ge=64, description="Pixels per frame kept when decoding.")
    max_seconds: float = Field(300.0, gt=0)
    timeout_s: float = Field(60.0, gt=0, description="Wall time of one decode.")
    memory_mb: int = Field(4096, ge=256, description="Address space of one decode.")
    max_bytes: int = Field(8 << 30, ge=1, description="Largest file opened.")


class EmbedderSpec(_Strict):
    """What measures how alike reasonings are. ``tau_cot`` belongs to it: scales differ by embedder."""

    model: str = Field("embedded", description="`embedded`, a model name or folder, or http://host/v1#model.")
    tau_cot: float = Field(0.8, ge=-1, le=1, description="Least consistency of a solved setting.")


class Recipe(_Strict):
    """A label-pem run."""

    kind: Literal["label-pem"] = "label-pem"
    name: str = "label-pem"
    about: str = ""
    prompt: str = "cot@1"
    n: int = Field(8, ge=1, description="Responses per setting.")
    seed: int = Field(0, description="Run seed; every response's seed derives from it.")
    ablation: Literal["drop", "zero"] = "drop"
    layout: Literal["separate", "interleaved"] = "separate"
    early_exit: bool = True
    tau_acc: float = Field(0.75, gt=0, le=1, description="Least correctness rate of a solved setting.")
    model: ModelSpec = ModelSpec()
    sampling: SamplingSpec = SamplingSpec()
    media: MediaSpec = MediaSpec()
    embedder: EmbedderSpec = EmbedderSpec()


class PoolRecipe(_Strict):
    """The classes that are offered together as the options of one question."""

    kind: Literal["pool"]
    name: str
    about: str = ""
    classes: tuple[str, ...] = Field(min_length=2, max_length=26, description="Class names, verbatim.")


class BenchmarkRecipe(_Strict):
    """Which clips of a published list make a benchmark. Rules are applied in the order of the fields."""

    kind: Literal["benchmark"]
    name: str
    about: str = ""
    classes: tuple[str, ...] = Field((), description="Classes kept; none given: all.")
    only_av_label: bool = Field(
        False, description="VGGSounder: the set of classes both heard and seen is exactly the clip's own class."
    )
    without_flags: tuple[Literal["background_music", "static_image", "voice_over"], ...] = ()
    branches: tuple[str, ...] = Field(
        (), description="AudioSet: exactly one most specific class lies below these ontology nodes."
    )
    without_branches: tuple[str, ...] = Field((), description="AudioSet: no class lies below these.")
    per_class: int = Field(0, ge=0, description="At most so many clips of a class, drawn by the seed; 0: all.")
    total: int = Field(0, ge=0, description="At most so many clips in all, drawn by the seed; 0: all.")
    seed: int = 0


class PairRecipe(_Strict):
    """Which sound may be put under which picture."""

    kind: Literal["pair"]
    name: str
    about: str = ""
    embedder: str = Field("embedded", description="`embedded`, a model name or folder, or http://host/v1#model.")
    threshold: float = Field(
        0.3, ge=-1, le=2, description="A donor whose caption is as near as this to the clip's is refused (cosine)."
    )
    longest_loop: float = Field(4.0, ge=1, description="A donor may be so many times shorter than the picture.")
    least_level: float = Field(-55.0, le=0, description="Quieter donors are refused, dB of full scale (RMS).")
    most_gain: float = Field(30.0, ge=0, description="Donors further than this from the clip's own level, dB.")
    block: int = Field(2048, ge=2, le=8192, description="Clips solved together; more are dealt into blocks.")
    rounds: int = Field(3, ge=1, description="How often a large set is dealt into blocks.")
    listed: int = Field(5, ge=0, description="Nearest refused donors of each clip that are put on record.")
    seed: int = 0


class MapoSpec(_Strict):
    """What MAPO adds to GRPO; defaults are the paper's Table 5."""

    modality: Literal["audio", "video", "both"] = Field("audio", description="Whose tokens are taken out and watched.")
    gate: Literal["pos", "none"] = Field("pos", description="Attention is asked of content words only, or of all.")
    base: float = Field(1.0, gt=0, description="τ_base of the length-scaled temperature.")
    cap: float = Field(5.0, ge=0, description="C_mask, cap of both weights; 0: none.")
    eta: float = Field(0.1, ge=0, description="Weight of the attention loss.")
    exponent: float = Field(1.0, ge=0, description="κ of the temporal weight.")
    floor: float = Field(0.1, ge=0, le=1, description="α, what the failure gate leaves to right answers.")
    fail_at: float = Field(0.0, description="A completion failed whose accuracy reward is at most this.")
    prefactor_cap: float = Field(3.0, gt=0, description="C_pref.")
    layers: int = Field(5, ge=1, description="Deepest layers whose attention is watched.")


class TrainRecipe(_Strict):
    """GRPO, MAPO or SFT on exported shards."""

    kind: Literal["train"]
    name: str
    about: str = ""
    algo: Literal["grpo", "mapo", "sft"] = "grpo"
    prompt: str = "separate-then-fuse@1"
    accuracy_weight: float = Field(1.0, ge=0, description="Weight of the answer accuracy reward.")
    preference_weight: float = Field(0.2, ge=0, description="Weight of the modality preference and structure reward.")
    preference_form: Literal["conjunction", "halves"] = "conjunction"
    format_weight: float = Field(0.0, ge=0, description="Weight of the reward for <think> and <answer>, each once.")
    consistency_weight: float = Field(0.0, ge=0, description="Weight of the judge's word that reasons give the answer.")
    steps: int = Field(100, ge=1, description="Optimiser steps.")
    prompts: int = Field(12, ge=1, description="Questions of one step.")
    group: int = Field(4, ge=2, description="Rollouts of one question.")
    micro_batch: int = Field(16, ge=1, description="Completions of one forward pass with gradients.")
    learning_rate: float = Field(1e-5, gt=0)
    beta: float = Field(0.002, ge=0, description="Weight of the KL term.")
    clip: float = Field(0.2, gt=0, description="ε of the clipped surrogate.")
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0: off.")
    max_tokens: int = Field(1200, ge=1, description="Longest completion.")
    lora_rank: int = Field(0, ge=0, description="Rank of LoRA on all linear layers of the decoder; 0: full training.")
    maam: bool = Field(False, description="Rollouts and losses under the modality-asymmetric attention mask.")
    maam_scope: Literal["inner", "inner+open_tag", "span"] = Field(
        "inner+open_tag", description="Which tokens of a part query under the mask; `inner` is the paper's letter."
    )
    save_every: int = Field(50, ge=1, description="Steps between checkpoints.")
    seed: int = 0
    mapo: MapoSpec = MapoSpec()
    media: MediaSpec = MediaSpec()


AnyRecipe = Recipe | PoolRecipe | BenchmarkRecipe | PairRecipe | TrainRecipe
R = TypeVar("R", Recipe, PoolRecipe, BenchmarkRecipe, PairRecipe, TrainRecipe)
KINDS: dict[str, type[AnyRecipe]] = {
    "label-pem": Recipe,
    "pool": PoolRecipe,
    "benchmark": BenchmarkRecipe,
    "pair": PairRecipe,
    "train": TrainRecipe,
}


def recipe_folder() -> Path:
    """Where the recipes that come with the package lie."""
    packaged = Path(str(importlib.resources.files("avcurate"))) / "_pipelines"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "pipelines"


def shipped() -> dict[str, Path]:
    """Recipes that come with the package, by name."""
    return {p.stem: p for p in sorted(recipe_folder().glob("*.yaml"))}


def load_recipe(name: str, overrides: dict[str, Any] | None = None) -> Recipe:
    """A label-pem recipe by name or path, with overrides such as ``{"model.engine": "vllm"}`` applied.

    Raises:
        UserError: there is no such recipe, or a field of it is wrong; the message names the field.
    """
    return _of_kind(load_any(name, overrides), Recipe, name)


def load_pool(name: str) -> PoolRecipe:
    """A class pool by name or path; raises as :func:`load_recipe`."""
    return _of_kind(load_any(name), PoolRecipe, name)


def load_benchmark(name: str) -> BenchmarkRecipe:
    """A benchmark's rules by name or path; raises as :func:`load_recipe`."""
    return _of_kind(load_any(name), BenchmarkRecipe, name)


def load_pair(name: str, overrides: dict[str, Any] | None = None) -> PairRecipe:
    """How clips are paired, by name or path; raises as :func:`load_recipe`."""
    return _of_kind(load_any(name, overrides), PairRecipe, name)


def load_train(name: str, overrides: dict[str, Any] | None = None) -> TrainRecipe:
    """How a model is trained, by name or path; raises as :func:`load_recipe`."""
    return _of_kind(load_any(name, overrides), TrainRecipe, name)


def load_any(name: str, overrides: dict[str, Any] | None = None) -> AnyRecipe:
    """A recipe of any kind.

    Raises:
        UserError: there is no such recipe, or a field of it is wrong; the message names the field.
    """
    path = shipped().get(name) or Path(name)
    if not path.is_file():
        raise UserError(
            f"there is no recipe {name!r}.",
            f"Recipes are: {', '.join(shipped())}; or give the path of a .yaml file.",
        )
    try:
        data = yaml.safe_load(path.read_text("utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise UserError(f"{path} is not YAML: {e}", "Check it with `avcurate recipe validate`.") from None
    for dotted, value in (overrides or {}).items():
        if value is None:
            continue
        *parents, last = dotted.split(".")
        node = data
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return parse_recipe(data, str(path))


def parse_recipe(data: Any, where: str) -> AnyRecipe:
    """Validate a recipe of the kind that its field ``kind`` names (label-pem where it has none).

    Raises:
        UserError: naming the first wrong field.
    """
    kind = data.get("kind", "label-pem") if isinstance(data, dict) else "label-pem"
    if kind not in KINDS:
        raise UserError(f"{where}: there is no kind of recipe {kind!r}.", f"Kinds are: {', '.join(KINDS)}.")
    try:
        return KINDS[kind].model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise UserError(
            f"{where}: field {field!r}: {first['msg'].lower()}.",
            "`avcurate recipe show label-pem` prints a whole recipe.",
        ) from None


def parse_model(data: dict[str, Any]) -> ModelSpec:
    """A model given in pieces.

    Raises:
        UserError: naming the first wrong field.
    """
    try:
        return ModelSpec.model_validate(data)
    except ValidationError as e:
        first = e.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise UserError(
            f"model field {field!r}: {first['msg'].lower()}.", "See `avcurate recipe show label-pem`."
        ) from None


def _of_kind(found: AnyRecipe, wanted: type[R], name: str) -> R:
    if isinstance(found, wanted):
        return found
    raise UserError(f"{name} is a {found.kind} recipe, which cannot be used here.", "See `avcurate recipe ls`.")
