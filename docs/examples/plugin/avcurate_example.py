"""One of each thing that a package can add: dataset format, engine, model family, task, reward, algorithm.

``pip install ./docs/examples/plugin``, then ``avcurate plugins`` lists them, and recipes and commands can name them.
No file of avcurate is touched; the entry points are in ``pyproject.toml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa
from pydantic import Field

from avcurate.engines.base import Engine, Failure, Perception, Reply, Request, Response, Source
from avcurate.errors import RowError
from avcurate.families.qwen2_5_omni import Qwen25Omni
from avcurate.recipe import Argument, Flag, ModelSpec, Required, Strict, TaskRecipe
from avcurate.runner.isolate import Isolation, guarded
from avcurate.runner.job import Job
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Kept, Outcome, Row, WorkLog
from avcurate.schema import Column, columns_schema
from avcurate.sources.format import Format
from avcurate.sources.question import Question, choice, choice_list, text
from avcurate.tasks.base import Context, Task
from avcurate.tasks.records import RecordSource, RecordStage
from avcurate.train.algorithm import Algorithm, Completions
from avcurate.train.reward import Reward

if TYPE_CHECKING:
    from torch import Tensor


# A dataset format: which fields identify it, and how a record becomes a question.
def read_pub_quiz(raw: dict[str, Any]) -> Question:
    """``{"clip", "ask", "options", "solution"}``, the solution as an index."""
    choices = choice_list(raw.get("options"))
    answer, index = choice(choices, raw.get("solution"))
    name = text(raw, "clip")
    return Question("pub-quiz", name, name, text(raw, "ask"), choices, answer, index)


PUB_QUIZ = Format("pub-quiz", "the quiz of our pub", frozenset({"clip", "ask", "options", "solution"}), read_pub_quiz)


# An engine: requests in, replies out.
class FirstChoice(Engine):
    """Answers with the first option of every question: a baseline that needs no model."""

    name = "first-choice"
    perceives = False

    def identity(self) -> dict[str, Any]:
        """There is only one."""
        return {"engine": self.name, "version": 1}

    def setup(self) -> None:
        """Nothing to load."""

    def generate(self, source: Source) -> Iterator[Reply | Failure]:
        """The text after ``A. `` in every prompt."""
        while (request := source.take(wait=True)) is not None:
            first = next((x[3:] for x in request.prompt.splitlines() if x.startswith("A. ")), "")
            response = f"<think>The first one.</think><answer>{first}</answer>"
            yield Reply(
                request.key,
                tuple(Response(request.seed + i, response, "stop", 8) for i in range(request.n)),
                -1,
                -1,
                -1,
            )

    def perceive(self, request: Request) -> Perception:
        """It perceives nothing."""
        return Perception(-1, -1, -1)


def first_choice(spec: ModelSpec, interleaved: bool) -> Engine:
    """The engine that a recipe with ``model.engine: first-choice`` gets."""
    return FirstChoice()


# A model family, by the model_type of its config.json; this one is a Qwen2.5-Omni by another name.
class ExampleOmni(Qwen25Omni):
    """Counts tokens as Qwen2.5-Omni does."""

    name = "example_omni"
    about = "a Qwen2.5-Omni by another name"


# A task: its options, its stage, its summary. Lock, resume, dead letters, status, report and verify come with it.
class LengthsInput(Strict):
    """Captions."""

    captions: Annotated[Path | None, Argument(), Required()] = Field(None, description="Table with clip and caption.")


class LengthsRecipe(TaskRecipe):
    """A lengths run."""

    kind: Literal["lengths"] = "lengths"
    input: LengthsInput = LengthsInput()
    least: Annotated[int, Flag("--least")] = Field(1, ge=0, description="Shorter captions are dead rows, words.")


class LengthsStage(RecordStage):
    """Adds the number of words."""

    name = "lengths"
    version = 1
    adds = columns_schema(
        "lengths", (Column("clip", pa.string(), "The clip."), Column("words", pa.int64(), "Words of its caption."))
    )

    def __init__(self, least: int) -> None:
        super().__init__({}, ("clip", "caption"))
        self.least = least

    def identity(self) -> dict[str, Any]:
        """What the outcome depends on besides the rows."""
        return {"least": self.least}

    def process(self, rows: Iterator[Row], log: WorkLog) -> Iterator[tuple[str, Outcome]]:
        """One outcome per row; an error stays with its row."""
        isolation = Isolation()
        for row in rows:
            yield self.row_id(row), guarded(isolation, lambda row=row: self._count(self.raw(row)))

    def _count(self, record: dict[str, Any]) -> Outcome:
        words = len(str(record["caption"]).split())
        if words < self.least:
            raise RowError("too_short", f"{words} words, at least {self.least} are required.")
        return Kept({"clip": str(record["clip"]), "words": words})


class Lengths(Task[LengthsRecipe]):
    """Count the words of captions.

    Example: avcurate lengths captions.jsonl --least 3 -o runs/lengths
    """

    name = "lengths"
    recipe = LengthsRecipe

    def plan(self, recipe: LengthsRecipe, context: Context) -> Job:
        """Records, counted."""
        assert recipe.input.captions is not None
        return Job(RecordSource(recipe.input.captions), (LengthsStage(recipe.least),))

    def summarise(self, run: RunDir) -> dict[str, Any]:
        """The mean."""
        words = [n for t in run.parts("lengths").rows(columns=["words"]) for n in t.column(0).to_pylist()]
        return {"run": str(run.root), "mean_words": sum(words) / max(1, len(words))}


# A reward, which recipes weight by name: ``rewards: {accuracy: 1.0, brevity: 0.1}``.
class Brevity(Reward):
    """1 for a response of at most ``options.brevity_words`` words, proportionally less for a longer one."""

    about = "few words"

    def __call__(self, rows: Sequence[Row], texts: Sequence[str]) -> list[float | None]:
        """One value per text."""
        maximum = int(self.recipe.options.get("brevity_words", 100))
        return [min(1.0, maximum / max(1, len(text.split()))) for text in texts]


# A training algorithm: advantages and a loss; rollouts, rewards, the KL term, checkpoints and resume come with it.
class Reinforce(Algorithm):
    """REINFORCE with the mean of a question's other completions as baseline (RLOO, arXiv 2402.14740)."""

    about = "REINFORCE, leave-one-out baseline"

    def advantages(self, rewards: Tensor) -> Tensor:
        """r minus the mean reward of the others in its group."""
        grouped = rewards.view(-1, self.recipe.group)
        others = (grouped.sum(1, keepdim=True) - grouped) / (self.recipe.group - 1)
        return (grouped - others).flatten()

    def loss(self, batch: Completions) -> Tensor:
        """-A log π of whole completions, plus the KL term."""
        whole = (batch.logp * batch.mask).sum(1)
        return -(batch.advantages.detach() * whole).mean() + self.recipe.beta * batch.kl
