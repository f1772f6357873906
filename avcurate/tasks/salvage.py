"""The option of every task that reads a file of records: take what can be read of a broken one."""

from __future__ import annotations

from typing import Annotated

from avcurate.recipe import Flag

Salvage = Annotated[bool, Flag("--salvage", sets=True)]
SALVAGE = "Read what can be read of a broken file; the rest are dead rows with their byte ranges."
