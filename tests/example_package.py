"""The example package of docs/examples/plugin, laid out as an installer leaves it."""

import tomllib

from tests.conftest import REPO

EXAMPLE = REPO / "docs/examples/plugin"


def install_example(site):
    """Put the module, and metadata with the entry points of its pyproject.toml, into a folder for ``PYTHONPATH``."""
    (site / "avcurate_example.py").write_text((EXAMPLE / "avcurate_example.py").read_text())
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = site / "avcurate_example-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in found.items())
        for group, found in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
