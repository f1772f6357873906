"""An error stays with its row; what is not a row's fault stops the run."""

import errno
import time

import pytest

from avcurate.errors import RowError, UserError
from avcurate.runner.isolate import INTERNAL, SAME_IN_A_ROW, Isolation, in_batches, in_threads
from avcurate.runner.stage import Dead, Kept

ROWS = [{"id": str(i)} for i in range(7)]


def batched(work, size=3, rows=ROWS):
    return list(in_batches(iter(rows), size, lambda r: r["id"], work))


def test_where_a_batch_fails_only_the_row_at_fault_dies():
    sizes = []

    def work(batch):
        sizes.append(len(batch))
        if any(r["id"] == "4" for r in batch):
            raise RowError("broken", "it broke", "fix it")
        return [Kept({"n": r["id"]}) for r in batch]

    outcomes = batched(work)
    assert [i for i, _ in outcomes] == [r["id"] for r in ROWS]
    assert {i: o for i, o in outcomes if o != Kept({"n": i})} == {"4": Dead("broken", "it broke", "fix it")}
    assert sizes == [3, 3, 1, 1, 1, 1]


def test_a_batch_with_too_few_outcomes_is_caught():
    with pytest.raises(ValueError, match="shorter"):
        batched(lambda batch: [Kept({}) for _ in batch[1:]])


def test_the_same_fault_in_row_after_row_stops_and_one_sound_batch_starts_the_count_anew():
    def fails(row):
        raise KeyError(row["id"])

    def work(batch):
        return [Kept({}) if r["id"].startswith("good") else fails(r) for r in batch]

    bad = [{"id": str(i)} for i in range(SAME_IN_A_ROW - 1)]
    outcomes = batched(work, 1, [*bad, {"id": "good"}, *bad])
    assert [o.reason for _, o in outcomes if isinstance(o, Dead)] == [INTERNAL] * 2 * len(bad)
    with pytest.raises(UserError, match=f"hit {SAME_IN_A_ROW} rows in succession"):
        batched(work, 1, [*bad, {"id": "one more"}])


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.ENOSPC, "No space left on device"), UserError("no model", "get one")]
)
def test_what_is_not_a_row_s_fault_stops_the_run(error):
    def work(batch):
        raise error

    for size in (1, 3):
        with pytest.raises(UserError):
            batched(work, size)
    with pytest.raises(UserError):
        list(in_threads(iter(ROWS), 2, lambda r: r["id"], work))


def test_an_error_of_a_file_is_its_row_s():
    dead = Isolation().dead(FileNotFoundError(errno.ENOENT, "No such file"), "av")
    assert (dead.reason, dead.setting) == (INTERNAL, "av") and "FileNotFoundError" in dead.trace


def test_threads_give_outcomes_in_order_and_start_few_rows_ahead():
    taken = []

    def rows():
        for row in ROWS:
            taken.append(row["id"])
            yield row

    def work(row):
        # the first of each pair takes longer
        time.sleep(0.02 * (row["id"] in "0246"))
        if row["id"] == "3":
            raise RowError("broken", "it broke", "fix it")
        return Kept({})

    outcomes = in_threads(rows(), 2, lambda r: r["id"], work)
    first = next(outcomes)
    assert first == ("0", Kept({})) and taken == ["0", "1", "2", "3"]
    rest = list(outcomes)
    assert [i for i, _ in rest] == ["1", "2", "3", "4", "5", "6"]
    assert [i for i, o in rest if isinstance(o, Dead)] == ["3"]
