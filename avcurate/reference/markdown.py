"""Markdown escaping."""

from __future__ import annotations


def cell(text: str) -> str:
    """Text as one table cell: on one line, with nothing that ends the cell or opens a tag."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Text as code in a table cell."""
    return "`" + " ".join(text.split()).replace("|", "\\|").replace("`", "'") + "`"
