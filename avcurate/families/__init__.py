"""What differs from one omni model family to the next: one file per family, chosen by a checkpoint's configuration."""

from avcurate.families.base import Family
from avcurate.registry import Registry

FAMILIES: Registry[type[Family]] = Registry(
    "model family",
    "avcurate.families",
    {
        "qwen2_5_omni": "avcurate.families.qwen2_5_omni:Qwen25Omni",
        "qwen3_omni_moe": "avcurate.families.qwen3_omni:Qwen3Omni",
        "gemma4": "avcurate.families.gemma4:Gemma4",
        "gemma4_unified": "avcurate.families.gemma4_unified:Gemma4Unified",
        "qwen2_audio": "avcurate.families.qwen2_audio:Qwen2Audio",
        "phi4_multimodal": "avcurate.families.partial:Phi4Multimodal",
        "nemotron_h_omni": "avcurate.families.partial:NemotronOmni",
        "voxtral": "avcurate.families.partial:Voxtral",
        "minicpmo": "avcurate.families.partial:MiniCPMO",
        "audioflamingo3": "avcurate.families.audio_flamingo3:AudioFlamingo3",
    },
)
