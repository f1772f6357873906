"""Where messages go: progress to standard error, everything to a file that the user names."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from avcurate.errors import UserError

LEVELS = ("debug", "info", "warning", "error")
PROGRESS = logging.getLogger("avcurate.progress")
EVENTS = logging.getLogger("avcurate")
# without a handler, Python would print warnings itself
EVENTS.addHandler(logging.NullHandler())
_FORM = "%(asctime)s %(levelname)s %(message)s"


def configure(level: str, file: Path | None) -> None:
    """Set up logging for this process.

    Standard error gets progress, unless it is a terminal, where bars show it; with level ``debug`` it gets every
    message. The file gets every message of the level and above.

    Raises:
        UserError: the level does not exist, or the file cannot be written.
    """
    if level not in LEVELS:
        raise UserError(f"there is no log level {level!r}.", f"Levels are: {', '.join(LEVELS)}.")
    number = getattr(logging, level.upper())
    EVENTS.setLevel(number)
    EVENTS.propagate = False
    for old in (*EVENTS.handlers, *PROGRESS.handlers):
        old.close()
    EVENTS.handlers.clear()
    PROGRESS.handlers.clear()
    EVENTS.addHandler(logging.NullHandler())
    if not sys.stderr.isatty() or level == "debug":
        shown = logging.StreamHandler(sys.stderr)
        shown.setFormatter(logging.Formatter("%(message)s"))
        (EVENTS if level == "debug" else PROGRESS).addHandler(shown)
    if file is not None:
        try:
            written = logging.FileHandler(file, encoding="utf-8")
        except OSError as e:
            raise UserError(
                f"the log {file} cannot be written: {e.strerror}.", "Give another file with --log-file."
            ) from None
        written.setFormatter(logging.Formatter(_FORM))
        EVENTS.addHandler(written)


def one_line(text: object) -> str:
    """Text without line breaks or control characters, so that hostile text forges no line of a log."""
    return "".join(c if c.isprintable() else " " for c in str(text))[:500]
