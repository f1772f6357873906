"""Builds a demo world on disk: clips, questions in the raw AVQA format, and the truth beside them."""

from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avcurate.demo.captions import evidence, hear, see
from avcurate.demo.clips import write_clip
from avcurate.demo.hard_questions import HARD_TYPES
from avcurate.demo.questions import TYPE_BY_NAME, TYPES, Draft, QuestionType, conflicts, draft
from avcurate.demo.render import events
from avcurate.demo.world import (
    FORMS,
    HARD_SECONDS,
    Clip,
    Kind,
    draw_hearing,
    draw_picture,
    draw_sight,
    draw_sound,
    draw_voice,
)
from avcurate.errors import UserError
from avcurate.schema import PEM
from avcurate.seeds import derive_seed
from avcurate.store.atomic import write_json, write_text

WORLD_VERSION = 2
QUESTIONS_PER_CLIP = 3
PEM_OF_EVIDENCE = {"audio": PEM.AUDIO, "visual": PEM.VISUAL, "both": PEM.AUDIO_VISUAL}


@dataclass(frozen=True)
class Item:
    """One question of a world with its truth."""

    number: int
    clip: Clip
    draft: Draft

    def annotation(self) -> dict[str, Any]:
        """The record in AVQA's own fields; gives nothing of the truth away."""
        return {
            "id": self.number,
            "video_name": self.clip.name,
            "video_id": int(self.clip.name.split("_")[-1]),
            "question_text": self.draft.text,
            "multi_choice": list(self.draft.choices),
            "answer": self.draft.choices.index(self.draft.answer),
            "question_type": self.draft.text.split()[0],
        }

    def truth(self) -> dict[str, Any]:
        """Which evidence decides the question, and what the clip really holds."""
        pem = PEM_OF_EVIDENCE.get(self.draft.evidence)
        return {
            "id": self.number,
            "video_name": self.clip.name,
            "type": self.draft.type,
            "evidence": self.draft.evidence,
            "pem": None if pem is None else str(pem),
            "conflict": conflicts(self.clip.picture, self.clip.sound),
            "picture": asdict(self.clip.picture),
            "sound": asdict(self.clip.sound),
            "seconds": self.clip.seconds,
            "sight": asdict(self.clip.sight),
            "hearing": asdict(self.clip.hearing),
        }


def draw_world(questions: int, seed: int, hard: bool = False) -> list[Item]:
    """All questions of a world, deterministic in its seed; no clip is shared with another seed's world."""
    if hard:
        return _draw_hard_world(questions, seed)
    items: list[Item] = []
    index = 0
    while len(items) < questions:
        rng = random.Random(derive_seed("demo-world", WORLD_VERSION, seed, index))
        kind: Kind = "sequence" if rng.random() < 0.4 else "group"
        clip = Clip(
            f"demo_{seed}_{index:05d}",
            draw_picture(rng, kind),
            draw_sound(rng, kind),
            derive_seed("demo-clip", WORLD_VERSION, seed, index),
        )
        for name in _pick_types(clip, rng):
            if len(items) < questions:
                items.append(Item(len(items), clip, draft(TYPE_BY_NAME[name], clip.picture, clip.sound, rng)))
        index += 1
    return items


def _draw_hard_world(questions: int, seed: int) -> list[Item]:
    items: list[Item] = []
    index = 0
    while len(items) < questions:
        rng = random.Random(derive_seed("demo-world", WORLD_VERSION, "hard", seed, index))
        seconds = rng.choice(HARD_SECONDS)
        kind: Kind = "sequence" if rng.random() < 0.4 else "group"
        picture = draw_picture(rng, kind, FORMS)
        clip = Clip(
            f"hard_{seed}_{index:05d}",
            picture,
            draw_voice(rng, picture) if kind == "group" else draw_sound(rng, kind),
            derive_seed("demo-clip", WORLD_VERSION, "hard", seed, index),
            seconds,
            draw_sight(rng, seconds),
            draw_hearing(rng),
        )
        for chosen in _pick_hard_types(clip, rng):
            if len(items) < questions:
                items.append(Item(len(items), clip, draft(chosen, picture, clip.sound, rng)))
        index += 1
    return items


def _pick_hard_types(clip: Clip, rng: random.Random) -> list[QuestionType]:
    """One question that the picture decides, one that the sound decides, and one of the rest that fit."""
    fitting = [t for t in HARD_TYPES if t.fits(clip.picture, clip.sound)]
    visual = rng.choice([t for t in fitting if t.evidence == "visual"])
    audio = [t for t in fitting if t.evidence == "audio"]
    chosen = [visual, *([rng.choice(audio)] if audio else [])]
    rest = [t for t in fitting if t not in chosen]
    both = [t for t in rest if t.evidence == "both"]
    return [*chosen, rng.choice(both if both and rng.random() < 0.6 else rest)]


