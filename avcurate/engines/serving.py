"""The command that serves a recipe's model with vLLM, so that the server engine can prove what it received."""

from __future__ import annotations

import json

from avcurate.engines.checkpoint import Checkpoint
from avcurate.errors import UserError
from avcurate.recipe import ModelSpec


def serve_command(spec: ModelSpec, *, interleaved: bool = False) -> list[str]:
    """Program and arguments of ``vllm serve`` for a model.

    Raises:
        UserError: requests are interleaved, which no server takes, or the family cannot be served.
    """
    if interleaved:
        raise UserError("servers take sound and picture one after the other only.", "Use the vllm engine in process.")
    checkpoint = Checkpoint.of(spec)
    family = checkpoint.family_in("server") if checkpoint.family is not None else None
    media = {"audio": 1} | ({"video": 1, "image": 0} if family is None or family.sees else {})
    context = min(spec.max_model_len, checkpoint.longest_context or spec.max_model_len)
    command = ["vllm", "serve", checkpoint.path, "--dtype", spec.dtype, "--max-model-len", str(context)]
    command += ["--max-num-seqs", str(-(-spec.max_sequences // spec.replicas))]
    command += ["--limit-mm-per-prompt", json.dumps(media)]
    # the frame rate goes with each request, and the tokens of each modality come back
    command += ["--trust-request-mm-kwargs", "--enable-prompt-tokens-details"]
    optional = {
        "--revision": checkpoint.pinned,
        "--served-model-name": spec.served_name,
        "--tensor-parallel-size": spec.tensor_parallel if spec.tensor_parallel > 1 else None,
        "--pipeline-parallel-size": spec.pipeline_parallel if spec.pipeline_parallel > 1 else None,
        "--data-parallel-size": spec.replicas if spec.replicas > 1 else None,
        "--gpu-memory-utilization": spec.options.get("gpu_memory_utilization"),
    }
    for name, value in optional.items():
        command += [] if value is None else [name, str(value)]
    return [*command, "--trust-remote-code"] if spec.trust_remote_code else command
