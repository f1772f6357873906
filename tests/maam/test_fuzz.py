"""Decoding and loss read the same keys, whatever a model writes and however a tokenizer splits it."""

import random

import pytest
import torch

from avcurate.maam.attention import batch_mask
from avcurate.maam.decoding import MaskRows
from avcurate.maam.traces import decoded_traces, masked_as, offsets_of
from tests.conftest import LONG

SHAPES = 1000 if LONG else 80
PROMPT = 7
TAGS = "<v> </v> <a> </a> <sum> </sum> <ans> </ans> <V> </A> < > v a /"
PIECES = (*TAGS.split(), " red ring", "bell. ", "鐘", "\n")
GOOD = "<mod>Audio</mod>|<v>|a red ring|</v>|<a>|a bell|</a>|<sum>|so|</sum>|<ans>|x|</ans>"


def response(rng):
    """A response: the right form with pieces dropped, doubled, swapped or put in, or pieces at random."""
    if rng.random() < 0.25:
        return "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 14)))
    pieces = GOOD.split("|")
    if rng.random() < 0.2:
        pieces[1:7] = [*pieces[4:7], *pieces[1:4]]
    for _ in range(rng.randrange(4)):
        place = rng.randrange(len(pieces))
        match rng.randrange(4):
            case 0:
                del pieces[place]
            case 1:
                pieces.insert(place, pieces[place])
            case 2:
                other = rng.randrange(len(pieces))
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case 3:
                pieces.insert(place, rng.choice(PIECES))
    return "".join(pieces)


def split(text, rng):
    """Token ids and their decoder: pieces of one to five characters, which cut and join tags."""
    pieces, at = [], 0
    while at < len(text):
        size = rng.randrange(1, 6)
        pieces.append(text[at : at + size])
        at += size
    return list(range(len(pieces))), lambda ids: "".join(pieces[i] for i in ids)


@pytest.mark.parametrize("scope", ["inner", "inner+open_tag", "span"])
def test_rows_in_decoding_are_those_of_the_whole_mask(scope):
    rng, kinds = random.Random(scope), set()
    audio, video = (torch.zeros(1, PROMPT, dtype=torch.bool) for _ in range(2))
    video[0, 1:3] = audio[0, 3:6] = True
    for _ in range(SHAPES):
        text = response(rng)
        ids, decode = split(text, rng)
        kinds.add(masked_as(text))
        rows = MaskRows(audio, video, decode, scope)
        decoded = [rows.row([0], [token], torch.ones(1, PROMPT + t + 1))[0, 0, 0] for t, token in enumerate(ids)]
        whole, ends = offsets_of(ids, decode)
        length = PROMPT + len(ids)
        padded = [torch.nn.functional.pad(x, (0, length - PROMPT)) for x in (audio, video)]
        traces = [decoded_traces(whole, ends, PROMPT)]
        mask = batch_mask(torch.ones(1, length), *padded, traces, scope)[0, 0]
        for t, row in enumerate(decoded):
            assert torch.equal(row, mask[PROMPT + t, : PROMPT + t + 1]), (scope, text, t, decode([ids[t]]))
    assert kinds == {"whole", "reversed", "unclosed", "missing", "broken"}
