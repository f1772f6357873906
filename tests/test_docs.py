"""The documentation: pages written from the code are current, every link leads somewhere, no page needs a network."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from avcurate.reference.__main__ import PAGES
from avcurate.tasks import TASKS
from tests.conftest import REPO


@pytest.mark.parametrize("page", PAGES)
def test_pages_written_from_the_code_are_current(page):
    assert (REPO / "docs" / page).read_text("utf-8") == PAGES[page](), "run make reference"


def test_every_field_of_a_recipe_says_what_it_is():
    rows = [line for line in PAGES["recipes.md"]().splitlines() if line.startswith("| `")]
    assert len(rows) > 300 and [r for r in rows if r.endswith("|  |")] == []


def test_every_task_has_a_page_and_the_menu_names_it():
    menu = (REPO / ".mkdocs.yml").read_text()
    # tasks of one group share a page
    for task in {t.split("-")[0] if t.startswith(("probe-", "benchmark-")) else t for t in TASKS.names()}:
        assert (REPO / f"docs/tasks/{task}.md").is_file() and f"tasks/{task}.md" in menu, task


def test_links_of_the_readme_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (REPO / "README.md").read_text())
    local = [x for x in links if not x.startswith("http")]
    assert len(local) > 5 and [x for x in local if not (REPO / x).exists()] == []


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra `docs` is not installed")
def test_the_site_builds_with_every_link_checked_and_needs_no_network(tmp_path):
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-f", str(REPO / ".mkdocs.yml"), "-d", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 25
    loaded = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"(?:https?:)?//|<link[^>]+stylesheet[^>]+href=\"(?:https?:)?//"
    )
    assert [p.name for p in pages if loaded.search(p.read_text("utf-8"))] == []
    assert "label_pem" in (tmp_path / "api.html").read_text("utf-8")
