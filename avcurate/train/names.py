"""Rewards and algorithms by name, for recipes: imports none of them."""

from __future__ import annotations

from typing import Any

from avcurate.registry import Registry

REWARDS: Registry[type[Any]] = Registry(
    "reward",
    "avcurate.rewards",
    {
        "accuracy": "avcurate.train.reward:Accuracy",
        "preference": "avcurate.train.reward:Preference",
        "preference-halves": "avcurate.train.reward:PreferenceHalves",
        "structure": "avcurate.train.reward:Structure",
        "pem": "avcurate.train.reward:PemMatch",
        "format": "avcurate.train.reward:Format",
        "consistency": "avcurate.train.consistency:Consistency",
        "repetition": "avcurate.train.reward:Repetition",
        "length": "avcurate.train.reward:Length",
        "both-beat-either": "avcurate.train.reward:BothBeatEither",
    },
)

ALGORITHMS: Registry[type[Any]] = Registry(
    "algorithm",
    "avcurate.algorithms",
    {
        "grpo": "avcurate.train.algorithms.grpo:Grpo",
        "mapo": "avcurate.train.algorithms.mapo:Mapo",
        "gspo": "avcurate.train.algorithms.gspo:Gspo",
        "dapo": "avcurate.train.algorithms.dapo:Dapo",
        "dr-grpo": "avcurate.train.algorithms.dr_grpo:DrGrpo",
        "sft": "avcurate.train.algorithms.sft:Sft",
    },
)
