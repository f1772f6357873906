"""``paper``: finished runs as a table of a paper's shape."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avcurate.cli.console import print_json


def paper(
    table: Annotated[str, typer.Argument(help="sffl-1, sffl-2, sffl-3, mapo-1, seehear or hubs.")],
    groups: Annotated[list[str], typer.Argument(help="NAME=RUN, one row per name; several runs may share a name.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write the table to this .md file.")] = None,
    json_out: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print finished runs as a table of one of the papers: its columns, its averages, a dash for what is not there.

    docs/papers.md says which command gives which table, and how close it is to the paper's.

    Examples:

      avcurate paper sffl-1 zero-shot=runs/zs-avhbench zero-shot=runs/zs-avqa SFFL=runs/avhbench SFFL=runs/avqa

      avcurate paper seehear factual=runs/judge-factual counterfactual=runs/judge-counterfactual
    """
    from rich.table import Table

    from avcurate.errors import UserError
    from avcurate.papers.tables import paper_table
    from avcurate.report.terminal import console
    from avcurate.runner.rundir import RunDir
    from avcurate.store.atomic import write_text

    named: dict[str, list[RunDir]] = {}
    for group in groups:
        name, _, run = group.partition("=")
        if not name or not run:
            raise UserError(f"{group!r} is not NAME=RUN.", "For example: SFFL=runs/eval-sffl")
        named.setdefault(name, []).append(RunDir(Path(run)))
    made = paper_table(table, named)
    lines = made.as_text()
    if out is not None:
        rows = [["", *made.columns], ["---"] * (len(made.columns) + 1), *lines]
        cells = ("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows)
        write_text(out, f"### {made.title}\n\n" + "\n".join(cells) + "\n")
    if json_out:
        rows_out = [{"name": name, "values": list(values)} for name, values in made.rows]
        print_json({"title": made.title, "columns": list(made.columns), "rows": rows_out})
        return
    printed = Table("", *made.columns, title=made.title, title_justify="left")
    for line in lines:
        printed.add_row(*line)
    console().print(printed)
