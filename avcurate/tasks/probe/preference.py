"""``probe preference``: which modality's answer hidden states carry where sound and picture say different things."""

from __future__ import annotations

import re
from typing import Any

import torch

from avcurate.attention.hidden import Decoder
from avcurate.media.decode import DecodedClip
from avcurate.metrics.answers import fold
from avcurate.prompts import LETTERS, Prompt
from avcurate.runner.stage import Filtered, Row
from avcurate.tasks.probe.reading import Answered
from avcurate.tasks.probe.stage import ProbeStage

_LETTER = re.compile(r"([A-Za-z])(?:[)\].:]|\s*$)")


class PreferenceStage(ProbeStage):
    """Lens margins where the answer is predicted, on clips whose sound alone and picture alone are answered apart.

    The conflict is the model's own: what it answers to sound alone against what it answers to picture alone, which
    needs no labels and holds for swapped and for real clips (modality selection, arXiv 2604.16902).
    """

    probe = "preference"

    def setup(self) -> None:
        """Find the decoder's layers."""
        super().setup()
        self.decoder = Decoder(self.model.model)

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]] | Filtered:
        """One entry; filtered where there is no conflict."""
        heard, seen, both = self.answers(row, clip, ("a", "v", "av"))
        if heard.answer is None or seen.answer is None:
            return Filtered("unreadable", "sound alone or picture alone was not answered readably.")
        if fold(heard.answer) == fold(seen.answer):
            return Filtered("no_conflict", f"sound alone and picture alone both answer {heard.answer!r}.")
        said = None if both.answer is None else fold(both.answer)
        follows = {fold(heard.answer): "audio", fold(seen.answer): "video"}.get(said or "", "neither")
        margin = self._margin(row, both, heard.answer, seen.answer)
        found = {"audio_says": heard.answer, "video_says": seen.answer, "follows": follows if said else "unreadable"}
        return [both.row() | found | {"margin": margin}]

    def _margin(self, row: Row, both: Answered, heard: str, seen: str) -> list[float] | None:
        """By layer; ``None`` where no choice or letter is written as the answer, or both begin with one token."""
        reading = self.reading(both)
        at = place_of_answer(reading.tokens, self.spec.prompt)
        if at is None:
            return None
        place, written = at
        tokenizer = self.model.processor.tokenizer
        written_as = forms(written, row["choices"], heard, seen)
        options = [self._token(tokenizer, form) for form in written_as or ()]
        if len(options) != 2 or None in options or options[0] == options[1]:
            return None
        with self.decoder.outputs() as states:
            reading.logits()
        margins = []
        with torch.inference_mode():
            for state in states:
                logits = self.decoder.logits(state[0, reading.prompt + place - 1][None], norm=True)[0]
                margins.append(float(logits[options[0]] - logits[options[1]]))
        return margins

    @staticmethod
    def _token(tokenizer: Any, text: str) -> int | None:
        ids = tokenizer.encode(text, add_special_tokens=False)
        return int(ids[0]) if ids else None


def place_of_answer(tokens: list[str], prompt: Prompt) -> tuple[int, str] | None:
    """The token where the stated answer begins, and the answer as written, with the space before it if there is one."""
    text, begin, stop = "".join(tokens), 0, -1
    for tag in prompt.answer_tags:
        begin, stop = max((begin, stop), _tagged(text, tag))
    if stop < 0:
        if prompt.reasoning_tags or "<" in text:
            return None
        begin, stop = 0, len(text)
    written = text[begin:stop].strip().lstrip("([")
    if not written:
        return None
    begin = text.index(written, begin)
    end = 0
    for place, token in enumerate(tokens):
        end += len(token)
        if end > begin:
            spaced = token.startswith(" ") and token.strip()
            return place, (" " if spaced else "") + written
    return None


def forms(written: str, choices: list[str], *answers: str) -> list[str] | None:
    """Answers as the response would have written them: as letters if it wrote one, after a space if it did.

    ``None`` where what is written begins neither with the letter of a choice nor with a choice.
    """
    space, bare = " " if written.startswith(" ") else "", written.strip()
    if any(fold(bare).startswith(fold(c)) for c in choices):
        return [space + (a.lower() if bare[:1].islower() else a) for a in answers]
    letter = _LETTER.match(bare)
    if letter and all(a in choices for a in answers):
        letters = [LETTERS[choices.index(a)] for a in answers]
        return [space + (x.lower() if letter[1].islower() else x) for x in letters]
    return None


def _tagged(text: str, tag: str) -> tuple[int, int]:
    """Where the inside of the last pair of tags begins and ends; (-1, -1) without one."""
    closings = list(re.finditer(rf"</{re.escape(tag)}>", text, re.IGNORECASE))
    if not closings:
        return -1, -1
    stop = closings[-1].start()
    openings = list(re.finditer(rf"<{re.escape(tag)}>", text[:stop], re.IGNORECASE))
    return (openings[-1].end(), stop) if openings else (-1, -1)
