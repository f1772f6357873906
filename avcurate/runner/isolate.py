"""Keeps an error to its row: what is raised for a row becomes its outcome; what is not a row's fault stops the run."""

from __future__ import annotations

import errno
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from avcurate.errors import AvcurateError, RowError, UserError
from avcurate.runner.stage import Dead, Outcome, Row

T = TypeVar("T")
INTERNAL = "internal_error"
SAME_IN_A_ROW = 10
# errors of the machine, not of the row that happened to hit them
_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE}
)


class Isolation:
    """Turns exceptions into dead rows, and stops when the same fault hits row after row."""

    def __init__(self) -> None:
        self._last = ""
        self._times = 0

    def passed(self) -> None:
        """A row went through."""
        self._times = 0

    def dead(self, e: Exception, setting: str | None = None) -> Dead:
        """The outcome of the row for which ``e`` was raised.

        Raises:
            AvcurateError: it is not a row's: a user's error, the machine's, or the tenth of its kind in a row.
        """
        if isinstance(e, RowError):
            self.passed()
            return Dead(e.reason, e.message, e.hint, setting)
        refuse_machine_errors(e)
        if isinstance(e, AvcurateError):
            raise e
        trace = "".join(traceback.format_exception(e))
        frames = traceback.extract_tb(e.__traceback__)
        fault = f"{type(e).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(e).__name__
        self._times = self._times + 1 if fault == self._last else 1
        self._last = fault
        summary = f"{type(e).__name__}: {e}"[:500]
        if self._times >= SAME_IN_A_ROW:
            raise UserError(
                f"the same error hit {self._times} rows in succession: {summary}.",
                "The rows are not at fault. Run again with --debug for the traceback, and report it.",
            ) from e
        return Dead(INTERNAL, summary, "A bug in avcurate; the column trace holds the traceback.", setting, trace)


def refuse_machine_errors(e: BaseException) -> None:
    """Raise if an exception is the machine's: no memory, a full disk, too many open files.

    Raises:
        UserError: the message and the next step.
    """
    if isinstance(e, MemoryError):
        raise UserError(
            "there is no memory left.", "Use fewer --workers or smaller batches, then run the same command again."
        ) from e
    # torch's, which the core does not import
    if type(e).__name__ == "OutOfMemoryError":
        raise UserError(
            f"the accelerator has no memory left: {' '.join(str(e).split())[:200]}",
            "Lower model.max_sequences or the media limits in the recipe, then run the same command again.",
        ) from e
    if isinstance(e, OSError) and e.errno in _MACHINE:
        raise UserError(
            f"the machine refused: {e.strerror or e} ({e.filename or 'no file named'}).",
            "Make room or fix the disk, then run the same command again; finished work is kept.",
        ) from e


def in_batches(
    rows: Iterator[Row],
    size: int,
    row_id: Callable[[Row], str],
    work: Callable[[list[Row]], list[Outcome]],
) -> Iterator[tuple[str, Outcome]]:
    """Outcomes of rows processed in batches; where a batch fails, each of its rows is tried alone.

    Args:
        rows: pulled a batch at a time.
        size: rows per batch.
        row_id: what names a row.
        work: one outcome for each row of a batch, in order.
    """
    isolation = Isolation()
    while batch := [r for _, r in zip(range(size), rows, strict=False)]:
        for row, outcome in zip(batch, tried(batch, work, isolation), strict=True):
            yield row_id(row), outcome


def tried(batch: list[T], work: Callable[[list[T]], list[Outcome]], isolation: Isolation) -> list[Outcome]:
    """Outcomes of ``work`` on a batch, one for each item; where it fails, each is tried alone."""
    try:
        outcomes = work(batch)
    except Exception as e:
        if len(batch) == 1:
            return [isolation.dead(e)]
        refuse_machine_errors(e)
        if isinstance(e, AvcurateError) and not isinstance(e, RowError):
            raise
        return [outcome for item in batch for outcome in tried([item], work, isolation)]
    isolation.passed()
    return outcomes


def guarded(isolation: Isolation, work: Callable[[], Any]) -> Any | Dead:
    """The result of ``work``, or the dead row for what it raised."""
    try:
        result = work()
    except Exception as e:
        return isolation.dead(e)
    isolation.passed()
    return result


def in_threads(
    rows: Iterator[Row], workers: int, row_id: Callable[[Row], str], work: Callable[[Row], Outcome]
) -> Iterator[tuple[str, Outcome]]:
    """Outcomes of rows processed in parallel, in their order; a few are started ahead."""
    isolation = Isolation()
    waiting: deque[tuple[str, Future[Outcome]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="row") as pool:
        try:
            while True:
                while len(waiting) < 2 * workers and (row := next(rows, None)) is not None:
                    waiting.append((row_id(row), pool.submit(work, row)))
                if not waiting:
                    return
                name, future = waiting.popleft()
                yield name, guarded(isolation, future.result)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
