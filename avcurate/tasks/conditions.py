"""What questions are asked under, and on which clips: shared by evaluation and probes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avcurate.errors import UserError
from avcurate.media.swapped import SwappedFolder, Variant
from avcurate.prompts import OwnPrompt, get_prompt
from avcurate.runner.rundir import RunDir
from avcurate.runner.verify import refuse_damaged_files
from avcurate.scheduler.spec import CONDITIONS, Condition


def conditions_of(names: Sequence[str], prompt: str | OwnPrompt) -> list[Condition]:
    """Conditions by name, in their own order.

    Raises:
        UserError: there is no such condition, or the prompt's responses name no PEM that could be forced.
    """
    unknown = [c for c in names if c not in CONDITIONS]
    if unknown or not names:
        raise UserError(
            f"there is no condition {unknown[0] if unknown else ''!r}.", f"Conditions are: {', '.join(CONDITIONS)}."
        )
    chosen = [CONDITIONS[c] for c in CONDITIONS if c in names]
    if any(c.pem for c in chosen) and not get_prompt(prompt).fuses:
        raise UserError(
            f"a PEM can be forced only in separate-then-fuse responses, not with prompt {get_prompt(prompt).name!r}.",
            "Add --prompt separate-then-fuse.",
        )
    return chosen


def swapped_folder(swapped: Path, variant: Variant, originals: Path, pattern: str | None) -> SwappedFolder:
    """The clips of a ``swap`` run in place of the originals.

    Raises:
        UserError: it is not a finished run, or its files were changed.
    """
    run = RunDir(swapped)
    run.require("swap", made_by="swap")
    files = {
        r["clip"]: r[variant]
        for t in run.parts("swap").rows(columns=["clip", variant])
        for r in t.to_pylist()
        if r[variant]
    }
    refuse_damaged_files(run, "swap")
    return SwappedFolder(originals, swapped, files, variant, pattern)
