"""Which sound may go with which picture: how alike captions are, and why a donor is refused.

Works on vectors, lengths and levels of numbered clips, not on files. See-and-hear (arXiv 2604.02605) swaps sounds whose
captions are dissimilar; it names neither model nor threshold, so the recipe sets both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avcurate.metrics.answers import fold

Indices = NDArray[np.int64]
Matrix = NDArray[np.float32]

# in the order they are checked: a pair gets the first that holds
REASONS = (
    "",
    "no_picture",
    "no_sound",
    "same_source",
    "same_sound",
    "near_audio_caption",
    "near_video_caption",
    "answer_kept",
    "too_short",
    "too_quiet",
    "level_too_far",
)
_WORD = re.compile(r"\w+")
CHUNK = 256


@dataclass(frozen=True)
class Limits:
    """Limits that a pair must keep; see ``recipe.PairRecipe`` for each."""

    threshold: float
    longest_loop: float
    least_level: float
    most_gain: float


@dataclass(frozen=True)
class Captions:
    """Unit vectors of the captions of N clips: float32 (C, D), those of clip i at ``starts[i]:starts[i + 1]``."""

    vectors: Matrix
    starts: Indices

    def of(self, clips: Indices) -> tuple[Indices, Indices, NDArray[np.bool_]]:
        """Rows of these clips' captions, where each clip's begin among them, and which clips have any."""
        counts = self.starts[clips + 1] - self.starts[clips]
        some = counts > 0
        rows = [np.arange(a, b) for a, b in zip(self.starts[clips[some]], self.starts[clips[some] + 1], strict=True)]
        begins = np.concatenate([[0], np.cumsum(counts[some])[:-1]]) if some.any() else np.zeros(0)
        return np.concatenate(rows) if rows else np.zeros(0, np.int64), begins.astype(np.int64), some


@dataclass(frozen=True)
class Catalogue:
    """N clips as targets and donors.

    Attributes:
        audio: captions of their sounds; video: of their pictures.
        source: int64 (N,), equal for clips of one source video.
        sound: int64 (N,), equal for clips whose sound is (nearly) the same.
        picture_seconds: float64 (N,), 0 without a picture; sound_seconds likewise; NaN where unknown.
        level: float64 (N,), dB of full scale; NaN where unknown.
        answers: what a donor's captions must not say, as folded words between spaces.
        said: what a clip's audio captions say, likewise.
    """

    audio: Captions
    video: Captions
    source: Indices
    sound: Indices
    picture_seconds: NDArray[np.float64]
    sound_seconds: NDArray[np.float64]
    level: NDArray[np.float64]
    answers: tuple[tuple[str, ...], ...]
    said: tuple[str, ...]


def words_of(text: str) -> str:
    """Words of a text between spaces, number words as digits: the form in which answers are searched."""
    return f" {' '.join(fold(w) or w for w in _WORD.findall(text.casefold()))} "


def similarity(ours: Captions, targets: Indices, theirs: Captions, donors: Indices) -> Matrix:
    """Greatest cosine of any caption of a target with any of a donor.

    Returns:
        float32 (n, m) in [-1, 1]; NaN where either has no caption.
    """
    similarities = np.full((len(targets), len(donors)), np.nan, np.float32)
    columns, column_begins, has_column = theirs.of(donors)
    if not len(columns):
        return similarities
    right = theirs.vectors[columns].T
    if len(columns) == len(donors) and len(rows := ours.of(targets)[0]) == len(targets):
        single = bool((np.diff(theirs.starts)[donors] == 1).all() and (np.diff(ours.starts)[targets] == 1).all())
        if single:
            return np.asarray(ours.vectors[rows] @ right, np.float32)
    for at in range(0, len(targets), CHUNK):
        rows, row_begins, has_row = ours.of(targets[at : at + CHUNK])
        if len(rows):
            cosines = np.maximum.reduceat(ours.vectors[rows] @ right, column_begins, axis=1)
            part = similarities[at : at + CHUNK]
            part[np.ix_(has_row, has_column)] = np.maximum.reduceat(cosines, row_begins, axis=0)
    return similarities


def compare(
    clips: Catalogue, targets: Indices, donors: Indices, limits: Limits
) -> tuple[Matrix, Matrix, NDArray[np.uint8]]:
    """Similarities to the targets' audio and video captions, and why each donor is refused.

    Returns:
        two float32 (n, m) as :func:`similarity`, and uint8 (n, m) into ``REASONS``, 0 where the donor is allowed.
    """
    audio = similarity(clips.audio, targets, clips.audio, donors)
    video = similarity(clips.video, targets, clips.audio, donors)
    reason = np.zeros(audio.shape, np.uint8)
    # the first reason is written last, over the others
    for name, holds in reversed(list(_checks(clips, targets, donors, audio, video, limits))):
        reason[holds] = REASONS.index(name)
    return audio, video, reason


def _checks(
    clips: Catalogue, targets: Indices, donors: Indices, audio: Matrix, video: Matrix, limits: Limits
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The reasons of ``REASONS`` in order, each with the pairs it holds for; unknown values are not checked."""
    t, d, shape = targets[:, None], donors[None, :], audio.shape
    silent = (clips.sound_seconds[donors] == 0) | (np.diff(clips.audio.starts)[donors] == 0)
    with np.errstate(invalid="ignore"):
        if (without_picture := clips.picture_seconds[targets] == 0).any():
            yield "no_picture", np.broadcast_to(without_picture[:, None], shape)
        if silent.any():
            yield "no_sound", np.broadcast_to(silent, shape)
        yield "same_source", clips.source[t] == clips.source[d]
        yield "same_sound", clips.sound[t] == clips.sound[d]
        yield "near_audio_caption", audio >= limits.threshold
        if len(clips.video.vectors):
            yield "near_video_caption", video >= limits.threshold
        if any(clips.answers[i] for i in targets.tolist()):
            yield "answer_kept", _kept(clips, targets, donors)
        if not np.isnan(clips.sound_seconds[donors]).all():
            yield "too_short", clips.sound_seconds[d] * limits.longest_loop < clips.picture_seconds[t]
        if not np.isnan(clips.level[donors]).all():
            yield "too_quiet", np.broadcast_to(clips.level[donors] < limits.least_level, shape)
            yield "level_too_far", np.abs(clips.level[t] - clips.level[d]) > limits.most_gain


def cost(audio: Matrix, video: Matrix, reason: NDArray[np.uint8]) -> NDArray[np.float64]:
    """1 plus the greater similarity: how much of the clip the donor still says; inf where it is refused."""
    nearest = np.fmax(audio, video)
    nearest[np.isnan(nearest)] = 0.0
    costs = np.maximum(nearest + 1.0, 0.0).astype(np.float64)
    costs[reason != 0] = np.inf
    return costs


def _kept(clips: Catalogue, targets: Indices, donors: Indices) -> NDArray[np.bool_]:
    """Donors whose captions contain an answer of the target."""
    kept = np.zeros((len(targets), len(donors)), np.bool_)
    answers = {a for t in targets.tolist() for a in clips.answers[t]}
    said = [clips.said[d] for d in donors.tolist()]
    contains = {a: np.array([a in text for text in said]) for a in sorted(answers)}
    for i, t in enumerate(targets.tolist()):
        for answer in clips.answers[t]:
            kept[i] |= contains[answer]
    return kept
