"""A Qwen3-Omni of real widths on this machine's GPU: our sampler, `check`, `label-pem`, and a step of GRPO and MAPO.

No weights are fetched: they are drawn on the device, so answers mean nothing and times do. Run from the repository's
root, with the extra `train`:

    python -m benchmarks.wide --layers 40 --train-layers 24

`--tiny` runs the same with a model of a few thousand weights, on a CPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.train_step import shards, steps


def say(**figures: Any) -> None:
    """One line of JSON."""
    print(json.dumps(figures), flush=True)


def wide_config(layers: int) -> dict[str, dict[str, Any]]:
    """Widths of Qwen3-Omni-30B-A3B, with that many decoder layers."""
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True}
    text = {
        "vocab_size": 152_064, "hidden_size": 2048, "intermediate_size": 768, "num_hidden_layers": layers,
        "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "max_position_embeddings": 65_536,
        "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": True,
        "decoder_sparse_step": 1, "mlp_only_layers": [], "rope_parameters": rope | {"interleaved": True},
        "tie_word_embeddings": False,
    }  # fmt: skip
    vision = {
        "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
        "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 2048, "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [8, 16, 24], "image_size": 768, "apply_vit_abs_pos_embed": True,
        "tokens_per_second": 2,
    }  # fmt: skip
    audio = {
        "num_mel_bins": 128, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120,
        "d_model": 1280, "output_dim": 2048, "n_window": 50, "n_window_infer": 800, "conv_chunksize": 500,
        "downsample_hidden_size": 480, "max_source_positions": 1500,
    }  # fmt: skip
    return {"text_config": text, "vision_config": vision, "audio_config": audio}


def write_folder(folder: Path, layers: int) -> Path:
    """Configuration, tokenizer and processor of such a model; no weights."""
    from tests.families.tiny_qwen import build

    widths = wide_config(layers)
    build("qwen3_omni_moe", folder)
    config = json.loads((folder / "config.json").read_text())
    small = config["thinker_config"]
    for part, values in widths.items():
        kept = ("eos_token_id", "pad_token_id", "bos_token_id")
        small[part] = {k: v for k, v in small[part].items() if k in kept} | values
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    (folder / "avcurate.json").unlink()
    return folder


def draw_weights(scale: float) -> None:
    """Let thinkers be made on the device instead of being read."""
    import torch
    import transformers

    kind = transformers.Qwen3OmniMoeThinkerForConditionalGeneration

    def drawn(path: str, dtype: Any, **_: Any) -> Any:
        config = transformers.Qwen3OmniMoeConfig.from_pretrained(path).thinker_config
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            with torch.device("cuda"):
                model = kind(config)
        finally:
            torch.set_default_dtype(before)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim > 1 and "embed" not in name:
                    weight.normal_(0, 0.02 * scale)
        model.generation_config = transformers.GenerationConfig.from_pretrained(path)
        return model

    kind.from_pretrained = staticmethod(drawn)


def sampler(device: str, rows: int, size: int) -> None:
    """Milliseconds a step of the seeded sampler takes."""
    import torch

    from avcurate.engines.base import Sampling
    from avcurate.engines.sampling import SeededSampler

    logits = torch.randn(rows, size, device=device) * 3
    for name, sampling in {
        "top-k 20": Sampling(top_k=20),
        "top-k 20, top-p 0.8": Sampling(top_k=20, top_p=0.8),
        "top-p 0.9": Sampling(top_p=0.9),
        "full vocabulary": Sampling(),
    }.items():
        own = SeededSampler(list(range(rows)), sampling, list(range(7)), device)
        for _ in range(5):
            own.draw(logits)
        _wait(device)
        began = time.perf_counter()
        for _ in range(20):
            own.draw(logits)
        _wait(device)
        say(what=f"sampler, {name}, {rows} x {size}", ms=round((time.perf_counter() - began) / 20 * 1e3, 3))
    # the same seeds draw the same tokens on both devices
    here = SeededSampler(list(range(rows)), Sampling(top_k=20), [], device).draw(logits).tolist()
    there = SeededSampler(list(range(rows)), Sampling(top_k=20), []).draw(logits.cpu()).tolist()
    say(what="tokens equal to those drawn on the CPU", equal=sum(a == b for a, b in zip(here, there, strict=True)))


def _free() -> None:
    """Give back the memory of models that nobody holds."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache() if torch.cuda.is_available() else None


