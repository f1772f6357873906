"""Factual and counterfactual clips side by side, and possible leaks."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.metrics.pairing import words_of
from avcurate.runner.rundir import RunDir
from avcurate.runner.stage import Row
from avcurate.runner.verify import refuse_damaged_files
from avcurate.tasks.evaluate.summary import read_eval

_CONTENT = re.compile(r"[^\W\d_]{4,}")
_COMMON_TEXT = """
with while then from into onto over under near some sound sounds sounding noise background followed being heard that
this there their they them loud loudly someone something people person several times clip audio video and makes making
another after before during first second third fourth
"""
# words that captions share without sharing a sound
COMMON = frozenset(_COMMON_TEXT.split())


def audit(swapped: RunDir, evaluated: RunDir | None = None) -> dict[str, Any]:
    """Every pair of a swap run with its captions, similarities and leaks.

    A pair leaks if the donor's captions contain an answer of the clip (``says_answer``) or, given an eval run on the
    counterfactual clips, if one of its questions is still answered correctly from the new sound alone
    (``still_heard``). ``shared_words`` are content words in the captions of both sounds: no proof, but worth a look.

    Raises:
        UserError: the swap run is not finished, one of its clips was modified, or the eval run did not ask
            under audio only.
    """
    stage = swapped.require("swap", made_by="swap")["stages"]["swap"]
    refuse_damaged_files(swapped, "swap")
    rows = [row for t in swapped.parts("swap").rows() for row in t.to_pylist()]
    still = _still_heard(evaluated, {row["counterfactual"] for row in rows}) if evaluated else {}
    items = [_item(row, still) for row in rows]
    leaks: Counter[str] = Counter()
    for item in items:
        leaks.update(k for k in ("says_answer", "still_heard", "shared_words") if item[k])
    return {
        "run": str(swapped.root),
        "pairs": len(items),
        "refused": stage.get("dead", {}),
        "leaks": {k: leaks[k] for k in ("says_answer", "still_heard", "shared_words")},
        "asked": evaluated is not None,
        "items": items,
    }


def _item(row: Row, still: dict[str, list[str]]) -> Row:
    pair = json.loads(row.get("record") or row.get("pair") or "{}")
    audio_captions, video_captions, donor_captions = (
        _texts(pair.get(k)) for k in ("audio_captions", "video_captions", "donor_captions")
    )
    answers = _texts(pair.get("answers"))
    donor_words = " ".join(words_of(c) for c in donor_captions)
    shared_words = {w for c in audio_captions for w in _content(c)} & {w for c in donor_captions for w in _content(c)}
    return {
        **{k: row[k] for k in ("clip", "donor", "factual", "counterfactual", "seconds", "fitted", "gain_db")},
        **{k: pair.get(k) for k in ("audio_similarity", "video_similarity", "margin")},
        "audio_captions": audio_captions,
        "video_captions": video_captions,
        "donor_captions": donor_captions,
        "answers": answers,
        "says_answer": [a for a in answers if words_of(a).strip() and words_of(a) in donor_words],
        "still_heard": still.get(row["counterfactual"], []),
        "shared_words": sorted(shared_words),
    }


def _content(caption: str) -> list[str]:
    return [w for w in _CONTENT.findall(caption.casefold()) if w not in COMMON]


def _texts(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value else [str(v) for v in value] if isinstance(value, list) else []


def _still_heard(evaluated: RunDir, clips: set[str]) -> dict[str, list[str]]:
    """Questions answered correctly under audio only, by the clip's file."""
    answers = read_eval(evaluated).get("a")
    if answers is None:
        raise UserError(f"{evaluated.root} did not ask under audio only.", "Run `avcurate eval` with --conditions a.")
    correct = {a.question_id for a in answers if a.score > 0.5}
    by_clip: dict[str, list[str]] = {}
    asked: set[str] = set()
    for table in evaluated.parts("eval").rows(columns=["question_id", "media", "question", "answer"]):
        for row in table.to_pylist():
            asked.add(Path(row["media"]).as_posix())
            if row["question_id"] in correct:
                by_clip.setdefault(Path(row["media"]).as_posix(), []).append(f"{row['question']} {row['answer']}")
    if not asked & clips:
        raise UserError(
            f"{evaluated.root} did not ask about these counterfactual clips.",
            "Run `avcurate eval` with --swapped and this run.",
        )
    return by_clip
