"""``probe masking``: whether the sound that attention looks at is the sound that answers need (MAPO's ACS, §4.4).

What is silenced is a stretch of the sound, as in the paper, or that stretch's tokens, which no other token then
reads. The two differ where an audio tower hears the whole clip at once: a token then holds more than its own stretch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.attention.cut import Unread
from avcurate.attention.kinds import Kind
from avcurate.attention.locate import members
from avcurate.attention.plan import Plan
from avcurate.attention.read import Columns
from avcurate.engines.base import Engine, Failure, ListSource, Request
from avcurate.engines.canary import check_hearing
from avcurate.errors import RowError, UserError
from avcurate.media.decode import SAMPLE_RATE, DecodedClip
from avcurate.metrics.answers import is_correct
from avcurate.metrics.evaluation import read_answer
from avcurate.runner.stage import Row
from avcurate.seeds import derive_seed
from avcurate.tasks.probe.reading import Answered, Reading
from avcurate.tasks.probe.stage import ProbeStage


@dataclass(frozen=True)
class Choice:
    """Which blocks of sound are silenced: the ``top`` or ``low`` of a ranking, or ``random`` ones."""

    way: str
    share: float
    draw: int
    blocks: tuple[int, ...]


class MaskingStage(ProbeStage):
    """Silences a share of the sound: what attention ranks first, what it ranks last, and random spans of equal length.

    Args:
        silence: ``sound`` sets samples to zero; ``tokens`` leaves the sound and hides the tokens of those blocks.
        answering: answers once sound is silenced; the model that is read, if ``None``.
    """

    probe = "masking"

    def __init__(
        self,
        *arguments: Any,
        shares: Sequence[float],
        draws: int,
        block: float,
        last: int,
        silence: str = "sound",
        answering: Engine | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        silent = [name for name, c in self.conditions.items() if c.setting is None or not c.setting.audio]
        if silent:
            raise UserError(
                f"there is no sound to silence under {silent[0]}.", "Name conditions with sound: --conditions a,av."
            )
        if silence == "tokens" and answering is not None:
            raise UserError(
                "tokens can only be hidden in the model that is read.", "Leave --answering out, or silence sound."
            )
        self.shares, self.draws, self.block, self.last = tuple(shares), draws, block, last
        self.silence = silence
        self.answering = answering or self.engine

    def depends(self) -> dict[str, Any]:
        """How sound is ranked, and who answers."""
        chosen = {"shares": list(self.shares), "draws": self.draws, "block": self.block, "last": self.last}
        chosen |= {"silence": self.silence} if self.silence != "sound" else {}
        return chosen if self.answering is self.engine else chosen | {"answering": self.answering.identity()}

    def setup(self) -> None:
        """Load both; each must hear."""
        super().setup()
        if self.answering is not self.engine:
            self.answering.setup()
            check_hearing(self.answering, self.spec.interleaved)

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]]:
        """An entry for the whole sound, and one for each choice."""
        entries = []
        for whole in self.answers(row, clip):
            assert whole.request.audio is not None
            weights = self._attention(self.reading(whole))
            scores = block_scores(weights, len(whole.request.audio), self.block)
            places = block_places(len(weights), len(whole.request.audio), self.block)
            seed = derive_seed(self.spec.seed, "masking", self.row_id(row))
            choices = [Choice("whole", 0.0, 0, ()), *choices_of(scores, self.shares, self.draws, seed)]
            hiding = self.silence == "tokens"
            texts = self._hidden(whole, choices, places) if hiding else self._silenced(whole, choices)
            for choice, text in zip(choices, texts, strict=True):
                answer = read_answer(self.spec.prompt.read(text), row["choices"])
                correct = is_correct(answer, row["answer"])
                seconds = sum(b - a for a, b in self._spans(choice, len(whole.request.audio))) / SAMPLE_RATE
                said = {"condition": whole.condition, "text": text, "answer": answer, "correct": correct}
                entries.append(
                    said | {"way": choice.way, "share": choice.share, "draw": choice.draw, "seconds": seconds}
                )
        return entries

    def _attention(self, reading: Reading) -> NDArray[np.float64]:
        """Attention of the response to each audio token, mean over heads, tokens and the last layers: (A,)."""
        written = (Kind.START, Kind.GENERATED, Kind.VISUAL_TRACE, Kind.AUDIO_TRACE, Kind.FUSION)
        layers = range(max(0, self.omni.decoder_layers - self.last), self.omni.decoder_layers)
        kinds = reading.kinds.clone()
        # the last token predicts nothing
        kinds[:, -1] = int(Kind.PAD)
        reader = Columns(kinds, written, frozenset(layers))
        reading.logits(Plan(readers=[reader]))
        total = sum(reader.sums[i][0].sum(0) for i in layers)
        audio = members(reading.kinds[0], (Kind.AUDIO,))
        weights: NDArray[np.float64] = total[audio].double().cpu().numpy()  # type: ignore[index]
        return weights / (len(layers) * len(reading.tokens))

    def _spans(self, choice: Choice, samples: int) -> Iterator[tuple[int, int]]:
        size = int(self.block * SAMPLE_RATE)
        for i in choice.blocks:
            yield i * size, min((i + 1) * size, samples)

    def _hidden(self, whole: Answered, choices: list[Choice], places: NDArray[np.int64]) -> list[str]:
        """Responses under which the tokens of the chosen blocks are not read."""
        texts = []
        for choice in choices:
            numbers = frozenset(np.flatnonzero(np.isin(places, choice.blocks)).tolist())
            (ids,) = self.model.sample([whole.request], (Unread("audio", numbers),) if numbers else ()).written
            texts.append(whole.request.prefix + self.model.decode(ids))
        return texts

    def _silenced(self, whole: Answered, choices: list[Choice]) -> list[str]:
        """Responses to the sound without the chosen blocks."""
        return self._texts([self._without(whole, choice, str(i)) for i, choice in enumerate(choices)])

    def _without(self, whole: Answered, choice: Choice, name: str) -> Request:
        assert whole.request.audio is not None
        audio = whole.request.audio.copy()
        for a, b in self._spans(choice, len(audio)):
            audio[a:b] = 0.0
        media = f"{whole.request.media_id}/{choice.way}-{choice.share:g}-{choice.draw}-{self.block:g}-{self.last}"
        return replace(whole.request, key=f"{whole.request.key}/{name}", audio=audio, media_id=media)

    def _texts(self, requests: list[Request]) -> list[str]:
        texts: dict[str, str] = {}
        prefixes = {r.key: r.prefix for r in requests}
        for reply in self.answering.generate(ListSource(requests)):
            if isinstance(reply, Failure):
                raise RowError(reply.reason, reply.message, reply.hint)
            texts[reply.key] = prefixes[reply.key] + reply.responses[0].text
        return [texts[r.key] for r in requests]

    def close(self) -> None:
        """Free both."""
        super().close()
        if self.answering is not self.engine:
            self.answering.close()


def block_places(tokens: int, samples: int, block: float) -> NDArray[np.int64]:
    """The block of each audio token: tokens divide the sound evenly, and belong to the block of their middle.

    Args:
        tokens: how many there are; samples: length of the sound at 16 kHz; block: seconds.

    Returns:
        int64 (tokens,)
    """
    size = int(block * SAMPLE_RATE)
    middles = (np.arange(tokens) + 0.5) * samples / max(1, tokens)
    return np.minimum(middles // size, max(1, -(-samples // size)) - 1).astype(np.int64)


def block_scores(weights: NDArray[np.float64], samples: int, block: float) -> NDArray[np.float64]:
    """Attention to each block of sound; see :func:`block_places`.

    Args:
        weights: float64 (A,), attention to each audio token.
        samples: length of the sound at 16 kHz.
        block: seconds.
    """
    count = max(1, -(-samples // int(block * SAMPLE_RATE)))
    places = block_places(len(weights), samples, block)
    return np.bincount(places, weights, minlength=count).astype(np.float64)


def choices_of(scores: NDArray[np.float64], shares: Sequence[float], draws: int, seed: int) -> list[Choice]:
    """Blocks to silence: ``round(share * blocks)`` of them, at least one, by rank and at random.

    The last block, which may be shorter, is ranked like the others.
    """
    order = np.argsort(-scores, kind="stable").tolist()
    rng = random.Random(seed)
    choices = []
    for share in shares:
        count = min(len(order), max(1, round(share * len(order))))
        choices.append(Choice("top", share, 0, tuple(sorted(order[:count]))))
        choices.append(Choice("low", share, 0, tuple(sorted(order[len(order) - count :]))))
        choices += [Choice("random", share, d, tuple(sorted(rng.sample(order, count)))) for d in range(draws)]
    return choices
