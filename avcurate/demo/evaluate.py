"""How well the embedded model hears and sees: accuracy per question type under A, V and AV."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avcurate.demo.build import Item
from avcurate.demo.hard_questions import HARD_TYPES
from avcurate.engines.base import Engine, Reply, Request, Sampling
from avcurate.media.ablate import show
from avcurate.media.cache import ClipCache
from avcurate.media.decode import DecodeSpec
from avcurate.metrics.answers import is_correct, parse_answer
from avcurate.prompts import COT
from avcurate.schema import Setting
from avcurate.seeds import derive_seed

SAMPLING = Sampling(temperature=1.0, max_tokens=160)
PRESENT = {
    "visual": {Setting.V, Setting.AV},
    "audio": {Setting.A, Setting.AV},
    "both": {Setting.AV},
    "either": {Setting.A, Setting.V, Setting.AV},
    "text": set(Setting),
    "none": set(),
}


@dataclass
class Cell:
    """Answers to one question type under one setting."""

    right: int = 0
    asked: int = 0
    unreadable: int = 0
    chance: float = 0.0


class _Everything:
    """All requests of a world, in order; clips are decoded ahead."""

    def __init__(self, items: list[Item], clips: ClipCache, n: int, seed: int) -> None:
        self.items = iter(items)
        self.clips = clips
        self.n = n
        self.seed = seed
        self.ahead: deque[tuple[Item, Any]] = deque()
        self.ready: deque[Request] = deque()

    def take(self, wait: bool) -> Request | None:
        if not self.ready:
            while len(self.ahead) < 8 and (item := next(self.items, None)) is not None:
                self.ahead.append((item, self.clips.get(f"{item.clip.name}.mp4", None, None)))
            if self.ahead:
                self._prepare(*self.ahead.popleft())
        return self.ready.popleft() if self.ready else None

    def _prepare(self, item: Item, future: Any) -> None:
        clip = future.result()
        for setting in Setting:
            audio, frames = show(clip, setting, "drop")
            self.ready.append(
                Request(
                    f"{item.number}/{setting}",
                    COT.render(item.draft.text, item.draft.choices),
                    audio,
                    frames,
                    clip.fps,
                    self.n,
                    derive_seed("evaluate", self.seed, item.number, setting),
                    SAMPLING,
                )
            )


def evaluate(
    engine: Engine,
    items: list[Item],
    clips: Path,
    n: int,
    seed: int,
    tick: Callable[[int], None] = lambda k: None,
) -> dict[tuple[str, Setting], Cell]:
    """Ask every question of a world under every setting, n responses each; the engine must be set up."""
    cells: dict[tuple[str, Setting], Cell] = defaultdict(Cell)
    cache = ClipCache(clips, DecodeSpec(max_frames=32, max_pixels=50_176, max_seconds=30), workers=2)
    try:
        for done, reply in enumerate(engine.generate(_Everything(items, cache, n, seed)), 1):
            if not isinstance(reply, Reply):
                raise RuntimeError(f"{reply.key}: {reply.message}")
            number, setting = reply.key.split("/")
            draft = items[int(number)].draft
            cell = cells[draft.type, Setting(setting)]
            for response in reply.responses:
                answer = parse_answer(response.text, draft.choices)
                cell.asked += 1
                cell.chance += 1 / len(draft.choices)
                cell.right += is_correct(answer, draft.answer)
                cell.unreadable += answer is None
            tick(done)
    finally:
        cache.close()
    return dict(cells)


def table(cells: dict[tuple[str, Setting], Cell]) -> list[dict[str, Any]]:
    """One row per question type: accuracy under each setting, and whether it is what it should be.

    Where the evidence is present accuracy must exceed 90 %; where it is absent it must be within 10
    points of chance.
    """
    return list(_rows(cells))


def _rows(cells: dict[tuple[str, Setting], Cell]) -> Iterator[dict[str, Any]]:
    for kind in HARD_TYPES:
        if (kind.name, Setting.AV) not in cells:
            continue
        row: dict[str, Any] = {"type": kind.name, "evidence": kind.evidence}
        good = True
        for setting in Setting:
            cell = cells[kind.name, setting]
            accuracy = cell.right / max(1, cell.asked)
            row[str(setting)] = round(accuracy, 4)
            if setting in PRESENT[kind.evidence]:
                good &= accuracy > 0.9
            else:
                good &= abs(accuracy - cell.chance / max(1, cell.asked)) <= 0.1
        av = cells[kind.name, Setting.AV]
        row["questions"], row["chance"] = av.asked, round(av.chance / max(1, av.asked), 4)
        row["as_it_should_be"] = good
        yield row