def _wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def _watched() -> list[tuple[float, float]]:
    """When the engine generated, from now on: filled while it does."""
    from avcurate.engines.transformers_engine import TransformersEngine

    spans: list[tuple[float, float]] = []
    generate = TransformersEngine._generate

    def timed(self: Any, batch: Any) -> Any:
        began = time.perf_counter()
        replies = generate(self, batch)
        spans.append((began, time.perf_counter()))
        return replies

    TransformersEngine._generate = timed  # type: ignore[method-assign]
    return spans


def answer(folder: Path, world: Path, count: int, max_tokens: int, out: Path) -> None:
    """`check`, then `label-pem`, as the commands do them."""
    import torch

    from avcurate.engines.conformance import Asked, conformance
    from avcurate.engines.open import open_engine
    from avcurate.tasks.label_pem.recipe import LabelPemRecipe
    from avcurate.tasks.label_pem.task import LabelPem
    from avcurate.tasks.run import load_recipe

    changes = {
        "model.model": str(folder),
        "sampling.max_tokens": max_tokens,
        "sampling.top_k": 20,
        "media.max_frames": 32,
        "media.max_pixels": 200_704,
        "input.annotations": str(world / "questions.json"),
        "input.media": str(world / "clips"),
    }
    recipe = load_recipe(LabelPem, "label-pem", changes)
    assert isinstance(recipe, LabelPemRecipe)
    spec = recipe.spec()
    for finding in conformance(open_engine(recipe.model), Asked(spec.prompt, spec.n, spec.sampling, spec.media)):
        say(what=f"check: {finding.what}", state=finding.state, about=finding.about)
    torch.cuda.reset_peak_memory_stats() if torch.cuda.is_available() else None
    from tests import running
    from tests.conftest import CountingEmbedder

    spans = _watched()
    began = time.perf_counter()
    options = {**changes, "run.limit": count, "early_exit": "false"}
    tallies = running.run("label-pem", out, options, embedder=CountingEmbedder())
    seconds = time.perf_counter() - began
    tokens = count * 24 * max_tokens
    sampling = spans[-1][1] - spans[0][0]
    peak = round(torch.cuda.max_memory_allocated() / 2**30, 1) if torch.cuda.is_available() else None
    say(
        what="label-pem", questions=count, kept=tallies["sample"].kept, dead=tallies["sample"].dead,
        seconds_with_loading=round(seconds, 1), response_tokens=tokens, peak_gb=peak,
        seconds_sampling=round(sampling, 1), tokens_per_second=round(tokens / sampling),
        questions_per_hour=round(3600 * count / sampling),
        engine_busy=round(sum(b - a for a, b in spans) / sampling, 3),
    )  # fmt: skip


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=40)
    parser.add_argument("--train-layers", type=int, default=24)
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--world", type=Path, help="a demo world made before; by default one is made")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--skip", nargs="*", default=[], choices=["sampler", "answer", "train"])
    given = parser.parse_args()
    device = "cpu" if given.tiny else "cuda"
    if not given.tiny:
        draw_weights(scale=2.0)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        from avcurate.demo.build import build_world

        world = given.world or root / "world"
        items = build_world(world, 60, seed=11, workers=4) if given.world is None else []
        if "sampler" not in given.skip:
            sampler(device, 64, 152_064)
        from tests.families.tiny_qwen import build

        def folder(name: str, layers: int) -> Path:
            return build("qwen3_omni_moe", root / name) if given.tiny else write_folder(root / name, layers)

        if "answer" not in given.skip:
            answer(folder("wide", given.layers), world, given.questions, given.max_tokens, root / "run")
        if "train" not in given.skip:
            train(folder("narrow", given.train_layers), root, items, world, given.max_tokens)


def train(folder: Path, root: Path, items: list[Any], world: Path, max_tokens: int) -> None:
    """Seconds of a step of GRPO and of MAPO, with LoRA; nothing is saved."""
    from avcurate.train import saving

    saving.save_model = lambda model, processor, checkpoint, target: target.mkdir(parents=True) or target
    saving.save_adapter = lambda model, target: None
    questions = shards(root / "shards", items, world / "clips", str(folder))
    measured = {}
    for name in ("grpo", "mapo"):
        _free()
        over = {"algo": name, "lora_rank": 16, "max_tokens": max_tokens, "prompts": 2, "group": 8, "micro_batch": 8}
        measured[name] = steps(questions, root / name, str(folder), over)
        say(what=f"train step, {name}", **measured[name])
    say(what="mapo / grpo", ratio=round((measured["mapo"]["seconds"] or 0) / (measured["grpo"]["seconds"] or 1), 2))


if __name__ == "__main__":
    main()
