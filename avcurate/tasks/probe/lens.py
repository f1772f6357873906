"""``probe lens``: the tokens that hidden states decode to, and the concepts among them that the response leaves out."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.hidden import Decoder
from avcurate.attention.kinds import Kind
from avcurate.errors import UserError
from avcurate.media.decode import DecodedClip
from avcurate.metrics.pem import pem_of
from avcurate.runner.stage import Row
from avcurate.schema import PEM
from avcurate.seeds import derive_seed
from avcurate.sources.records import read_records
from avcurate.store.digest import file_digest
from avcurate.tasks.probe.stage import ProbeStage

SHOWN = 20
_ARTICLE = re.compile(r"^(?:a|an|the)\s+", re.IGNORECASE)
SHORTEST = 2
"""Letters that a token must have to stand for a concept: a single letter begins too many words."""
_FIELDS = {"audio": ("audio", "heard"), "video": ("video", "seen", "objects")}
_HEARD_OR_SEEN = {PEM.AUDIO: "audio", PEM.VISUAL: "video"}


class Concepts:
    """Words for what is heard and seen in each clip.

    Args:
        file: a table with ``video_id`` (or ``clip``), ``audio`` (or ``heard``) and ``video`` (or ``seen``, or
            ``objects``), so that object sets of ``avcurate objects``, evidence of a benchmark and a judge's reading of
            captions serve as they are; without it a question's concept is its right answer, and its other choices
            are the comparison.

    Raises:
        UserError: a line is not of that form.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._of: dict[str, dict[str, list[str]]] = {}
        for record in read_records(file) if file is not None else ():
            value = record.value or {}
            name = value.get("video_id") or value.get("clip")
            words: dict[str, Any] = {
                m: next((value[k] for k in names if k in value), []) for m, names in _FIELDS.items()
            }
            if not isinstance(name, str) or not all(_is_words(w) for w in words.values()):
                raise UserError(
                    f"{file}, record {record.row}: it needs video_id, and audio and video as lists of words.",
                    'For example {"video_id": "abc", "audio": ["siren"], "video": ["red", "ring"]}.',
                )
            self._of[name] = words
        self._pool = {m: sorted({w for c in self._of.values() for w in c[m]}) for m in ("audio", "video")}

    def identity(self) -> dict[str, Any]:
        """Content of the file."""
        return {"concepts": file_digest(self.file) if self.file is not None else None}

    def of(self, row: Row) -> list[tuple[str, str, bool]]:
        """(concept, what it is of, whether it is present) for a question; as many absent ones as present, if any."""
        if self.file is None:
            pem = pem_of(row["stated_modality"])
            of = _HEARD_OR_SEEN.get(pem, "either") if pem is not None else "either"
            others = [c for c in row["choices"] if c != row["answer"]]
            return [(row["answer"], of, True), *((c, of, False) for c in others)]
        media = str(row.get("media") or "")
        names = (row["video_id"], media, PurePosixPath(media).stem)
        words = next((self._of[n] for n in names if n in self._of), {})
        own = {w.lower() for ws in words.values() for w in ws}
        rng = random.Random(derive_seed(0, "absent", str(row["question_id"])))
        concepts = []
        for of, present in words.items():
            absent = [w for w in self._pool[of] if w.lower() not in own]
            concepts += [(w, of, True) for w in present]
            concepts += [(w, of, False) for w in rng.sample(absent, min(len(present), len(absent)))]
        return concepts


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(w, str) and w.strip() for w in value)


