"""Tiny random checkpoints of the two Qwen-Omni families with their real processor classes, built on the fly.

Weights are laid out as in the released checkpoints (names begin with ``thinker.``, the configuration is the whole
model's), so that transformers and vLLM both load them. Random weights are scaled up: at their initial size an answer
hardly depends on anything, and the canary could not tell settings apart.
"""

import json
import re
from pathlib import Path

from tests.families.tiny_text import byte_pairs

SCALE = 6.0
NAMES = {
    "qwen2_5_omni": {
        "audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>", "audio_token": "<|AUDIO|>",
        "image_token": "<|IMAGE|>", "video_token": "<|VIDEO|>", "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
    },
    "qwen3_omni_moe": {
        "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>", "audio_token": "<|audio_pad|>",
        "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
        "vision_eos_token": "<|vision_end|>",
    },
}  # fmt: skip


def build(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint of that family; returns its folder."""
    import torch
    import transformers

    import avcurate.engines.torchvision_cpu  # noqa: F401

    torch.manual_seed(seed)
    names = NAMES[kind]
    tokenizer = _tokenizer(names)
    ids = {k: tokenizer.convert_tokens_to_ids(v) for k, v in names.items()}
    end, pad = (tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>"))
    old = kind == "qwen2_5_omni"
    model, config = (_qwen25 if old else _qwen3)(
        transformers, len(tokenizer), ids, end, pad, tokenizer.encode("user")[0]
    )
    patch = 14 if old else 16
    vision = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2}
    if not old:
        vision |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    extractor = transformers.WhisperFeatureExtractor(
        feature_size=128, sampling_rate=16_000, hop_length=160, chunk_length=300 if old else 30, n_fft=400,
        return_attention_mask=True, padding_value=0.0, dither=0.0,
    )  # fmt: skip
    processor_class = transformers.Qwen2_5OmniProcessor if old else transformers.Qwen3OmniMoeProcessor
    processor = processor_class(
        image_processor=transformers.Qwen2VLImageProcessor(**vision),
        video_processor=transformers.Qwen2VLVideoProcessor(**vision),
        feature_extractor=extractor,
        tokenizer=tokenizer,
        chat_template=_template(names),
    )
    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                weight.mul_(SCALE)
    _save(model, config, folder)
    transformers.GenerationConfig(eos_token_id=[end, pad], pad_token_id=pad).save_pretrained(folder)
    (folder / "avcurate.json").write_text(json.dumps({"video_size": {"shortest_edge": 4096, "longest_edge": 16384}}))
    return folder


def _tokenizer(names):
    from transformers import Qwen2Tokenizer

    model = json.loads(byte_pairs().to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]], unk_token=None, eos_token="<|im_end|>",
        pad_token="<|endoftext|>", extra_special_tokens=names, model_max_length=32_768,
    )  # fmt: skip
    tokenizer.add_tokens(["<|im_start|>"], special_tokens=True)
    return tokenizer


def _template(names):
    marks = {kind: names[f"{kind}_token"] for kind in ("audio", "video", "image")}
    sound = names["audio_bos_token"] + marks["audio"] + names["audio_eos_token"]
    picture = {k: names["vision_bos_token"] + marks[k] + names["vision_eos_token"] for k in ("video", "image")}
    text = """
    {%- for m in messages -%}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}
    {%- if c.type.startswith('video') %}VIDEO{% elif c.type.startswith('image') %}IMAGE
    {%- elif 'audio' in c.type %}AUDIO{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
    text = re.sub(r"^\s+", "", text)
    return text.replace("VIDEO", picture["video"]).replace("IMAGE", picture["image"]).replace("AUDIO", sound)


def _text(size, end, pad, rope, **extra):
    return {
        "vocab_size": size, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32_768,
        "rope_parameters": rope, "eos_token_id": end, "pad_token_id": pad, "tie_word_embeddings": False, **extra,
    }  # fmt: skip


def _audio(**extra):
    return {
        "num_mel_bins": 128, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "d_model": 32,
        "max_source_positions": 1500, "output_dim": 64, **extra,
    }  # fmt: skip


def _vision(**extra):
    return {
        "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "spatial_merge_size": 2,
        "temporal_patch_size": 2, "out_hidden_size": 64, **extra,
    }  # fmt: skip


def _marks(ids, suffix):
    return {
        f"audio_token_{suffix}": ids["audio_token"], f"image_token_{suffix}": ids["image_token"],
        f"video_token_{suffix}": ids["video_token"], "audio_start_token_id": ids["audio_bos_token"],
        "audio_end_token_id": ids["audio_eos_token"], "vision_start_token_id": ids["vision_bos_token"],
        "vision_end_token_id": ids["vision_eos_token"],
    }  # fmt: skip


def _qwen25(transformers, size, ids, end, pad, user):
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}
    thinker = transformers.Qwen2_5OmniThinkerConfig(
        text_config=_text(size, end, pad, rope),
        vision_config=_vision(patch_size=14, window_size=112, fullatt_block_indexes=[1], tokens_per_second=25),
        audio_config=_audio(n_window=100),
        user_token_id=user, position_id_per_seconds=25, seconds_per_chunk=2, **_marks(ids, "index"),
    )  # fmt: skip
    model = transformers.Qwen2_5OmniThinkerForConditionalGeneration(thinker)
    whole = transformers.Qwen2_5OmniConfig(
        thinker_config=thinker.to_dict(), enable_audio_output=False, architectures=["Qwen2_5OmniModel"]
    )
    return model, whole


def _qwen3(transformers, size, ids, end, pad, user):
    rope = {
        "rope_type": "default", "rope_theta": 1e6, "mrope_section": [6, 5, 5], "interleaved": True,
        "mrope_interleaved": True,
    }  # fmt: skip
    experts = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "norm_topk_prob": True}
    thinker = transformers.Qwen3OmniMoeThinkerConfig(
        text_config=_text(size, end, pad, rope, head_dim=32, decoder_sparse_step=1, mlp_only_layers=[], **experts),
        vision_config=_vision(
            patch_size=16, num_position_embeddings=2304, deepstack_visual_indexes=[0, 1], image_size=768,
            apply_vit_abs_pos_embed=True, tokens_per_second=2,
        ),
        audio_config=_audio(n_window=50, n_window_infer=800, conv_chunksize=500, downsample_hidden_size=16),
        user_token_id=user, position_id_per_seconds=13, seconds_per_chunk=2, **_marks(ids, "id"),
    )  # fmt: skip
    model = transformers.Qwen3OmniMoeThinkerForConditionalGeneration(thinker)
    whole = transformers.Qwen3OmniMoeConfig(
        thinker_config=thinker.to_dict(), enable_audio_output=False,
        architectures=["Qwen3OmniMoeForConditionalGeneration"],
    )  # fmt: skip
    return model, whole


def _save(model, config, folder):
    """Through save_pretrained, which undoes transformers' own layout of experts; then names as in a whole model."""
    from safetensors.torch import load_file, save_file

    thinker = folder / "thinker"
    model.save_pretrained(thinker)
    weights = load_file(thinker / "model.safetensors")
    named = {k if k.startswith("thinker.") else f"thinker.{k}": v for k, v in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    for file in thinker.iterdir():
        file.unlink()
    thinker.rmdir()
    config.save_pretrained(folder)
