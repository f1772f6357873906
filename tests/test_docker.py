"""The image's file refers to what exists; it is built where Docker is."""

import re
import shutil
import subprocess
import tomllib

import pytest

from tests.conftest import LONG, REPO

FILE = REPO / "docs/docker/Dockerfile"


def test_it_copies_and_installs_what_exists():
    text = FILE.read_text()
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for listed in re.findall(r"'\.\[([\w,]+)\]'", text):
        assert set(listed.split(",")) <= set(extras)
    ignored = {line.rstrip("/") for line in (REPO / ".dockerignore").read_text().splitlines()}
    for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for name in line.split():
            assert (REPO / name).exists() and name not in ignored, name
    assert re.search(r"^USER avcurate$", text, re.MULTILINE)


@pytest.mark.slow
@pytest.mark.skipif(not LONG or shutil.which("docker") is None, reason="builds an image: test-long, with Docker")
def test_it_builds_and_runs():
    subprocess.run(["docker", "build", "-q", "-f", str(FILE), "-t", "avcurate-test", str(REPO)], check=True)
    said = subprocess.run(["docker", "run", "--rm", "avcurate-test", "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and said.stdout.startswith("avcurate ")
