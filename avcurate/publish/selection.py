"""Which rows are exported, in which split, and how much each counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from avcurate.errors import UserError
from avcurate.runner.rundir import RunDir
from avcurate.schema import QUESTION
from avcurate.seeds import derive_seed

SHARD_ROWS = 4096
SPLITS = ("train", "validation")
BALANCED = ("pem", "source", "question_type")
WEIGHT = "weight"


def split_of(video_id: str, validation: float, seed: int) -> str:
    """``train`` or ``validation``: decided by the source video alone, so that none is on both sides."""
    return "validation" if derive_seed("split", seed, video_id) / 2**31 < validation else "train"


@dataclass(frozen=True)
class Selection:
    """What is exported of a run.

    Attributes:
        validation: share of source videos in the validation split; seed: of the split, and of what ``at_most`` keeps.
        min_confidence: least confidence of a label.
        drop_blind: leave out what a blind condition solved.
        dropped: ids of questions to leave out, e.g. those that people rejected.
        unlabelled: every question of an ``eval`` or ``ingest`` run, without a PEM.
        only: values that a column may have, by column.
        difficulty: least and greatest share of right answers under both modalities.
        balance: a column (``pem``, ``source``, ``question_type``) whose groups count alike: each row has a weight.
        at_most: rows of each group of ``balance`` (else of ``pem``) in a split; 0: all.
    """

    validation: float = 0.05
    min_confidence: float = 0.0
    seed: int = 0
    drop_blind: bool = False
    unlabelled: bool = False
    dropped: frozenset[str] = frozenset()
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    difficulty: tuple[float, float] | None = None
    balance: str | None = None
    at_most: int = 0

    @property
    def groups(self) -> str:
        """The column whose groups are balanced or capped."""
        return self.balance or ("source" if self.unlabelled else "pem")

    def of(self, table: pa.Table) -> pa.Array:
        """Whether each row of a table is wanted, in either split.

        Raises:
            UserError: blind answers are to be left out, and none were asked; or a column does not exist.
        """
        keep = pa.array(np.ones(table.num_rows, bool))
        if not self.unlabelled:
            sure = pc.fill_null(pc.greater_equal(table["confidence"], self.min_confidence), False)
            keep = pc.and_(pc.is_valid(table["pem"]), sure).combine_chunks()
        if self.dropped:
            rejected = pc.is_in(table["question_id"], pa.array(sorted(self.dropped), pa.string()))
            keep = pc.and_(keep, pc.invert(rejected))
        for name, values in self.only.items():
            if name not in table.column_names:
                raise UserError(f"the run has no column {name!r}.", f"It has: {', '.join(table.column_names)}.")
            keep = pc.and_(keep, pc.is_in(table[name].cast(pa.string()), pa.array(values, pa.string())))
        if self.difficulty is not None:
            if "av_k" not in table.column_names:
                raise UserError("the run was not labelled: no difficulty is known.", "Leave --difficulty out.")
            right = pc.divide(table["av_k"].cast(pa.float64()), table["av_asked"].cast(pa.float64()))
            low, high = self.difficulty
            inside = pc.and_(pc.greater_equal(right, low), pc.less_equal(right, high))
            keep = pc.and_(keep, pc.fill_null(inside, False))
        if self.drop_blind:
            if "solved_blind" not in table.column_names:
                raise UserError(
                    "the run asked no question without its clip.", "Label with --blind, or export all rows."
                )
            keep = pc.and_(keep, pc.invert(pc.fill_null(table["solved_blind"], False)))
        return keep


@dataclass(frozen=True)
class Chosen:
    """Rows of a run that are exported.

    Attributes:
        ids: questions of each split that are exported; ``None``: all that are wanted.
        weights: of each group of each split, so that its groups count alike and the mean is 1.
        counts: rows of each group of each split.
    """

    selection: Selection
    ids: dict[str, frozenset[str]] | None
    weights: dict[str, dict[str, float]]
    counts: dict[str, dict[str, int]]

    def rows(self, run: RunDir, split: str) -> Iterator[pa.Table]:
        """Tables of about ``SHARD_ROWS`` rows of one split, with a weight where groups are balanced."""
        pending: list[pa.Table] = []
        count = 0
        for table in _tables(run, self.selection.unlabelled):
            wanted = pc.and_(self.selection.of(table), _in_split(table, split, self.selection))
            if self.ids is not None:
                wanted = pc.and_(wanted, pc.is_in(table["question_id"], pa.array(sorted(self.ids[split]), pa.string())))
            chosen = table.filter(wanted)
            if chosen.num_rows:
                pending.append(self._weighed(chosen, split))
                count += chosen.num_rows
            if count >= SHARD_ROWS:
                yield pa.concat_tables(pending)
                pending, count = [], 0
        if pending:
            yield pa.concat_tables(pending)

    def _weighed(self, table: pa.Table, split: str) -> pa.Table:
        if self.selection.balance is None:
            return table
        weights = [self.weights[split][_group(g)] for g in table[self.selection.balance].to_pylist()]
        about = {"about": f"Weight with which every {self.selection.balance} counts alike; 1 on average."}
        return table.append_column(pa.field(WEIGHT, pa.float64(), metadata=about), pa.array(weights, pa.float64()))


def choose(run: RunDir, selection: Selection) -> Chosen:
    """Decide which rows are exported, and their weights; reads narrow columns only.

    Raises:
        UserError: an option names what the run does not have.
    """
    if selection.balance is not None and selection.balance not in BALANCED:
        raise UserError(f"rows cannot be balanced by {selection.balance!r}.", f"Choose one of: {', '.join(BALANCED)}.")
    members: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    for table in _tables(run, selection.unlabelled):
        keep = selection.of(table).to_pylist()
        columns = (table[c].to_pylist() for c in ("question_id", "video_id", selection.groups))
        for wanted, question, video, group in zip(keep, *columns, strict=True):
            if wanted:
                split = split_of(video, selection.validation, selection.seed)
                members[split].setdefault(_group(group), []).append(question)
    if selection.at_most:
        for groups in members.values():
            for name, questions in groups.items():
                ranked = sorted(questions, key=lambda q: derive_seed("at-most", selection.seed, q))
                groups[name] = ranked[: selection.at_most]
    counts = {split: dict(Counter({n: len(q) for n, q in groups.items()})) for split, groups in members.items()}
    weights = {
        split: {n: sum(sizes.values()) / (len(sizes) * size) for n, size in sizes.items()}
        for split, sizes in counts.items()
    }
    ids = {s: frozenset(q for questions in groups.values() for q in questions) for s, groups in members.items()}
    return Chosen(selection, ids if selection.at_most else None, weights, counts)


def _group(value: object) -> str:
    return "none" if value is None else str(value)


def _in_split(table: pa.Table, split: str, selection: Selection) -> pa.Array:
    videos = table["video_id"].to_pylist()
    return pa.array([split_of(v, selection.validation, selection.seed) == split for v in videos], pa.bool_())


def _tables(run: RunDir, unlabelled: bool) -> Iterator[pa.Table]:
    """All rows of a labelled run; of another one, its questions with a PEM of none."""
    if not unlabelled:
        yield from run.parts("label").rows()
        return
    asked = run.parts("eval").commits()
    columns = [c.name for c in QUESTION] + (["media_sha256"] if asked else [])
    for table in run.parts("eval" if asked else "questions").rows(columns=columns):
        yield table.append_column(pa.field("pem", pa.string()), pa.nulls(table.num_rows, pa.string()))
