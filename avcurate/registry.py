"""Registries by name: built-ins by module path, plug-ins by entry point. An object is imported on first use."""

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
    """All objects of one kind, by name.

    A package adds one with an entry point in ``group``; no file here needs to change. A built-in cannot be
    overridden: a plug-in that reuses its name is refused at lookup.

    Args:
        kind: name of the kind in messages, e.g. ``engine``.
        group: entry point group, e.g. ``avcurate.engines``.
        builtin: ``module:attribute`` of each built-in.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)
        self._added: dict[str, T] = {}
        self._loaded: dict[str, T] = {}

    def names(self) -> list[str]:
        """Every name: built-ins in order, then plug-ins."""
        return list(dict.fromkeys([*self._builtin, *sorted(self._plugins()), *self._added]))

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self._added or name in self._plugins()

    def get(self, name: str) -> T:
        """The object of that name.

        Raises:
            UserError: there is none, two packages register it, or it cannot be imported.
        """
        if name in self._added:
            return self._added[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def add(self, name: str, thing: T) -> None:
        """Register an object for this process, as a notebook or a test does."""
        self._added[name] = thing

    def origins(self) -> list[Origin]:
        """Where every name comes from; imports nothing."""
        builtin = [Origin(n, OURS, target) for n, target in self._builtin.items()]
        installed = [
            Origin(n, e.dist.name if e.dist else "?", e.value)
            for n, entries in self._plugins().items()
            for e in entries
        ]
        added = [Origin(n, "this process", type(thing).__qualname__) for n, thing in self._added.items()]
        return [*builtin, *sorted(installed, key=lambda o: o.name), *added]

    def _plugins(self) -> dict[str, list[EntryPoint]]:
        plugins: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=self.group):
            plugins.setdefault(entry.name, []).append(entry)
        return plugins

    def _load(self, name: str) -> T:
        entries = self._plugins().get(name, [])
        if name in self._builtin:
            if entries:
                packages = ", ".join(sorted({e.dist.name for e in entries if e.dist}))
                raise UserError(
                    f"{packages} registers the {self.kind} {name!r}, which is built into avcurate.",
                    "Rename it there, or uninstall the package.",
                )
            builtin: T = _import(self._builtin[name])
            return builtin
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
