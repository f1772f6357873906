"""Files are whole or absent, parts are checked on read, journals survive a torn line, one process writes."""

import subprocess
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from avcurate.errors import RunLocked, UserError
from avcurate.store.atomic import sweep, write_atomic, write_text
from avcurate.store.journal import Journal, bad_lines
from avcurate.store.lock import writer_lock
from avcurate.store.parts import Commit, Parts, write_parquet

TABLE = pa.table({"question_id": ["a", "b"], "x": [1, 2]})
EMPTY = TABLE.slice(0, 0)


def commit(**changes) -> Commit:
    return Commit(**({"part": 0, "rows_in": 3, "kept": 2, "filtered": {"f": 1}, "dead": {}, "upstream": "u",
                      "fingerprint": "p"} | changes))  # fmt: skip


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def fail(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(target, fail)
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_sweep_removes_what_a_killed_process_left(tmp_path):
    (tmp_path / ".a.parquet.123.tmp").write_text("half")
    (tmp_path / "a.parquet").write_text("whole")
    sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_a_part_comes_back_as_written(tmp_path):
    parts = Parts(tmp_path, "sample")
    parts.write(commit(), {"kept": TABLE, "filtered": EMPTY, "dead": EMPTY})
    assert parts.read(0).equals(TABLE)
    assert [c.part for c in parts.commits()] == [0]
    assert not parts.file(0, "dead").exists()


def test_lost_and_doubled_rows_are_refused(tmp_path):
    parts = Parts(tmp_path, "sample")
    for wrong in (commit(rows_in=4), commit(rows_in=2), commit(kept=1, rows_in=2)):
        with pytest.raises(RuntimeError, match="conserve"):
            parts.write(wrong, {"kept": TABLE, "filtered": EMPTY, "dead": EMPTY})
    assert parts.commits() == []


def test_a_damaged_part_is_noticed(tmp_path):
    parts = Parts(tmp_path, "sample")
    parts.write(commit(), {"kept": TABLE, "filtered": EMPTY, "dead": EMPTY})
    data = bytearray(parts.file(0).read_bytes())
    data[len(data) // 2] ^= 1
    parts.file(0).write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        parts.read(0)


def test_a_file_without_its_record_does_not_count(tmp_path):
    parts = Parts(tmp_path, "sample")
    parts.write(commit(), {"kept": TABLE, "filtered": EMPTY, "dead": EMPTY})
    (tmp_path / "sample" / "part-00000.json").unlink()
    assert parts.commits() == []
    with pytest.raises(UserError, match="not part of a finished stage"):
        parts.read(0)


def test_the_journal_is_read_again_and_its_torn_end_ignored(tmp_path):
    journal = Journal(tmp_path, "sample", "p1")
    journal.open_part(0, ["a", "b"])
    journal.put("a", "av/0", {"k": 1})
    journal.put("b", "av/0", {"k": "é"})
    journal.close()
    file = tmp_path / "journal" / "sample" / "part-00000.jsonl"
    file.write_bytes(file.read_bytes() + b'1234abcd ["p1", "a", "av/3", {"k"')

    again = Journal(tmp_path, "sample", "p1")
    again.open_part(0, ["a", "b"])
    assert again.get("a") == {"av/0": {"k": 1}} and again.get("b") == {"av/0": {"k": "é"}}
    again.put("a", "av/3", {"k": 2})
    again.close()

    third = Journal(tmp_path, "sample", "p1")
    third.open_part(0, ["a", "b"])
    assert third.get("a") == {"av/0": {"k": 1}, "av/3": {"k": 2}}
    third.close_part(0, ["a", "b"])
    assert not file.exists() and third.get("a") == {}


def test_a_journal_of_another_recipe_is_ignored(tmp_path):
    journal = Journal(tmp_path, "sample", "p1")
    journal.open_part(0, ["a"])
    journal.put("a", "av/0", 1)
    journal.close()
    other = Journal(tmp_path, "sample", "p2")
    other.open_part(0, ["a"])
    assert other.get("a") == {}


def test_unconfirmed_pieces_come_back_to_their_witness_alone(tmp_path):
    journal = Journal(tmp_path, "sample", "p1")
    journal.open_part(0, ["a", "b"])
    journal.put("a", "av/0", 1, "first")
    journal.put("b", "av/0", 2, "second")
    journal.confirm("first")
    journal.put("a", "av/1", 3, "first")
    journal.close()

    again = Journal(tmp_path, "sample", "p1")
    again.open_part(0, ["a", "b"])
    assert again.get("a") == {"av/0": 1} and again.get("b") == {}
    assert again.get("a", "first") == {"av/0": 1, "av/1": 3} and again.get("b", "second") == {"av/0": 2}
    assert again.get("b", "first") == {}


def test_a_line_with_a_right_checksum_that_is_no_entry_is_a_bad_line(tmp_path):
    file = tmp_path / "part-00000.jsonl"
    bodies = [b"[]", b"3", b'["piece", "p1"]', b'["other", "p1", "w"]', b'["confirm", "p1", "w"]']
    file.write_bytes(b"".join(f"{zlib.crc32(b):08x} ".encode() + b + b"\n" for b in bodies))
    assert bad_lines(file) == 4


def test_row_groups_are_large_but_never_of_many_large_rows(tmp_path):
    write_parquet(pa.table({"x": range(5000)}), tmp_path / "small.parquet")
    write_parquet(pa.table({"x": ["x" * (8 << 20)] * 10}), tmp_path / "large.parquet")
    small, large = (pq.read_metadata(tmp_path / f"{name}.parquet") for name in ("small", "large"))
    assert [small.row_group(i).num_rows for i in range(small.num_row_groups)] == [4096, 904]
    assert 1 < max(large.row_group(i).num_rows for i in range(large.num_row_groups)) <= 4


def test_one_writer(tmp_path):
    hold = (
        "import sys, pathlib\nfrom avcurate.store.lock import writer_lock\n"
        f"with writer_lock(pathlib.Path({str(tmp_path)!r})):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(RunLocked, match=f"process {child.pid}"), writer_lock(tmp_path):
        pass
    child.kill()
    child.wait()
    with writer_lock(tmp_path):
        pass
