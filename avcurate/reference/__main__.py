"""``python -m avcurate.reference FOLDER``: write ``cli.md``, ``recipes.md`` and ``columns.md``."""

from __future__ import annotations

import sys
from pathlib import Path

from avcurate.reference.columns import columns_page
from avcurate.reference.commands import commands_page
from avcurate.reference.recipes import recipes_page

PAGES = {"cli.md": commands_page, "recipes.md": recipes_page, "columns.md": columns_page}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        Path(sys.argv[1], name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
