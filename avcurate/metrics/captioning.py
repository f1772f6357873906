"""Captions against reference captions, by the words they share: METEOR, CIDEr, ROUGE-L and BLEU-4.

Computed by pycocoevalcap, the code that COCO's captions are scored with (tokeniser and METEOR are Java programs). CIDEr
weighs words by how rare they are among the references given, so it is a figure of a set of captions, not of one.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Sequence

from avcurate.errors import UserError

MEASURES = ("meteor", "cider", "rouge_l", "bleu_4")
INSTALL = "Install it: pip install 'avcurate[captions]', and a Java runtime."


def caption_measures(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """The four measures over all captions, each in [0, 1] but CIDEr, which reaches 10.

    Args:
        captions: N captions.
        references: for each at least one reference.

    Raises:
        UserError: pycocoevalcap or Java is missing.
    """
    require_captioning()
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    said = {i: [{"caption": _line(c)}] for i, c in enumerate(captions)}
    true = {i: [{"caption": _line(r)} for r in rs] for i, rs in enumerate(references)}
    tokenizer = PTBTokenizer()
    with contextlib.redirect_stdout(io.StringIO()):
        said, true = tokenizer.tokenize(said), tokenizer.tokenize(true)
        scores = [scorer.compute_score(true, said)[0] for scorer in (Meteor(), Cider(), Rouge(), Bleu(4))]
    meteor, cider, rouge, bleu = scores
    return dict(zip(MEASURES, map(float, (meteor, cider, rouge, bleu[3])), strict=True))


def require_captioning() -> None:
    """Refuse at once what could not be measured at the end.

    Raises:
        UserError: pycocoevalcap or Java is missing.
    """
    try:
        import pycocoevalcap  # noqa: F401
    except ImportError:
        raise UserError("METEOR and CIDEr need pycocoevalcap.", INSTALL) from None
    if shutil.which("java") is None:
        raise UserError("METEOR and CIDEr need a Java runtime, and there is no `java` on the path.", INSTALL)


def _line(text: str) -> str:
    """One line without the separator of METEOR's protocol; the tokeniser reads one caption a line."""
    return " ".join(text.replace("|||", " ").split()) or "."
