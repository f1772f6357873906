"""Names to things of one kind: ours by module path, anybody's by entry point. Imports a thing when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from avcurate.errors import UserError

T = TypeVar("T")
OURS = "avcurate"


@dataclass(frozen=True)
class Origin:
    """Where a registered name comes from: the distribution, and ``module:attribute``."""

    name: str
    package: str
    target: str


class Registry(Generic[T]):
    """All things of one kind, by name.

    A package adds one with an entry point in ``group``; no file of ours needs to change. A name of ours cannot be
    taken over: a plug-in that tries is refused when its name is looked up.

    Args:
        kind: what one thing is called in messages, e.g. ``engine``.
        group: entry point group, e.g. ``avcurate.engines``.
        builtin: ``module:attribute`` of each thing of ours.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)
        self._added: dict[str, T] = {}
        self._loaded: dict[str, T] = {}

    def names(self) -> list[str]:
        """Every name: ours in their order, then those of plug-ins."""
        return list(dict.fromkeys([*self._builtin, *sorted(self._plugins()), *self._added]))

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._added or name in self._plugins()

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises:
            UserError: there is none, two packages offer it, or it cannot be imported.
        """
        if name in self._added:
            return self._added[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def add(self, name: str, thing: T) -> None:
        """Register a thing for this process, as a notebook or a test does."""
        self._added[name] = thing

    def origins(self) -> list[Origin]:
        """Where every name comes from; imports nothing."""
        ours = [Origin(n, OURS, target) for n, target in self._builtin.items()]
        theirs = [
            Origin(n, e.dist.name if e.dist else "?", e.value) for n, found in self._plugins().items() for e in found
        ]
        here = [Origin(n, "this process", type(t).__qualname__) for n, t in self._added.items()]
        return [*ours, *sorted(theirs, key=lambda o: o.name), *here]

    def _plugins(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=self.group):
            found.setdefault(entry.name, []).append(entry)
        return found

    def _load(self, name: str) -> T:
        entries = self._plugins().get(name, [])
        if name in self._builtin:
            if entries:
                packages = ", ".join(sorted({e.dist.name for e in entries if e.dist}))
                raise UserError(
                    f"{packages} registers the {self.kind} {name!r}, which avcurate has itself.",
                    "Rename it there, or uninstall the package.",
                )
            found: T = _import(self._builtin[name])
            return found
        if len(entries) == 1:
            try:
                loaded: T = entries[0].load()
            except Exception as e:
                package = entries[0].dist.name if entries[0].dist else "a plug-in"
                raise UserError(
                    f"the {self.kind} {name!r} of {package} cannot be imported: {type(e).__name__}: {e}",
                    "Fix or uninstall that package; `avcurate plugins` lists what is installed.",
                ) from e
            return loaded
        if entries:
            packages = ", ".join(sorted({e.dist.name for e in entries if e.dist}))
            raise UserError(f"{packages} all register the {self.kind} {name!r}.", "Uninstall all but one of them.")
        known = ", ".join(self.names())
        raise UserError(f"there is no {self.kind} {name!r}.", f"Known: {known}.")


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
