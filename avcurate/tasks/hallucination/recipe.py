"""Options of ``hallucination``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from avcurate.recipe import Argument, Flag, MediaPath, ModelSpec, Required, Strict, TaskRecipe
from avcurate.tasks.salvage import SALVAGE, Salvage

FIELDS = ("clip", "caption", "objects", "references", "flag")


class HallucinationInput(Strict):
    """Captions, and the true objects."""

    captions: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="Table (.jsonl, .json, .csv, .parquet) with clip and caption."
    )
    truth: Annotated[Path | None, Flag("--truth")] = Field(
        None,
        description="Table with clip, and objects or references, or AVHBench's file, for its captions; by default the "
        "captions table.",
    )
    media: Annotated[MediaPath | None, Flag("--media")] = Field(
        None, description="Folder of the clips, to show them on the page; nothing is measured on them."
    )
    columns: Annotated[
        dict[str, str],
        Flag("--map", help="FIELD=COLUMN for clip, caption, objects, references, flag; repeatable."),
    ] = Field(default_factory=dict, description="Column of each field.")
    salvage: Salvage = Field(False, description=SALVAGE)


class Extractor(ModelSpec):
    """A language model that lists the objects of a caption."""

    model: Annotated[
        str,
        Flag("--extractor", help="Language model that lists objects for ALOHa; by default the vocabulary finds them."),
    ] = Field("", description="A language model by name or folder; empty: words of the vocabulary.")


class HallucinationRecipe(TaskRecipe):
    """A hallucination run."""

    kind: Literal["hallucination"] = "hallucination"
    input: HallucinationInput = HallucinationInput()
    aloha: Annotated[bool, Flag("--aloha", sets=True)] = Field(
        False, description="Also match objects by meaning (ALOHa)."
    )
    as_released: Annotated[bool, Flag("--aloha-as-released", sets=True)] = Field(
        False, description="As ALOHa's released code: surplus objects cost nothing, a caption without objects scores 0."
    )
    captioning: Annotated[bool, Flag("--captioning", sets=True)] = Field(
        False, description="Also METEOR, CIDEr, ROUGE-L and BLEU-4 against the references (pycocoevalcap, Java)."
    )
    embedder: Annotated[str, Flag("--embedder")] = Field(
        "embedded", description="For ALOHa: `embedded`, a model name, or http://host/v1#model."
    )
    extractor: Extractor = Extractor()

    @property
    def with_aloha(self) -> bool:
        """Whether objects are matched by meaning."""
        return self.aloha or self.as_released or bool(self.extractor.model)