class LensStage(ProbeStage):
    """The logit lens at sound, picture and response, and latent recall (see/hear §4.3).

    A concept is recalled in a layer where its first token is among the likeliest at any position of the modality. As
    many concepts that are not in the clip are looked for too; how often those are recalled is the chance level. Left
    out are concepts whose first token stands for nothing (a letter, a digit, an article), and absent ones that begin
    with the token of a present one.
    """

    probe = "lens"

    def __init__(self, *arguments: Any, concepts: Path | None, top: int, norm: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.concepts, self.top, self.norm = Concepts(concepts), top, norm

    def depends(self) -> dict[str, Any]:
        """Concepts, and how states are decoded."""
        return {**self.concepts.identity(), "top": self.top, "norm": self.norm}

    def setup(self) -> None:
        """Find the decoder's layers."""
        super().setup()
        self.decoder = Decoder(self.model.model)

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]]:
        """One entry for each response."""
        entries = []
        for answered in self.answers(row, clip):
            reading = self.reading(answered)
            with self.decoder.outputs() as states:
                reading.logits()
            kinds = reading.kinds[0]
            at = {k: [self._top(h[0, kinds == k]) for h in states] for k in (Kind.AUDIO, Kind.VIDEO)}
            predicting = [self._top(h[0, reading.prompt - 1 : -1], 1) for h in states]
            # without words of the clip's own the concept is the answer, which a letter says as well
            answers = self.concepts.file is None and answered.correct
            concepts = [
                {
                    "concept": concept,
                    "of": of,
                    "present": present,
                    "said": said(concept, answered.text) or (present and answers),
                    "in_audio": [self._holds(ids, concept) for ids in at[Kind.AUDIO]],
                    "in_video": [self._holds(ids, concept) for ids in at[Kind.VIDEO]],
                }
                for concept, of, present in self._usable(row)
            ]
            entries.append(
                answered.row()
                | {
                    "layers": list(range(len(states))),
                    "tokens": reading.tokens,
                    "at_audio": [self._commonest(ids) for ids in at[Kind.AUDIO]],
                    "at_video": [self._commonest(ids) for ids in at[Kind.VIDEO]],
                    "at_response": [[self._text(i) for i in ids[:, 0].tolist()] for ids in predicting],
                    "concepts": concepts,
                }
            )
        return entries

    def _usable(self, row: Row) -> list[tuple[str, str, bool]]:
        tokenizer = self.model.processor.tokenizer
        firsts = [(c, first_tokens(tokenizer, c[0])) for c in self.concepts.of(row)]
        present = set().union(*(f for (_, _, there), f in firsts if there))
        return [c for c, f in firsts if f and (c[2] or not f & present)]

    def _top(self, states: Tensor, count: int | None = None) -> Tensor:
        with torch.inference_mode():
            return self.decoder.likeliest(states, count or self.top, norm=self.norm)

    def _text(self, token: int) -> str:
        return str(self.model.processor.tokenizer.decode([token]))

    def _commonest(self, ids: Tensor) -> list[str]:
        counts = Counter(ids.flatten().tolist())
        return [self._text(i) for i, _ in counts.most_common(SHOWN)]

    def _holds(self, ids: Tensor, concept: str) -> bool:
        wanted = first_tokens(self.model.processor.tokenizer, concept)
        return bool(torch.isin(ids, torch.tensor(sorted(wanted), device=ids.device)).any())


def first_tokens(tokenizer: Any, word: str) -> set[int]:
    """First tokens of a word, alone and after a space, small and capital; those of one letter or digit are left out.

    An article before it is not part of the word.
    """
    bare = _ARTICLE.sub("", word.strip())
    forms = {f"{space}{form}" for space in ("", " ") for form in (bare, bare.lower(), bare.capitalize())}
    firsts = {ids[0] for form in forms if (ids := tokenizer.encode(form, add_special_tokens=False))}
    return {i for i in firsts if _stands_for_a_word(tokenizer.decode([i]).strip())}


def _stands_for_a_word(text: str) -> bool:
    return len(text) >= SHORTEST or (len(text) == 1 and not text.isascii() and text.isalpha())


def said(concept: str, text: str) -> bool:
    """Whether a response holds a concept as words of its own; scripts without spaces have no such bounds."""
    bounds = (r"(?<!\w)", r"(?!\w)") if concept.isascii() else ("", "")
    return re.search(f"{bounds[0]}{re.escape(concept)}{bounds[1]}", text, re.IGNORECASE) is not None
