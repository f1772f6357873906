"""AudioSet's ontology: which classes are below which."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from avcurate.errors import UserError


class Ontology:
    """The class tree, by class name.

    Raises:
        UserError: the file is missing or is not AudioSet's ontology.json.
    """

    def __init__(self, path: Path) -> None:
        try:
            nodes = json.loads(path.read_text("utf-8"))
            names = {n["id"]: n["name"] for n in nodes}
            self._children = {n["name"]: [names[c] for c in n["child_ids"] if c in names] for n in nodes}
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise UserError(f"{path} is not AudioSet's ontology: {e}", "Give its ontology.json.") from None

    def below(self, roots: Iterable[str]) -> set[str]:
        """The roots and everything under them.

        Raises:
            UserError: a root is not a class of the ontology.
        """
        reached: set[str] = set()
        pending = list(roots)
        for root in pending:
            if root not in self._children:
                raise UserError(f"{root!r} is not a class of the AudioSet ontology.", "Check the recipe's branches.")
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                pending += self._children[name]
        return reached

    def most_specific(self, names: Iterable[str]) -> list[str]:
        """The names that have none of the others below them, sorted."""
        given = set(names)
        return sorted(n for n in given if n not in self._children or not (self.below([n]) - {n}) & given)