def _pick_types(clip: Clip, rng: random.Random) -> list[str]:
    fitting = [t for t in TYPES if t.fits(clip.picture, clip.sound)]
    if clip.picture.kind == "sequence":
        other = rng.choice([t.name for t in fitting if t.evidence != "both"])
        return ["color_when", "sound_when", other]
    visual = rng.choice([t.name for t in fitting if t.evidence == "visual"])
    audio = rng.choice([t.name for t in fitting if t.evidence == "audio"])
    others = [t.name for t in fitting if t.name not in (visual, audio)]
    # few pairs share their number, so half of those that do are asked for it
    shared = "number" in others and rng.random() < 0.5
    return [visual, audio, "number" if shared else rng.choice(others)]


def build_world(
    out: Path,
    questions: int,
    seed: int,
    workers: int,
    tick: Callable[[int, int], None] = lambda done, total: None,
    hard: bool = False,
) -> list[Item]:
    """Write the world: ``questions.json``, ``benchmark.json`` (with PEMs), ``captions.jsonl``,
    ``evidence.jsonl``, ``clips.csv`` (what sounds), ``truth.jsonl``, ``clips/`` and ``world.json``.

    Existing clips are kept, so an interrupted build resumes.

    Raises:
        UserError: the folder holds another world.
    """
    facts = {"world_version": WORLD_VERSION, "seed": seed, "questions": questions} | ({"hard": True} if hard else {})
    marker = out / "world.json"
    if marker.exists() and json.loads(marker.read_text()) != facts:
        raise UserError(f"{out} holds another world: {marker.read_text().strip()}", "Give a new folder with -o.")
    if out.exists() and not marker.exists() and any(out.iterdir()):
        raise UserError(f"{out} is not empty.", "Give a new folder with -o.")
    clips_folder = out / "clips"
    clips_folder.mkdir(parents=True, exist_ok=True)
    write_json(marker, facts)
    items = draw_world(questions, seed, hard)
    clips = list({item.clip.name: item.clip for item in items}.values())
    jobs = [(c, clips_folder / f"{c.name}.mp4") for c in clips]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(_make, jobs), 1):
            tick(done, len(jobs))
    write_text(out / "questions.json", json.dumps([i.annotation() for i in items], indent=1) + "\n")
    write_text(out / "benchmark.json", json.dumps([_with_pem(i) for i in items], indent=1) + "\n")
    write_text(out / "captions.jsonl", "".join(json.dumps(c) + "\n" for c in _captions(items)))
    write_text(out / "evidence.jsonl", "".join(json.dumps(e) + "\n" for e in _evidence(items)))
    write_text(out / "clips.csv", "clip,label\n" + "".join(f"{c.name}.mp4,{t}\n" for c in clips for t in _heard(c)))
    write_text(out / "truth.jsonl", "".join(json.dumps(i.truth()) + "\n" for i in items))
    return items


def _heard(clip: Clip) -> list[str]:
    return list(dict.fromkeys(clip.sound.timbres))


def _with_pem(item: Item) -> dict[str, Any]:
    """The record with the deciding modality in AVQA's own field, for evaluation, not for labelling."""
    return item.annotation() | {"question_relation": item.truth()["pem"]}


def _captions(items: list[Item]) -> list[dict[str, Any]]:
    """A captions' table for ``avcurate pair``: clip, audio_caption, video_caption, and answers to avoid."""
    rows: dict[str, dict[str, Any]] = {}
    for item in items:
        clip = item.clip
        row = rows.setdefault(
            clip.name,
            {"clip": clip.name, "audio_caption": hear(clip.sound), "video_caption": see(clip.picture), "answer": []},
        )
        kept = evidence(item.draft, clip.picture, clip.sound)
        if kept is not None and kept not in row["answer"]:
            row["answer"].append(kept)
    return list(rows.values())


def _evidence(items: list[Item]) -> list[dict[str, Any]]:
    """What is heard and seen in each clip, and when, as ``avcurate benchmark hallucination`` takes it."""
    rows: dict[str, dict[str, Any]] = {}
    for item in items:
        clip = item.clip
        played = events(clip.sound, clip.seed, clip.seconds)
        rows[clip.name] = {
            "clip": clip.name,
            "heard": sorted(set(clip.sound.timbres)),
            "seen": [clip.picture.shape],
            "exhaustive": "both",
            "audio_caption": hear(clip.sound),
            "video_caption": see(clip.picture),
            "events": [{"name": n, "start": round(a, 3), "end": round(b, 3)} for n, a, b in played],
        }
    return list(rows.values())


def _make(job: tuple[Clip, Path]) -> None:
    clip, path = job
    if not path.exists():
        write_clip(clip, path)
