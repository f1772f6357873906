"""What doctor says of the machine."""

import os

import pytest

from avcurate.engines.doctor import examine


def pretend(tmp_path, monkeypatch, script):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def gpus():
    return [f for f in examine() if f["what"] == "GPU"]


def test_each_gpu_is_named_with_memory_and_driver(tmp_path, monkeypatch):
    pretend(tmp_path, monkeypatch, "printf 'NVIDIA H100 80GB HBM3, 81559, 580.159.04\\nNVIDIA L4, 23034, 580.1\\n'")
    assert [f["about"] for f in gpus()] == [
        "NVIDIA H100 80GB HBM3, 80 GiB, driver 580.159.04",
        "NVIDIA L4, 22 GiB, driver 580.1",
    ]


@pytest.mark.parametrize("script", ["exit 9", "echo 'No devices were found'"])
def test_a_driver_that_finds_nothing_is_a_problem(tmp_path, monkeypatch, script):
    pretend(tmp_path, monkeypatch, script)
    assert [f["state"] for f in gpus()] == ["problem"]


def test_a_cpu_build_beside_a_gpu_is_a_problem(tmp_path, monkeypatch):
    pretend(tmp_path, monkeypatch, "echo 'NVIDIA L4, 23034, 580.1'")
    monkeypatch.setattr("avcurate.engines.doctor._version", lambda name: "2.13.0+cpu" if name == "torch" else None)
    assert any(f["what"] == "torch" and f["state"] == "problem" for f in examine())


def test_a_torch_with_a_known_fault_is_noted(monkeypatch):
    monkeypatch.setattr("avcurate.engines.doctor._version", lambda name: "2.11.0" if name == "torch" else None)
    assert any("pytorch#196678" in f["about"] for f in examine())
    monkeypatch.setattr("avcurate.engines.doctor._version", lambda name: "2.10.1" if name == "torch" else None)
    assert not any("pytorch#196678" in f["about"] for f in examine())
