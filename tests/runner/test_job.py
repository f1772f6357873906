"""A job of a made-up source and stages: what is recorded, refused and repeated, and what is found damaged."""

import json

import pyarrow as pa
import pytest

from avcurate.errors import RecipeChanged, UserError
from avcurate.runner import tables
from avcurate.runner.job import About, How, Job, run_job
from avcurate.runner.rundir import RunDir
from avcurate.runner.source import Extent, Source
from avcurate.runner.stage import Dead, Filtered, Kept, Stage, TableStage, WholeStage
from avcurate.runner.status import RESUMES, refuse_mixed, run_status
from avcurate.runner.verify import discard, refuse_damaged_files, verify_run
from avcurate.sources.records import Record
from avcurate.store.atomic import sha256
from avcurate.store.journal import Journal


class Numbers(Source):
    """Records 1 to ``count``; a multiple of ``bad`` cannot be read."""

    name, table, key = "numbers", "numbers_table", "question_id"
    rows = pa.schema([("question_id", pa.string()), ("n", pa.int64())])

    def __init__(self, count=10, bad=7):
        self.count, self.bad = count, bad

    def identity(self):
        return {"count": self.count, "bad": self.bad}

    def records(self):
        for i in range(1, self.count + 1):
            broken = i % self.bad == 0
            yield Record(i, None if broken else {"n": i}, "bad_json" if broken else "", "broken" if broken else "")

    def read(self, record):
        return Kept({"question_id": f"q{record.row}", "n": record.value["n"]})


