"""Tables in the papers' shape, against the runs' own responses."""

import json

import pytest
from typer.testing import CliRunner

from avcurate.cli.app import app
from avcurate.errors import UserError
from avcurate.metrics.evaluation import AVH, MIS, VAH, overall_average
from avcurate.papers.tables import LAYOUTS, paper_table
from avcurate.runner.rundir import RunDir
from tests import running

TASKS = {"VAH": VAH, "AVH": AVH, "MIS": MIS}


@pytest.fixture(scope="module")
def evaluated(world, tmp_path_factory):
    folder, _ = world
    out = tmp_path_factory.mktemp("papers") / "run"
    changes = {"annotations": folder / "benchmark.json", "media": folder / "clips", "conditions": "a,v,av,av+Audio"}
    running.run("eval", out, {**changes, "n": 1, "run.limit": 20})
    return RunDir(out)


def _right(run, condition):
    """Right answers over the questions that were to be asked, from the rows themselves."""
    questions = len(running.rows_of(run, "questions"))
    answers = [e for row in running.rows_of(run, "eval") for e in row["asked"] if e["condition"] == condition]
    return sum(sum(e["correct"]) / len(e["correct"]) for e in answers) / questions


@pytest.mark.slow
def test_columns_are_the_papers_and_cells_are_the_rows(evaluated):
    table = paper_table("sffl-1", {"ours": [evaluated]})
    assert table.columns == ("VAH", "AVH", "MIS", "Avg.", "AVQA", "Valor2", "MUSIC-AVQA", "Avg.")
    ((name, cells),) = table.rows
    # the demo's questions are in AVQA's format, and no average of four is made of one
    assert name == "ours" and cells[4] == pytest.approx(_right(evaluated, "av")) and cells[5:] == (None, None, None)
    by_setting = paper_table("sffl-2", {"ours": [evaluated]})
    assert [row for row, _ in by_setting.rows] == [
        "Audio-only input",
        "Video-only input",
        "AV input",
        "AV input, PEM=Audio",
        "AV input, PEM=Visual",
        "AV input, PEM=Audio-Visual",
    ]
    assert by_setting.rows[2][1] == cells[:3]
    assert by_setting.rows[5][1] == (None, None, None), "a setting that was not asked is a dash, not a nought"
    assert table.as_text()[0][4] == "–" if cells[3] is None else f"{100 * cells[3]:.2f}"


def test_the_average_of_four_is_theirs():
    assert overall_average(0.8, 0.6, 0.4, 0.2) == pytest.approx(0.5)


@pytest.mark.slow
def test_the_command_prints_and_writes(evaluated, tmp_path):
    said = CliRunner().invoke(app, ["paper", "sffl-2", f"ours={evaluated.root}", "--json"])
    assert said.exit_code == 0, said.output
    read = json.loads(said.stdout)
    assert read["columns"] == list(TASKS) and len(read["rows"]) == 6


@pytest.mark.slow
def test_a_run_of_another_task_is_refused(evaluated):
    with pytest.raises(UserError, match="made of runs of judge"):
        paper_table("seehear", {"x": [evaluated]})
    with pytest.raises(UserError, match="Tables are: sffl-1"):
        raise_unknown = paper_table("sffl-9", {})
        assert raise_unknown is None
    assert set(LAYOUTS) >= {"sffl-1", "sffl-2", "sffl-3", "mapo-1", "seehear", "hubs"}
