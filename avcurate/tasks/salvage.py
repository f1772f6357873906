"""Shared option of tasks that read a file of records: read whatever can be read of a broken one."""

from __future__ import annotations

from typing import Annotated

from avcurate.recipe import Flag

Salvage = Annotated[bool, Flag("--salvage", sets=True)]
SALVAGE = "Read whatever can be read of a broken file; the rest become dead rows with byte ranges."
