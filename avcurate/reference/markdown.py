"""Text in Markdown."""

from __future__ import annotations


def cell(text: str) -> str:
    """Text as one cell of a table: on one line, and with nothing in it that ends the cell or begins a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Text as code in a cell of a table."""
    return "`" + " ".join(text.split()).replace("|", "\\|").replace("`", "'") + "`"
