"""Writes one HTML page from a template: everything shown is escaped, and a missing name is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from avcurate.store.atomic import write_text


def write_page(target: Path, package: str, template: str = "page.html.j2", **values: Any) -> Path:
    """Render the template of a package into ``target``, atomically.

    Args:
        package: whose folder holds the template; ``blocks.html.j2`` of this one can be imported.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package, "."), jinja2.PackageLoader(__package__, ".")]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = lambda x: "–" if x is None else f"{x:.1%}"
    write_text(target, environment.get_template(template).render(**values))
    return target
