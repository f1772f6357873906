"""A question with its answers under one condition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answered:
    """One question's answers under one condition, asked or derived; ``lost``: it could not be asked."""

    question_id: str
    task: str
    pem: str | None
    truth: str
    answers: tuple[str | None, ...]
    correct: tuple[bool, ...]
    named: tuple[str | None, ...]
    texts: tuple[str, ...] = ()
    lost: bool = False

    @property
    def score(self) -> float:
        """Share of correct responses."""
        return sum(self.correct) / len(self.correct)
