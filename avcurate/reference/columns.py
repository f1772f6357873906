"""Every table with its columns."""

from __future__ import annotations

from avcurate.reference.markdown import cell, code
from avcurate.schema import SCHEMA_VERSION, TABLES

INTRO = f"""# Columns

Written by `make reference` from the schemas (version {SCHEMA_VERSION}), which `schemas/*.json` publish for machines.
A table is a folder of Parquet parts in a run. A part holds the row's key and the columns that its stage adds;
`avcurate.open_run`, `export` and every report read whole rows, which is what is listed here. The Parquet files carry
the descriptions, too."""


def columns_page() -> str:
    """The page, in Markdown."""
    parts = [INTRO]
    for table, columns in TABLES.items():
        rows = [f"| `{c.name}` | {code(str(c.type))} | {cell(c.about)} |" for c in columns]
        parts.append("\n".join([f"## {table}", "", "| column | Arrow type | what it is |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"
