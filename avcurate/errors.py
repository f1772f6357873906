"""The error hierarchy. Each error says what happened, to which row or file, and what to do next."""

from __future__ import annotations


class AvcurateError(Exception):
    """Base of every error a user may see. ``hint`` is the next step, one sentence."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UserError(AvcurateError):
    """Something the user can fix: an argument, a file, a recipe. Exit code 1."""


class RowError(AvcurateError):
    """One row failed. It becomes a dead row under ``reason``; its neighbours are untouched."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


class MediaError(RowError):
    """A media file that is missing, refused, broken or empty."""


class TooManyDead(AvcurateError):
    """The share of dead rows exceeded ``--fail-on-dead``. The run stops and can be resumed. Exit code 3."""


class NothingKept(AvcurateError):
    """A run came to its end and kept no row: everything was filtered or dead. Exit code 3."""


class RunLocked(UserError):
    """Another process is writing this run directory."""


class RecipeChanged(UserError):
    """The run directory was made with another recipe, input, model or code version."""


class StepFailed(UserError):
    """A step of a chain ended with an error. ``code`` is its exit code, which the chain exits with too."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message, hint)
        self.code = code


class Stopped(BaseException):
    """SIGINT or SIGTERM arrived. Not a ``KeyboardInterrupt``, which libraries further up the stack swallow.

    Attributes:
        code: the exit code, 130 or 143.
    """

    def __init__(self, code: int) -> None:
        self.code = code
