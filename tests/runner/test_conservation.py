"""Whatever goes wrong, every row comes out once: as kept, filtered or dead."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avcurate.errors import TooManyDead
from avcurate.runner.execute import Options, StageRun
from avcurate.runner.stage import Dead, Filtered, Kept, Stage
from avcurate.store.journal import Journal, bad_lines
from avcurate.store.parts import Commit, Parts

INPUT = pa.schema([("question_id", pa.string()), ("row", pa.int64()), ("media", pa.string())])


class Faulty(Stage):
    """Gives each row the outcome of a pattern, out of order, and crashes after a set number."""

    name = "faulty"
    version = 1
    adds = pa.schema([("value", pa.int64())])

    def __init__(self, pattern, window=1, crash_after=None, fixed=frozenset()):
        self.pattern = pattern
        self.window = window
        self.crash_after = crash_after
        self.fixed = fixed
        self.seen = []

    def identity(self):
        return {"pattern": self.pattern}

    def process(self, rows, log):
        held = []
        given_out = 0
        for row in rows:
            held.append(row)
            if len(held) >= self.window:
                while held:
                    given_out += 1
                    if self.crash_after is not None and given_out > self.crash_after:
                        raise RuntimeError("crash")
                    yield self.answer(held.pop())
        while held:
            yield self.answer(held.pop())

    def answer(self, row):
        self.seen.append(row["question_id"])
        what = self.pattern[row["row"] % len(self.pattern)]
        if what == "k" or (what == "d" and row["question_id"] in self.fixed):
            return row["question_id"], Kept({"value": row["row"] * 2})
        if what == "f":
            return row["question_id"], Filtered("unwanted", "not wanted")
        return row["question_id"], Dead("broken", "it broke", "fix it")


def upstream(root: Path, sizes: list[int]) -> Parts:
    parts = Parts(root, "input")
    number = 0
    for part, size in enumerate(sizes):
        rows = [{"question_id": f"q{number + i}", "row": number + i, "media": "m"} for i in range(size)]
        number += size
        parts.write(Commit(part, size, size, {}, {}, "", "x"), {"kept": pa.Table.from_pylist(rows, schema=INPUT)})
    return parts


def test_a_journal_left_by_a_kill_between_commit_and_unlink_is_removed(tmp_path, monkeypatch):
    class Journaled(Faulty):
        journals_outcomes = True

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    source, output = upstream(tmp_path, [3, 2]), Parts(tmp_path, "faulty")
    monkeypatch.setattr(Journal, "close_part", killed)
    with pytest.raises(Killed):
        StageRun(Journaled("k"), source, output, Options()).run()
    (journal,) = tmp_path.glob("journal/*/*.jsonl")
    assert output.commit_of(0) is not None and bad_lines(journal) == 0
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"q0", b"q9") + whole[:20])
    assert bad_lines(journal) == 1
    monkeypatch.undo()
    again = Journaled("k")
    assert StageRun(again, source, output, Options()).run().kept == 5
    assert again.seen == ["q3", "q4"] and not list(tmp_path.glob("journal/*/*.jsonl"))


def ids_of(parts: Parts) -> dict[str, list[str]]:
    return {
        kind: [i for t in parts.rows(kind) for i in t.column("question_id" if kind == "kept" else "row_id").to_pylist()]
        for kind in ("kept", "filtered", "dead")
    }


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=5),
    pattern=st.text("kfd", min_size=1, max_size=6),
    window=st.integers(1, 9),
    crashes=st.lists(st.integers(0, 12), max_size=3),
)
def test_every_row_comes_out_once_whatever_happens(sizes, pattern, window, crashes):
    root = Path(tempfile.mkdtemp())
    try:
        source, output = upstream(root, sizes), Parts(root, "faulty")
        for crash in crashes:
            try:
                StageRun(Faulty(pattern, window, crash), source, output, Options()).run()
            except RuntimeError as e:
                assert str(e) == "crash"
        tally = StageRun(Faulty(pattern, window), source, output, Options()).run()
        by_kind = ids_of(output)
        names = sorted(i for ids in by_kind.values() for i in ids)
        assert names == sorted(f"q{i}" for i in range(sum(sizes)))
        assert tally.total == tally.done == sum(sizes)
        assert tally.kept == len(by_kind["kept"]) == sum(pattern[i % len(pattern)] == "k" for i in range(sum(sizes)))
        assert tally.filtered.get("unwanted", 0) == len(by_kind["filtered"])
        assert tally.dead.get("broken", 0) == len(by_kind["dead"])
        assert all(c.conserved for c in output.commits())
        assert by_kind["kept"] == sorted(by_kind["kept"], key=lambda i: int(i[1:]))
    finally:
        shutil.rmtree(root)


def test_finished_parts_are_not_redone(tmp_path):
    source, output = upstream(tmp_path, [4, 4]), Parts(tmp_path, "faulty")
    with pytest.raises(RuntimeError, match="crash"):
        StageRun(Faulty("k", 1, crash_after=5), source, output, Options()).run()
    again = Faulty("k")
    StageRun(again, source, output, Options()).run()
    # q4 was done when the crash came, and was journaled
    assert again.seen == ["q5", "q6", "q7"]


def test_retry_processes_dead_rows_alone(tmp_path):
    source, output = upstream(tmp_path, [6]), Parts(tmp_path, "faulty")
    StageRun(Faulty("kdf"), source, output, Options(reproduce=lambda i, record: f"again {i}")).run()
    dead_rows = next(output.rows("dead")).to_pylist()
    assert {x["reproduce"] for x in dead_rows} == {"again q1", "again q4"}
    assert {(x["reason"], x["message"], x["hint"], x["attempt"]) for x in dead_rows} == {
        ("broken", "it broke", "fix it", 1)
    }

    again = Faulty("kdf", fixed=frozenset({"q1"}))
    StageRun(again, source, output, Options(retry_dead=True)).run()
    assert again.seen == ["q1", "q4"]
    assert ids_of(output) == {"kept": ["q0", "q1", "q3"], "filtered": ["q2", "q5"], "dead": ["q4"]}
    assert next(output.rows("dead")).to_pylist()[0]["attempt"] == 2

    other = Faulty("kdf")
    StageRun(other, source, output, Options(retry_dead=True, retry_reasons=frozenset({"another"}))).run()
    assert other.seen == []


def test_dead_rows_are_left_alone_unless_a_retry_is_asked_for_even_where_a_neighbour_is_redone(tmp_path):
    source, output = upstream(tmp_path, [3]), Parts(tmp_path, "faulty")
    StageRun(Faulty("kdk"), source, output, Options()).run()
    again = Faulty("kdk")
    StageRun(again, source, output, Options()).run()
    assert again.seen == []
    rows = source.read(0).to_pylist()
    rows[2]["media"] = "other"
    source.write(dataclasses.replace(source.commits()[0], files={}), {"kept": pa.Table.from_pylist(rows, schema=INPUT)})
    StageRun(again, source, output, Options()).run()
    assert again.seen == ["q2"]
    assert next(output.rows("dead")).to_pylist()[0]["attempt"] == 1


def test_a_new_version_of_a_stage_redoes_its_work(tmp_path):
    source, output = upstream(tmp_path, [3]), Parts(tmp_path, "faulty")
    StageRun(Faulty("k"), source, output, Options()).run()
    newer = Faulty("k")
    newer.version = 2
    StageRun(newer, source, output, Options()).run()
    assert newer.seen == ["q0", "q1", "q2"]


def test_a_changed_row_is_redone_and_its_neighbours_are_not(tmp_path):
    source, output = upstream(tmp_path, [3]), Parts(tmp_path, "faulty")
    StageRun(Faulty("k"), source, output, Options()).run()
    rows = source.read(0).to_pylist()
    rows[1]["media"] = "other"
    source.write(dataclasses.replace(source.commits()[0], files={}), {"kept": pa.Table.from_pylist(rows, schema=INPUT)})
    again = Faulty("k")
    StageRun(again, source, output, Options()).run()
    assert again.seen == ["q1"] and ids_of(output)["kept"] == ["q0", "q1", "q2"]


def test_a_run_that_goes_wrong_stops_and_can_be_resumed(tmp_path):
    source, output = upstream(tmp_path, [20] * 5), Parts(tmp_path, "faulty")
    with pytest.raises(TooManyDead, match="broken"):
        StageRun(Faulty("kkkd"), source, output, Options(fail_on_dead=0.1)).run()
    assert len(output.commits()) == 1
    StageRun(Faulty("kkkd"), source, output, Options(fail_on_dead=0.5)).run()
    assert len(output.commits()) == 5


def test_a_stage_that_forgets_a_row_is_caught(tmp_path):
    class Forgetful(Faulty):
        def process(self, rows, log):
            for answer in super().process(rows, log):
                if answer[0] != "q2":
                    yield answer

    with pytest.raises(RuntimeError, match="no outcome for 1 rows"):
        StageRun(Forgetful("k"), upstream(tmp_path, [4]), Parts(tmp_path, "faulty"), Options()).run()
