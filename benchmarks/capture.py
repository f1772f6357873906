"""Attention mass of completion rows inside sdpa, against the attention matrices that transformers returns.

A forward and backward pass of an eight-layer decoder over 2,048 tokens of which 256 are the completion; the last five
layers are captured. Peak memory is that of a child process, above its start.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from avcurate.attention.function import switch_on
from avcurate.attention.plan import Plan
from avcurate.attention.read import Mass
from benchmarks.harness import seconds

LENGTH, ROWS = 2048, 256
LAYERS = frozenset(range(3, 8))


def model() -> torch.nn.Module:
    """Random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=500, hidden_size=128, intermediate_size=256, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=LENGTH, attn_implementation="sdpa",
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids, and which of them are the modality's."""
    ids = torch.randint(0, 500, (1, LENGTH), generator=torch.Generator().manual_seed(1))
    keys = torch.zeros_like(ids, dtype=torch.bool)
    keys[:, 100:850] = True
    return ids, keys


def ours(decoder: torch.nn.Module) -> torch.Tensor:
    """Rows of the completion alone."""
    ids, keys = inputs()
    mass_reader = Mass(keys, LENGTH - ROWS, LAYERS)
    switch_on(decoder)
    decoder(input_ids=ids, use_cache=False, plan=Plan(readers=[mass_reader]))
    mass = mass_reader.mass()
    (-(mass + 1e-6).log()).mean().backward()
    return mass.detach()


def theirs(decoder: torch.nn.Module) -> torch.Tensor:
    """Whole matrices of every layer."""
    ids, keys = inputs()
    decoder.set_attn_implementation("eager")  # type: ignore[operator]
    out = decoder(input_ids=ids, use_cache=False, output_attentions=True)
    rows = [(out.attentions[i][:, :, -ROWS:] * keys[:, None, None]).sum(-1).amax(1) for i in sorted(LAYERS)]
    mass = torch.stack(rows).mean(0)
    (-(mass + 1e-6).log()).mean().backward()
    return mass.detach()


def _resident(field: str) -> float:
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) / 1024


def main() -> None:
    """Print both ratios, and the largest difference of the masses."""
    ways = {"ours": ours, "theirs": theirs}
    if len(sys.argv) > 1:
        decoder = model()
        before = _resident("VmRSS")
        ways[sys.argv[1]](decoder)
        print(_resident("VmHWM") - before)
        return
    peaks = {}
    for name in ways:
        command = [sys.executable, "-m", "benchmarks.capture", name]
        peaks[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    largest = float((ours(model()) - theirs(model())).abs().max())
    times = {name: seconds(lambda way=way: way(model())) for name, way in ways.items()}
    what = "attention mass at 2,048 tokens: output_attentions / captured rows"
    ratios = {"memory": round(peaks["theirs"] / peaks["ours"], 2), "time": round(times["theirs"] / times["ours"], 2)}
    print(json.dumps({"what": what, **ratios, "largest_difference": largest}))


if __name__ == "__main__":
    main()
