"""Shared by tasks that ask an omni model about clips: options, inputs, sources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field, model_validator

from avcurate.engines.base import Engine, Sampling
from avcurate.engines.open import open_engine
from avcurate.errors import RowError
from avcurate.media.folder import MediaFolder
from avcurate.prompts import get_prompt
from avcurate.recipe import (
    Ablation,
    Argument,
    Flag,
    MediaPath,
    MediaSpec,
    ModelSpec,
    PromptField,
    Required,
    SamplingSpec,
    Strict,
    TaskRecipe,
)
from avcurate.runner.source import Source
from avcurate.runner.stage import Filtered, Kept, Outcome
from avcurate.scheduler.spec import AskSpec
from avcurate.schema import arrow_schema
from avcurate.sources.annotations import digest, read_annotations
from avcurate.sources.benchmark_folder import CLIP_LIST, QUESTIONS, opened
from avcurate.sources.format import Format
from avcurate.sources.formats import by_name, detect
from avcurate.sources.question import Question
from avcurate.sources.records import Record
from avcurate.tasks.salvage import SALVAGE, Salvage

# valid records that are not questions to ask
NOT_ASKED = frozenset({"not_a_question", "class_not_in_pool", "several_sounds"})
# a benchmark folder in place of annotations brings its own clips
MediaRoot = Annotated[MediaPath | None, Flag("--media"), Required(flag=False)]
Pattern = Annotated[str | None, Flag("--media-pattern")]
PATTERN = "How a name maps to a file, e.g. '{name}_video.mp4'."


class QuestionInput(Strict):
    """Questions on clips."""

    annotations: Annotated[Path | None, Argument(), Required()] = Field(
        None,
        description="Annotation file (.json, .jsonl, .csv, .tsv, .parquet), dataset or benchmark folder, "
        "or hf:owner/name@split.",
    )
    media: MediaRoot = Field(None, description="Folder of the clips; a benchmark folder brings its own.")
    format: Annotated[str, Flag("--format")] = Field(
        "auto",
        description="auto, table, clips (a list of clips, for prompts that ask for a description), avqa, music-avqa, "
        "valor32k-avqa, avhbench, daily-omni, mmau, mmar, mmsu, mmau-pro, jointavbench, omnivideobench, cmm, or a "
        "plug-in's.",
    )
    columns: Annotated[dict[str, str], Flag("--map", help="FIELD=COLUMN for any table; repeatable.")] = Field(
        default_factory=dict, description="Column of each field, for tables."
    )
    media_pattern: Pattern = Field(None, description=PATTERN)
    salvage: Salvage = Field(False, description=SALVAGE)

    @model_validator(mode="before")
    @classmethod
    def _benchmark(cls, data: Any) -> Any:
        return opened(data, "annotations", QUESTIONS)


class ClipInput(Strict):
    """A list of labelled clips."""

    clips: Annotated[Path | None, Argument(), Required()] = Field(
        None, description="Clip list: VGGSound, VGGSounder, a csv with clip and label, or a benchmark folder."
    )
    media: MediaRoot = Field(None, description="Folder of the clips; a benchmark folder brings its own.")
    media_pattern: Pattern = Field(None, description=PATTERN)

    @model_validator(mode="before")
    @classmethod
    def _benchmark(cls, data: Any) -> Any:
        return opened(data, "clips", CLIP_LIST)


class AskRecipe(TaskRecipe):
    """Options for asking a model."""

    prompt: Annotated[
        PromptField, Flag("--prompt", help="Prompt by name (`avcurate prompt ls`), or your own .yaml file.")
    ] = Field("cot@1", description="Prompt by name, or your own as fields or a .yaml file.")
    n: Annotated[int, Flag("--n")] = Field(8, ge=1, le=4096, description="Responses per setting.")
    seed: Annotated[int, Flag("--seed")] = Field(0, description="Run seed; every response's seed derives from it.")
    ablation: Annotated[
        Ablation,
        Flag(
            "--zero",
            help="Replace the other modality with silence or black frames instead of leaving it out.",
            sets="zero",
        ),
    ] = Field("drop", description="How a setting removes the other modality.")
    layout: Annotated[
        Literal["separate", "interleaved"],
        Flag("--interleaved", help="Send audio inside the video item, time-aligned.", sets="interleaved"),
    ] = Field("separate", description="Audio after the video, or inside it.")
    model: ModelSpec = ModelSpec()
    sampling: SamplingSpec = SamplingSpec()
    media: MediaSpec = MediaSpec()

    def spec(self) -> AskSpec:
        """These options as the scheduler takes them."""
        return AskSpec(
            prompt=get_prompt(self.prompt),
            n=self.n,
            seed=self.seed,
            sampling=Sampling(**self.sampling.model_dump()),
            ablation=self.ablation,
            interleaved=self.layout == "interleaved",
            media=self.media.decoding(),
            over_limit=self.media.over_limit,
        )

    def open(self, engine: Engine | None = None) -> Engine:
        """The engine that answers: the caller's, if given, else the recipe's."""
        return engine or open_engine(self.model, self.layout == "interleaved")


class QuestionSource(Source):
    """Questions of an annotation file, or of any other source of records that a format reads.

    Args:
        path: the file or dataset; its content is part of the identity.
        media: folder of its clips.
        format_name: ``auto`` or a format's name.
        columns: column of each field, for tables.
        salvage: read whatever can be read of a broken file.
        records: reads the records; by default chosen by the file's extension.
        form: reads a record; by default chosen by name or by the first record's fields.
        depends: anything else the questions depend on.
    """

    name, table, key = "ingest", "questions", "question_id"

    def __init__(
        self,
        path: Path,
        media: MediaFolder,
        format_name: str = "auto",
        columns: dict[str, str] | None = None,
        *,
        salvage: bool = False,
        records: Callable[[], Iterator[Record]] | None = None,
        form: Format | None = None,
        depends: dict[str, Any] | None = None,
    ) -> None:
        self.rows: pa.Schema = arrow_schema("questions")
        self.path, self.media, self.columns = path, media, columns or {}
        self.format_name = "table" if columns and format_name == "auto" else format_name
        self._records = records or (lambda: read_annotations(path, salvage=salvage))
        self._form = form
        self._depends = depends or {}

    def identity(self) -> dict[str, Any]:
        """Content of the file, format, columns, and how names map to files."""
        return {
            "annotations": digest(self.path),
            "format": self.format_name,
            "columns": self.columns,
            **self.media.identity(),
            **self._depends,
        }

    def records(self) -> Iterator[Record]:
        """The file's records."""
        return self._records()

    def read(self, record: Record) -> Outcome:
        """The record's question, on an existing clip."""
        assert record.value is not None
        if self._form is None:
            self._form = detect(record.value) if self.format_name == "auto" else by_name(self.format_name, self.columns)
        try:
            question = self._form.read(record.value)
        except RowError as e:
            if e.reason in NOT_ASKED:
                return Filtered(e.reason, e.message)
            raise
        return Kept(question.row(record.row, self.media.find(question.media_name)))


