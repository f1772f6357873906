"""The embedded model's shape: a small Qwen2.5-Omni thinker with its own tokenizer and processor.

Uses transformers' classes; contains no training. torch and transformers are imported here,
so this module is only imported where a model is built.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from avcurate.demo.hard_questions import HARD_TYPES
from avcurate.demo.questions import draft, reasoning
from avcurate.demo.world import FORMS, Kind, draw_picture, draw_sound
from avcurate.prompts import CAPTION, COT, HEAR, SEE, SEPARATE_THEN_FUSE
from avcurate.store.atomic import write_json

PATCH, MERGE, FRAME = 14, 2, 56
MELS, HOP, N_FFT = 64, 500, 1024
SPECIAL = {
    "audio_bos_token": "<|audio_bos|>",
    "audio_token": "<|AUDIO|>",
    "audio_eos_token": "<|audio_eos|>",
    "vision_bos_token": "<|vision_bos|>",
    "video_token": "<|VIDEO|>",
    "image_token": "<|IMAGE|>",
    "vision_eos_token": "<|vision_eos|>",
}
# the full configuration has a talker, which is never built; its default ids lie outside this vocabulary
_TALKER_TOKENS = (
    "tts_text_start_token_id",
    "tts_text_end_token_id",
    "tts_text_pad_token_id",
    "vision_start_token_id",
    "vision_end_token_id",
    "audio_start_token_id",
    "audio_end_token_id",
)
TAGS = ("think", "answer", "mod", "v", "a", "sum", "ans")
VIDEO_SIZE = {"shortest_edge": FRAME * FRAME, "longest_edge": FRAME * FRAME}

# Qwen2's published pre-tokenisation rule
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.content is string -%}{{ message.content }}{%- else -%}"
    "{%- for part in message.content -%}"
    "{%- if part.type == 'video' or 'video' in part or 'video_url' in part -%}"
    "{{ '<|vision_bos|><|VIDEO|><|vision_eos|>' }}"
    "{%- elif part.type == 'audio' or 'audio' in part or 'audio_url' in part or 'input_audio' in part -%}"
    "{{ '<|audio_bos|><|AUDIO|><|audio_eos|>' }}"
    "{%- elif part.type == 'image' or 'image' in part or 'image_url' in part -%}"
    "{{ '<|vision_bos|><|IMAGE|><|vision_eos|>' }}"
    "{%- elif 'text' in part -%}{{ part.text }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


def _corpus() -> Iterator[str]:
    rng = random.Random(0)
    for _ in range(6000):
        kind = rng.choice(HARD_TYPES)
        shape: Kind = rng.choice(("sequence", "group"))
        p, s = draw_picture(rng, shape, FORMS), draw_sound(rng, shape)
        if not kind.fits(p, s):
            continue
        q = draft(kind, p, s, rng)
        yield rng.choice((COT, SEPARATE_THEN_FUSE)).render(q.text, q.choices)
        yield " ".join(reasoning(q, rng.choice((p, None)), rng.choice((s, None)), rng)[:3])
    for _ in range(300):
        yield "system\n"
        yield "user\n"
        yield "assistant\n"
        yield "Audio Visual Audio-Visual"
        yield rng.choice((CAPTION, SEE, HEAR)).instruction


def bpe_tokenizer(texts: Iterator[str], size: int, longest: int, **options: Any) -> Any:
    """A ``Qwen2Tokenizer`` of ``size`` tokens, trained on texts: byte-level BPE that splits as Qwen2 does."""
    bpe = Tokenizer(models.BPE(byte_fallback=False))
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    model = json.loads(bpe.to_str())["model"]
    tokenizer = hf.Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=[tuple(m) for m in model["merges"]],
        unk_token=None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=longest,
        **options,
    )
    tokenizer.add_tokens(["<|im_start|>"], special_tokens=True)
    return tokenizer


def make_tokenizer() -> Any:
    """The tokenizer of the world's questions and reasoning, with the tags of the prompts."""
    tokenizer = bpe_tokenizer(_corpus(), 900, 8192, extra_special_tokens=SPECIAL)
    tokenizer.add_tokens([f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")])
    return tokenizer


def make_processor(tokenizer: Any) -> Any:
    """The processor: 56 px frames in 14 px patches, 64 mel bands every 500 samples."""
    small = {
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "size": VIDEO_SIZE,
    }
    return hf.Qwen2_5OmniProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**small),
        video_processor=hf.Qwen2VLVideoProcessor(**small),
        feature_extractor=hf.WhisperFeatureExtractor(
            feature_size=MELS,
            sampling_rate=16_000,
            hop_length=HOP,
            n_fft=N_FFT,
            chunk_length=30,
            return_attention_mask=True,
            padding_value=0.0,
            dither=0.0,
        ),
        tokenizer=tokenizer,
        chat_template=CHAT_TEMPLATE,
    )