class Halves(Stage):
    """Filters odd numbers; of the even ones, 4 is too large and 8 too long until ``fixed``."""

    name, version = "halves", 1
    adds = pa.schema([("half", pa.int64())])
    fixed, served, interrupted = False, "one", False

    def __init__(self):
        self.seen, self.prepared = [], 0

    def identity(self):
        return {}

    def preflight(self):
        self.prepared += 1

    def provenance(self):
        return {"model": self.served}

    def process(self, rows, log):
        if self.interrupted:
            raise UserError("interrupted")
        for row in rows:
            self.seen.append(row["n"])
            yield row["question_id"], self._outcome(row["n"])

    def _outcome(self, n):
        if n in (4, 8) and not self.fixed:
            return Dead("too_large" if n == 4 else "too_long", "it is", "wait")
        return Filtered("odd", "it is") if n % 2 else Kept({"half": n // 2})


class Writes(Stage):
    """Writes one file for each row."""

    name, version = "writes", 1
    adds = pa.schema([("files", pa.list_(pa.struct([("path", pa.string()), ("sha256", pa.string())])))])

    def __init__(self, root):
        self.root, self.written = root, []

    def identity(self):
        return {}

    def process(self, rows, log):
        for row in rows:
            path = self.root / f"{row['n']}.txt"
            path.write_text(str(row["n"]))
            self.written.append(row["n"])
            yield row["question_id"], Kept({"files": [{"path": path.name, "sha256": sha256(path)}]})

    def files(self, row):
        return [(self.root / f["path"], f["sha256"]) for f in row["files"]]


class Doubles(TableStage):
    name, version = "doubles", 1
    adds = pa.schema([("double", pa.int64())])

    def __init__(self, factor=2):
        self.factor, self.parts = factor, 0

    def identity(self):
        return {"factor": self.factor}

    def table(self, rows):
        self.parts += 1
        return pa.table({"double": [n * self.factor for n in rows.column("n").to_pylist()]}, schema=self.adds)

    def counts(self, added):
        return {"sum": float(sum(added.column(0).to_pylist()))}


class Copies(WholeStage):
    """Each row three times; the third is not wanted."""

    name, version = "copies", 1
    adds = pa.schema([("question_id", pa.string()), ("n", pa.int64())])

    def __init__(self):
        self.runs, self.stop_before = 0, ""

    def identity(self):
        return {}

    def process(self, rows, tick):
        self.runs += 1
        for table in rows:
            for row in table.to_pylist():
                for copy in range(3):
                    name = {"question_id": f"{row['question_id']}/{copy}"}
                    if row["question_id"] == self.stop_before:
                        raise UserError("interrupted")
                    yield name, Filtered("third", "one too many") if copy == 2 else Kept({"n": row["n"]})


def go(out, *stages, source=None, **how):
    how.setdefault("extent", Extent(part_size=3))
    job = Job(source or Numbers(), stages)
    return run_job(out, About("made-up", {}, {}), lambda: job, How(**how))


def rows_of(out, table):
    return [r for t in RunDir(out).parts(table).rows() for r in t.to_pylist()]


def test_counts_are_recorded_and_every_row_is_in_one_of_them(tmp_path):
    tallies = go(tmp_path, Halves(), Doubles())
    assert tallies["numbers"].dead == {"bad_json": 1} and tallies["halves"].filtered == {"odd": 4}
    stages = RunDir(tmp_path).record()["stages"]
    expected = {"in": 9, "kept": 3, "filtered": {"odd": 4}, "dead": {"too_large": 1, "too_long": 1}}
    assert {k: stages["halves"][k] for k in expected} == expected
    assert stages["numbers"]["in"] == 10 and stages["doubles"]["in"] == stages["doubles"]["kept"] == 3
    assert stages["doubles"]["facts"] == {"sum": 2.0 * (2 + 6 + 10)}
    status = run_status(RunDir(tmp_path))
    assert status["state"] == "finished" and status["stages"]["halves"] == expected
    assert [r["half"] for r in rows_of(tmp_path, "doubles")] == [1, 3, 5]


def test_a_finished_run_needs_no_preflight_until_something_is_to_be_done(tmp_path):
    stage = Halves()
    go(tmp_path, stage)
    go(tmp_path, stage)
    assert stage.prepared == 1 and len(stage.seen) == 9
    go(tmp_path, stage, extent=Extent(part_size=3), retry=frozenset())
    assert stage.prepared == 2
    go(tmp_path / "few", stage, extent=Extent(limit=3, part_size=3))
    go(tmp_path / "few", stage, extent=Extent(part_size=3))
    assert stage.prepared == 4


def test_a_larger_limit_extends_a_run_and_fewer_or_other_rows_are_refused(tmp_path):
    go(tmp_path, Halves(), extent=Extent(limit=6, part_size=3))
    stage = Halves()
    go(tmp_path, stage, extent=Extent(limit=9, part_size=3))
    assert stage.seen == [8, 9]
    for extent, says in (
        (Extent(limit=3, part_size=3), "limit 9"),
        (Extent(limit=9, part_size=4), "part_size"),
        (Extent(limit=9, part_size=3, records=frozenset({1})), "records"),
    ):
        with pytest.raises(UserError, match=says):
            go(tmp_path, Halves(), extent=extent)
    go(tmp_path, Halves(), extent=Extent(limit=3, part_size=3), force=True)
    assert RunDir(tmp_path).record()["stages"]["numbers"]["in"] == 3


def test_chosen_records_and_rows_are_read_and_absent_ones_refused(tmp_path):
    go(tmp_path / "records", extent=Extent(records=frozenset({2, 5})))
    assert [r["n"] for r in rows_of(tmp_path / "records", "numbers_table")] == [2, 5]
    go(tmp_path / "only", extent=Extent(only=frozenset({"q3"})))
    assert [r["n"] for r in rows_of(tmp_path / "only", "numbers_table")] == [3]
    assert RunDir(tmp_path / "only").record()["stages"]["numbers"]["filtered"] == {"not_selected": 9}
    for extent in (Extent(records=frozenset({11})), Extent(only=frozenset({"q7"}))):
        with pytest.raises(UserError, match=r"has no record 11|has the id 'q7'"):
            go(tmp_path / "none", extent=extent)


def test_a_retry_of_a_reason_touches_rows_of_that_reason_alone(tmp_path):
    go(tmp_path, Halves())
    stage = Halves()
    stage.fixed = True
    tallies = go(tmp_path, stage, retry=frozenset({"too_large"}))
    assert stage.seen == [4] and tallies["halves"].dead == {"too_long": 1}
    tallies = go(tmp_path, stage, retry=frozenset())
    assert stage.seen == [4, 8] and tallies["halves"].dead == {}


def test_what_answers_is_recorded_before_it_answers_and_may_not_change(tmp_path):
    stage = Halves()
    stage.interrupted = True
    with pytest.raises(UserError, match="interrupted"):
        go(tmp_path, stage)
    assert RunDir(tmp_path).record()["stages"]["halves"]["answered_by"] == {"model": "one"}
    assert run_status(RunDir(tmp_path))["state"] == RESUMES
    other = Halves()
    other.served = "two"
    with pytest.raises(UserError, match=r"answered by .*one.* by .*two"):
        go(tmp_path, other)
    assert other.seen == []
    go(tmp_path, Halves())
    other.fixed = True
    go(tmp_path, other, force=True, retry=frozenset())
    assert RunDir(tmp_path).record()["stages"]["halves"]["answered_by"] == {"model": "two"}


def test_changed_settings_are_refused_unless_the_stage_is_cheap(tmp_path):
    go(tmp_path, Halves(), Doubles())
    newer = Halves()
    newer.identity = lambda: {"setting": 1}
    with pytest.raises(RecipeChanged, match=r"setting: \(none\) → 1"):
        go(tmp_path, newer, Doubles())
    same, cheap = Doubles(), Doubles(3)
    go(tmp_path, Halves(), same)
    assert same.parts == 0
    go(tmp_path, Halves(), cheap)
    assert cheap.parts == 4 and [r["double"] for r in rows_of(tmp_path, "doubles")] == [6, 18, 30]
    with pytest.raises(RecipeChanged):
        go(tmp_path, Halves(), Doubles(), retry=frozenset())


def test_a_stage_that_sees_all_rows_is_repeated_unless_all_its_parts_are_there_and_new(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "WHOLE_PART", 10)
    stage = Copies()
    tallies = go(tmp_path, stage)
    copies = RunDir(tmp_path).parts("copies")
    assert (tallies["copies"].total, tallies["copies"].kept, tallies["copies"].filtered) == (27, 18, {"third": 9})
    assert [c.rows_in for c in copies.commits()] == [10, 10, 7]
    again = go(tmp_path, stage)["copies"]
    assert stage.runs == 1 and (again.total, again.kept, again.filtered) == (27, 18, {"third": 9})
    # the last part is what tells a whole table from one that was being written
    copies.remove(2)
    record = RunDir(tmp_path).record()
    record.pop("complete")
    RunDir(tmp_path).save(record)
    assert go(tmp_path, stage)["copies"].total == 27 and stage.runs == 2
    stage.stop_before = "q8"
    with pytest.raises(UserError, match="interrupted"):
        go(tmp_path, stage, source=Numbers(10, bad=10), force=True)
    stage.stop_before = ""
    with pytest.raises(UserError, match="old and new rows of copies"):
        refuse_mixed(RunDir(tmp_path))
    go(tmp_path, stage, source=Numbers(10, bad=10), force=True)
    assert [c.rows_in for c in copies.commits()] == [10, 10, 7] and stage.runs == 4
    assert {r["n"] for r in rows_of(tmp_path, "copies")} == set(range(1, 10))


def test_damage_is_found_removed_with_what_was_built_on_it_and_rebuilt(tmp_path):
    go(tmp_path, Halves(), Doubles())
    run = RunDir(tmp_path)
    whole = verify_run(run)
    assert whole["damaged"] == []
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/files.json").write_text(json.dumps({"model": "00"}))
    (tmp_path / "folder/model").write_text("changed")
    path = run.parts("halves").file(1)
    path.write_bytes(path.read_bytes()[:-1])
    found = verify_run(run)
    assert {(d["path"], d["table"], d["part"]) for d in found["damaged"]} == {
        ("halves/part-00001.json", "halves", 1),
        ("folder/model", None, None),
    }
    assert found["files"] == whole["files"] + 2
    discard(run, found)
    assert not (tmp_path / "folder/model").exists()
    numbers = {t: [c.part for c in run.parts(t).commits()] for t in ("numbers_table", "halves", "doubles")}
    assert numbers == {"numbers_table": [0, 1, 2, 3], "halves": [0, 2, 3], "doubles": [0, 2, 3]}
    assert run_status(run)["state"] == RESUMES
    stage = Halves()
    go(tmp_path, stage, Doubles())
    assert stage.seen == [4, 5, 6] and run_status(run)["state"] == "finished"


def test_a_damaged_output_file_is_removed_and_only_its_row_is_redone(tmp_path):
    stage = Writes(tmp_path)
    go(tmp_path, stage)
    whole = verify_run(RunDir(tmp_path))
    assert whole["damaged"] == []
    (tmp_path / "5.txt").write_text("changed")
    found = verify_run(RunDir(tmp_path))
    assert [(d["path"], d["table"], d["part"]) for d in found["damaged"]] == [("5.txt", "writes", 1)]
    assert found["files"] == whole["files"]
    with pytest.raises(UserError, match=r"5\.txt its bytes differ"):
        refuse_damaged_files(RunDir(tmp_path), "writes")
    go(tmp_path, stage)
    assert stage.written == [*range(1, 7), *range(8, 11), 5]
    refuse_damaged_files(RunDir(tmp_path), "writes")
    (tmp_path / "5.txt").write_text("changed")
    discard(RunDir(tmp_path), verify_run(RunDir(tmp_path)))
    assert not (tmp_path / "5.txt").exists() and (tmp_path / "6.txt").exists()
    go(tmp_path, stage)
    assert verify_run(RunDir(tmp_path)) == whole


def test_a_missing_commit_record_is_damage_of_the_part_it_was_of(tmp_path):
    go(tmp_path, Halves())
    run = RunDir(tmp_path)
    run.parts("halves").record_file(1).unlink()
    assert "parts of halves are missing" in run_status(run)["state"]
    (found,) = verify_run(run)["damaged"]
    assert (found["table"], found["part"]) == ("halves", 1)
    with pytest.raises(UserError, match="parts of halves are missing"):
        run.require("halves", made_by="made-up")


def test_rows_of_two_settings_are_not_read_together(tmp_path):
    go(tmp_path, Halves(), Doubles())
    run = RunDir(tmp_path)
    refuse_mixed(run)
    run.parts("halves").remove(1)
    with pytest.raises(UserError, match="old and new rows of doubles"):
        refuse_mixed(run)


def test_a_journal_with_a_damaged_line_is_reported(tmp_path):
    go(tmp_path, Halves())
    journal = Journal(tmp_path, "halves", "p")
    journal.open_part(0, ["q1"])
    journal.put("q1", "k", 1)
    journal.close()
    (file,) = tmp_path.glob("journal/*/*.jsonl")
    assert verify_run(RunDir(tmp_path))["damaged"] == []
    file.write_bytes(file.read_bytes().replace(b"q1", b"q9"))
    found = verify_run(RunDir(tmp_path))
    assert [d["path"] for d in found["damaged"]] == ["journal/halves/part-00000.jsonl"]
    discard(RunDir(tmp_path), found)
    assert not file.exists()
