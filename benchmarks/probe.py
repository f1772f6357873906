"""What looking inside costs: time against plain decoding, and memory as the sequence grows.

A four-layer decoder with random weights. Time: 64 tokens decoded with a cache after a prompt of 1,024, against the same
followed by one pass in which every layer's attention is read (``probe attention``), and against decoding under a cut.
Memory: peak of a child process above its start, over one pass at 1k, 4k and 16k tokens; eager attention with its
matrices beside, as far as it fits.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from avcurate.attention.cut import Cut
from avcurate.attention.function import switch_on
from avcurate.attention.kinds import Kind
from avcurate.attention.plan import Plan
from avcurate.attention.read import Columns, Shares
from benchmarks.harness import seconds

PROMPT, TOKENS = 1024, 64
LENGTHS = (1024, 4096, 16_384)
LAYERS = 4


def model() -> torch.nn.Module:
    """Random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=500, hidden_size=256, intermediate_size=512, num_hidden_layers=LAYERS, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=LENGTHS[-1], attn_implementation="sdpa",
    )  # fmt: skip
    decoder = Qwen2ForCausalLM(config).eval()
    switch_on(decoder)
    return decoder


def sequence(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and their kinds: a fifth sound, half picture, the last 64 generated."""
    ids = torch.randint(0, 500, (1, length), generator=torch.Generator().manual_seed(1))
    kinds = torch.full_like(ids, int(Kind.QUERY))
    kinds[:, : length // 2], kinds[:, length // 2 : length * 7 // 10] = int(Kind.VIDEO), int(Kind.AUDIO)
    kinds[:, -TOKENS:], kinds[:, -TOKENS - 1] = int(Kind.GENERATED), int(Kind.START)
    return ids, kinds


def decode(decoder: torch.nn.Module, ids: torch.Tensor, plan: Plan | None = None) -> None:
    """The prompt, then one token at a time."""
    planned = {} if plan is None else {"plan": plan}
    out = decoder(input_ids=ids[:, :PROMPT], use_cache=True, **planned)
    for i in range(PROMPT, PROMPT + TOKENS):
        if plan is not None:
            plan.grow()
        out = decoder(input_ids=ids[:, i : i + 1], past_key_values=out.past_key_values, use_cache=True, **planned)


def times() -> dict[str, float]:
    """Ratios to plain decoding."""
    decoder = model()
    ids, kinds = sequence(PROMPT + TOKENS)

    def read() -> None:
        decode(decoder, ids)
        decoder(input_ids=ids, plan=Plan(readers=[Shares(kinds)]), logits_to_keep=1)

    def cut() -> None:
        decode(decoder, ids, Plan(kinds[:, :PROMPT], [Cut("response", "audio")]))

    with torch.inference_mode():
        plain = seconds(lambda: decode(decoder, ids))
        return {"read": round(seconds(read) / plain, 2), "cut": round(seconds(cut) / plain, 2)}


def _resident(field: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def one_pass(way: str, length: int) -> None:
    """One pass; prints its peak above the start, MB."""
    decoder = model()
    ids, kinds = sequence(length)
    ways: dict[str, Callable[[], Plan | None]] = {
        "plain": lambda: None,
        "shares": lambda: Plan(readers=[Shares(kinds, length - TOKENS - 1)]),
        "all rows": lambda: Plan(readers=[Shares(kinds)]),
        "columns": lambda: Plan(readers=[Columns(kinds, (Kind.AUDIO, Kind.VIDEO))]),
        "cut": lambda: Plan(kinds, [Cut("rest", "audio")]),
        "eager": lambda: None,
    }
    if way == "eager":
        decoder.set_attn_implementation("eager")  # type: ignore[operator]
    plan = ways[way]()
    before = _resident("VmRSS")
    with torch.inference_mode():
        options = {"output_attentions": True} if way == "eager" else {"plan": plan} if plan else {}
        decoder(input_ids=ids, use_cache=False, logits_to_keep=1, **options)
    print(_resident("VmHWM") - before)


def main() -> None:
    """Print ratios of time, and peaks in MB."""
    if len(sys.argv) > 1:
        one_pass(sys.argv[1], int(sys.argv[2]))
        return
    peaks: dict[str, dict[str, int]] = {}
    for way in ("plain", "shares", "all rows", "columns", "cut", "eager"):
        for length in LENGTHS[:2] if way == "eager" else LENGTHS:
            command = [sys.executable, "-m", "benchmarks.probe", way, str(length)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            peaks.setdefault(way, {})[f"{length:,}"] = round(float(done.stdout.split()[-1]))
    print(json.dumps({"what": "probing: time against plain decoding", **times(), "peak_mb": peaks}))


if __name__ == "__main__":
    main()
