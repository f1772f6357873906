"""Tiny random checkpoints of Qwen2-Audio and Audio Flamingo 3 with their real processor classes, built on the fly."""

from pathlib import Path

from tests.families.tiny_text import byte_pairs

SCALE = 6.0
FLAMINGO_TEMPLATE = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}\
{% if 'audio' in c.type %}<sound>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def build(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a checkpoint of ``qwen2_audio`` or ``audioflamingo3``; returns its folder."""
    import torch
    import transformers

    torch.manual_seed(seed)
    flamingo = kind == "audioflamingo3"
    marks = ["<sound>"] if flamingo else ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(), eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=32_768
    )
    tokenizer.add_tokens(["<|im_start|>", *marks], special_tokens=True)
    extractor = transformers.WhisperFeatureExtractor(feature_size=128, chunk_length=30)
    text = transformers.Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=8192,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    sound = tokenizer.convert_tokens_to_ids(marks[0])
    if flamingo:
        processor = transformers.AudioFlamingo3Processor(extractor, tokenizer, chat_template=FLAMINGO_TEMPLATE)
        tower = transformers.AudioFlamingo3EncoderConfig(
            num_mel_bins=128, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128
        )
        config = transformers.AudioFlamingo3Config(
            text_config=text, audio_config=tower, audio_token_id=sound,
            architectures=["AudioFlamingo3ForConditionalGeneration"],
        )  # fmt: skip
        model = transformers.AudioFlamingo3ForConditionalGeneration(config).eval()
    else:
        processor = transformers.Qwen2AudioProcessor(extractor, tokenizer)
        tower = transformers.Qwen2AudioEncoderConfig(
            num_mel_bins=128, d_model=64, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=128
        )
        config = transformers.Qwen2AudioConfig(
            text_config=text, audio_config=tower, audio_token_index=sound,
            architectures=["Qwen2AudioForConditionalGeneration"],
        )  # fmt: skip
        model = transformers.Qwen2AudioForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "embed" not in name:
                weight.mul_(SCALE)
    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    model.save_pretrained(folder)
    _as_released(folder)
    ends = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    transformers.GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id).save_pretrained(folder)
    return folder


def _as_released(folder):
    """transformers 5.19 writes ``language_model.model.model.``, which vLLM cannot read."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    renamed = {k.replace("language_model.model.model.", "language_model.model."): w for k, w in load_file(file).items()}
    save_file(renamed, file, metadata={"format": "pt"})
