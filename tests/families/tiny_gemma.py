"""Tiny random Gemma 4 checkpoints, with and without towers, with their real processor classes, built on the fly."""

from pathlib import Path

from tests.families.tiny_text import byte_pairs

NAMES = {
    "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
    "boa_token": "<|audio>", "eoa_token": "<audio|>",
}  # fmt: skip
SCALE = 3.0
TEMPLATE = """{{ bos_token }}{% for m in messages %}<|turn>{{ 'model' if m.role == 'assistant' else m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}\
{% if 'audio' in c.type %}<|audio|>{% elif c.type.startswith('video') %}<|video|>\
{% elif c.type.startswith('image') %}<|image|>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<turn|>
{% endfor %}{% if add_generation_prompt %}<|turn>model
{% endif %}"""


def build(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint of ``gemma4`` or ``gemma4_unified``; returns its folder."""
    import torch
    import transformers

    import avcurate.engines.torchvision_cpu  # noqa: F401

    torch.manual_seed(seed)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(), bos_token="<bos>", eos_token="<eos>", pad_token="<pad>",
        extra_special_tokens=NAMES, model_max_length=32_768,
    )  # fmt: skip
    tokenizer.add_tokens(["<|turn>", "<turn|>", "<|video|>"], special_tokens=True)
    prefix = "Gemma4Unified" if kind == "gemma4_unified" else "Gemma4"

    def of(name, **fields):
        return getattr(transformers, prefix + name)(**fields)

    processor = of(
        "Processor",
        feature_extractor=of("AudioFeatureExtractor"),
        image_processor=of("ImageProcessor"),
        video_processor=of("VideoProcessor"),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    model = of("ForConditionalGeneration", config=of("Config", **_fields(kind, tokenizer, prefix))).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                weight.mul_(SCALE)
    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    model.save_pretrained(folder)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<turn|>")]
    transformers.GenerationConfig(
        eos_token_id=ends, pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.bos_token_id
    ).save_pretrained(folder)
    return folder


def _fields(kind, tokenizer, prefix):
    size = len(tokenizer)
    text = {
        "vocab_size": size, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "global_head_dim": 32,
        "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 512,
        "max_position_embeddings": 8192, "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in NAMES.items()}
    marks = {f"{name}_id": i for name, i in ids.items() if name != "eoa_token"}
    marks |= {"eoa_token_index": ids["eoa_token"], "video_token_id": tokenizer.convert_tokens_to_ids("<|video|>")}
    if kind == "gemma4":
        text |= {"vocab_size_per_layer_input": size, "hidden_size_per_layer_input": 16}
        vision = {
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
            "num_key_value_heads": 2, "head_dim": 32, "position_embedding_size": 1024,
            # vLLM reads it
            "default_output_length": 280,
        }  # fmt: skip
        # the first number of channels must be that of the mel bins
        audio = {
            "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
            "subsampling_conv_channels": [128, 8], "output_proj_dims": 64,
        }  # fmt: skip
    else:
        # vLLM on a CPU ignores the default, attention in both directions between frames
        text["use_bidirectional_attention"] = None
        # vLLM reads the last
        vision = {"mm_embed_dim": 64, "mm_posemb_size": 1120, "output_proj_dims": 64, "num_soft_tokens": 280}
        audio = {}
    return {
        "text_config": text,
        "vision_config": vision,
        "audio_config": audio,
        "architectures": [f"{prefix}ForConditionalGeneration"],
        **marks,
    }
