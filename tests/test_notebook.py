"""The notebook of docs/examples runs from first to last cell, and prints what it promises."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import REPO

NOTEBOOK = REPO / "docs/examples/label_and_look.ipynb"


def cells(kind):
    return ["".join(c["source"]) for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == kind]


def test_it_is_a_clean_notebook():
    notebook = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4 and len({c["id"] for c in notebook["cells"]}) == len(notebook["cells"])
    assert not any(c.get("outputs") or c.get("execution_count") for c in notebook["cells"])


@pytest.mark.slow
def test_every_cell_runs(tmp_path):
    for package in ("pandas", "transformers", "sentence_transformers"):
        pytest.importorskip(package)
    code = "\n".join(cells("code"))
    env = os.environ | {"NOTEBOOK_FOLDER": str(tmp_path / "n"), "NOTEBOOK_QUESTIONS": "24", "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    right, labelled = map(int, re.search(r"(\d+) of (\d+) labels are the truth", done.stdout).groups())
    assert labelled > 8 and right >= 0.9 * labelled
    assert (tmp_path / "n/pem/report.html").is_file()
