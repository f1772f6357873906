"""Turns what a library raises for a model it cannot load into one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from avcurate.errors import AvcurateError, UserError


@contextmanager
def loading(what: str, hint: str) -> Iterator[None]:
    """Wrap the loading of weights and processors.

    Damaged files raise whatever the parser underneath happens to raise, so every error counts as the model's, except
    the machine's own (no memory left).

    Raises:
        UserError: the model cannot be loaded; it names the model and the library's reason.
    """
    try:
        yield
    except (AvcurateError, MemoryError):
        raise
    except Exception as e:
        if type(e).__name__ == "OutOfMemoryError":
            raise
        reason = " ".join(str(e).split())[:300] or type(e).__name__
        raise UserError(f"{what} cannot be loaded: {reason}", hint) from e