def make_config(tokenizer: Any) -> Any:
    """Thinker configuration of about 1.8 M parameters."""
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in SPECIAL.items()}
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    pad = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    hidden = 128
    text = {
        "vocab_size": math.ceil(len(tokenizer) / 64) * 64,
        "hidden_size": hidden,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]},
        "eos_token_id": end,
        "pad_token_id": pad,
        "tie_word_embeddings": False,
        "dtype": "float32",
    }
    vision = {
        "depth": 3,
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_heads": 4,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "window_size": 112,
        "out_hidden_size": hidden,
        "fullatt_block_indexes": [0, 1, 2],
        "tokens_per_second": 25,
    }
    audio = {
        "num_mel_bins": MELS,
        "encoder_layers": 3,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 256,
        "d_model": 96,
        "max_source_positions": 1500,
        "n_window": 100,
        "output_dim": hidden,
    }
    return hf.Qwen2_5OmniThinkerConfig(
        text_config=text,
        vision_config=vision,
        audio_config=audio,
        audio_token_index=ids["audio_token"],
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
        user_token_id=tokenizer.encode("user")[0],
        position_id_per_seconds=25,
        seconds_per_chunk=2,
    )


def make_thinker(config: Any, seed: int) -> Any:
    """A freshly initialised thinker.

    Linear weights have std 1/sqrt(fan_in) and the output head starts as the embedding: at this width
    the usual 0.02 keeps attention uniform for hundreds of steps and copying is learned late.
    """
    torch.manual_seed(seed)
    model = hf.Qwen2_5OmniThinkerForConditionalGeneration._from_config(config, dtype=torch.float32)
    depth = config.text_config.num_hidden_layers
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear):
                std = module.weight.shape[1] ** -0.5
                if name.endswith(("o_proj", "down_proj", "out_proj", "fc2", ".proj")):
                    std /= (2 * depth) ** 0.5
                module.weight.normal_(0, std)
        model.get_input_embeddings().weight.normal_(0, 1.0)
        model.lm_head.weight.copy_(model.get_input_embeddings().weight * 0.05)
        _wire_lookup(model.model.layers)
    return model


def _wire_lookup(layers: Any) -> None:
    """Initialise the two heads that pair lookup needs, which training otherwise finds late or never.

    Layer 0, heads 0 and 1, attend one and two tokens back, through rotary phases in their biases;
    layer 1, head 0, compares the current token with what head 0 wrote about the token before each
    position, in the slow rotary dimensions, which distance hardly turns. Everything stays trainable.
    """
    first, second = layers[0].self_attn, layers[1].self_attn
    size = first.head_dim
    half = size // 2
    frequency = 1e4 ** (-torch.arange(half) / half)
    fast = frequency > 0.03
    amplitude = 7.0
    first.k_proj.bias[:half][fast] = amplitude
    for head, back in ((0, 1), (1, 2)):
        # after rotation the score is the sum of cos(frequency * (distance - back))
        start = head * size
        first.q_proj.bias[start : start + half][fast] = amplitude * torch.cos(-back * frequency[fast])
        first.q_proj.bias[start + half : start + size][fast] = amplitude * torch.sin(-back * frequency[fast])
    slow = torch.cat([~fast, ~fast]).float()[:, None]
    write = first.o_proj.weight[:, :size]
    second.q_proj.weight[:size] = 3.0 * slow * first.v_proj.weight[:size]
    second.k_proj.weight[:size] = 3.0 * slow * write.T / (write**2).sum(0, keepdim=True).T


def save_checkpoint(thinker: Any, processor: Any, folder: Path) -> None:
    """Write the layout that transformers and vLLM both load.

    The configuration is of the full model, the weights carry the ``thinker.`` prefix of the released
    checkpoints and are stored as bfloat16 safetensors.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    config = thinker.config
    unused = {name: 0 for name in _TALKER_TOKENS}
    full = hf.Qwen2_5OmniConfig(
        thinker_config=config.to_dict(),
        talker_config=unused,
        enable_audio_output=False,
        architectures=["Qwen2_5OmniModel"],
    )
    full.save_pretrained(folder)
    hf.GenerationConfig(
        eos_token_id=[config.text_config.eos_token_id, config.text_config.pad_token_id],
        pad_token_id=config.text_config.pad_token_id,
    ).save_pretrained(folder)
    weights = {f"thinker.{k}": v.to(torch.bfloat16).contiguous() for k, v in thinker.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "avcurate.json", {"video_size": VIDEO_SIZE, "trained_on": "avcurate demo world"})