def _described(raw: dict[str, Any]) -> Question:
    clip = str(raw["clip_id"])
    return Question("clips", clip, str(raw["media"]), "", (), ", ".join(raw["labels"]), None)


DESCRIBED = Format("clips", "a list of clips", frozenset({"clip_id", "labels"}), _described)
"""Clips about which nothing is asked: the prompt alone says what to do."""


def question_source(inputs: QuestionInput, media: MediaFolder | None = None) -> QuestionSource:
    """The questions of a recipe's input; with format ``clips``, a list of clips to be described."""
    assert inputs.annotations is not None and inputs.media is not None
    folder = media or MediaFolder(inputs.media, inputs.media_pattern)
    if inputs.format == DESCRIBED.name:
        listed = ClipInput(clips=inputs.annotations, media=inputs.media, media_pattern=inputs.media_pattern)
        return clip_source(listed, DESCRIBED, {}, folder)
    return QuestionSource(inputs.annotations, folder, inputs.format, inputs.columns, salvage=inputs.salvage)


def clip_source(
    inputs: ClipInput, form: Format, depends: dict[str, Any], media: MediaFolder | None = None
) -> QuestionSource:
    """Clips of a list, each as a question; ``media`` replaces the folder of the originals."""
    from avcurate.sources.pool import clip_records

    assert inputs.clips is not None and inputs.media is not None
    path = inputs.clips
    return QuestionSource(
        path,
        media or MediaFolder(inputs.media, inputs.media_pattern),
        "clips",
        records=lambda: clip_records(path),
        form=form,
        depends=depends,
    )
