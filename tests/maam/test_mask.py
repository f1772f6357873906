"""The mask by hand, row by row as it is decoded, on a real tokenizer, and inside attention."""

import pytest
import torch

from avcurate.maam.mask import Span, Traces, maam, maam_row
from avcurate.maam.traces import decoded_traces, find_traces, masked_as, offsets_of

# 0 text, 1-2 video, 3-4 audio, 5 text | 6 <v> 7 8 </v>:9 | 10 <a> 11 </a>:12 | 13 answer
AUDIO = torch.tensor([i in (3, 4) for i in range(14)])
VIDEO = torch.tensor([i in (1, 2) for i in range(14)])
TRACES = Traces(visual=Span(6, 7, 9, 10), audio=Span(10, 11, 12, 13))


def hidden(mask, query):
    return [k for k in range(query + 1) if not mask[query, k]]


def test_by_hand():
    mask = maam(14, TRACES, AUDIO, VIDEO, scope="inner")
    assert not mask.triu(1).any()
    assert {q: hidden(mask, q) for q in range(14) if hidden(mask, q)} == {7: [3, 4], 8: [3, 4], 11: [1, 2, 6, 7, 8, 9]}
    opened = maam(14, TRACES, AUDIO, VIDEO)
    assert hidden(opened, 6) == [3, 4] and hidden(opened, 10) == [1, 2, 6, 7, 8, 9] and hidden(opened, 9) == []
    whole = maam(14, TRACES, AUDIO, VIDEO, scope="span")
    assert hidden(whole, 9) == [3, 4] and hidden(whole, 12) == [1, 2, 6, 7, 8, 9] and hidden(whole, 13) == []
    assert (maam(14, Traces(), AUDIO, VIDEO) == torch.ones(14, 14).tril().bool()).all()


def test_the_other_order_hides_no_later_part():
    swapped = Traces(visual=Span(10, 11, 12, 13), audio=Span(6, 7, 9, 10))
    mask = maam(14, swapped, AUDIO, VIDEO, scope="inner")
    assert hidden(mask, 7) == [1, 2] and hidden(mask, 11) == [3, 4]


@pytest.mark.parametrize("scope", ["inner", "inner+open_tag", "span"])
def test_every_row_is_that_of_the_whole(scope):
    mask = maam(14, TRACES, AUDIO, VIDEO, scope=scope)
    for i in range(14):
        assert (maam_row(i, TRACES, AUDIO, VIDEO, scope=scope) == mask[i, : i + 1]).all()


def tokenizer():
    from transformers import AutoTokenizer

    from avcurate.engines.checkpoint import EMBEDDED_FOLDER

    return AutoTokenizer.from_pretrained(EMBEDDED_FOLDER)


def split_oddly(text):
    """Tokens of two characters: tags are cut and merged with their neighbours."""
    pieces = [text[i : i + 2] for i in range(0, len(text), 2)]
    return list(range(len(pieces))), lambda ids: "".join(pieces[i] for i in ids)


TEXT = "<mod>Audio</mod><v>a red ring</v><a>two bells</a><sum>so two</sum><ans> 2</ans>"


def test_parts_are_found_on_the_models_own_tokens():
    tok = tokenizer()
    ids = tok.encode(TEXT)
    text, ends = offsets_of(ids, tok.decode)
    parts = find_traces(text, ends, 100)
    assert parts.malformed == ""
    inside = tok.decode(ids[parts.traces.visual.begin - 100 : parts.traces.visual.end - 100])
    assert inside.strip() == "a red ring"
    assert tok.decode(ids[parts.traces.audio.open - 100 : parts.traces.audio.close - 100]).strip() == "<a>two bells</a>"


@pytest.mark.parametrize("shift", range(4))
def test_tags_that_share_tokens_with_their_neighbours(shift):
    ids, decode = split_oddly("x" * shift + TEXT)
    text, ends = offsets_of(ids, decode)
    parts = find_traces(text, ends, 0)
    v = parts.traces.visual
    inner = decode(range(v.begin, v.end))
    # nothing of another part is among the inner tokens, and at most the edge letters are left out
    assert "red rin" in inner and inner.lstrip("> ") in "a red ring</v>"
    assert "<v>" in decode(range(v.open, v.close)) and "</v>" in decode(range(v.open, v.close))


@pytest.mark.parametrize(
    "text",
    ["<v>x<a>y</a>", "<v>x</v><v>y</v><a>z</a>", "</v>x<v>", "<v>x<a>y</v>z</a>", "<a>x"],
)
def test_malformed_parts_get_no_mask(text):
    ids, decode = split_oddly(text)
    whole, ends = offsets_of(ids, decode)
    parts = find_traces(whole, ends, 0)
    assert parts.malformed and parts.traces == Traces()


def test_a_response_is_under_the_mask_whatever_the_case_of_its_tags_and_counted_where_it_is_not():
    ids, decode = split_oddly(TEXT.replace("<v>", "<V>").replace("</v>", "</V>"))
    assert (
        find_traces(*offsets_of(ids, decode), 0).traces
        == find_traces(*offsets_of(split_oddly(TEXT)[0], split_oddly(TEXT)[1]), 0).traces
    )
    assert masked_as(TEXT) == "whole" and masked_as("just words") == masked_as("<v>x</v>") == "missing"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<v>red</v><a>bell</a><sum>x</sum>", "whole"),
        ("<a>bell</a><v>red</v>", "reversed"),
        ("<v>red</v><a>bell <ans>bell</ans>", "unclosed"),
        ("<v>red <a>bell</a>", "broken"),
        ("<v>red</v>", "missing"),
        ("words", "missing"),
        ("<v>red</v><v>x</v><a>b</a>", "broken"),
    ],
)
def test_every_response_is_counted_under_the_mask_it_had(text, kind):
    assert masked_as(text) == kind


@pytest.mark.parametrize("shift", range(3))
@pytest.mark.parametrize(
    "text",
    [
        "<v>red</v><a>never closed",
        "<v>red</v><a>bell</a> and <v>again</v> more",
        "<v>red<a>over</v>lap</a>",
        "no parts",
        TEXT,
    ],
)
def test_the_loss_reads_broken_responses_as_they_were_decoded(text, shift):
    ids, decode = split_oddly("x" * shift + text)
    first, length = 6, 6 + len(ids)
    audio = torch.tensor([i in (3, 4) for i in range(length)])
    video = torch.tensor([i in (1, 2) for i in range(length)])
    whole = maam(length, decoded_traces(*offsets_of(ids, decode), first), audio, video)
    for written in range(1, len(ids) + 1):
        parts = find_traces(*offsets_of(ids[:written], decode), first, complete=False)
        at = first + written - 1
        row = maam_row(at, parts.traces, audio[: at + 1], video[: at + 1])
        assert (row == whole[at, : at + 1]).all(), (written, decode(ids[:written]))


@pytest.mark.parametrize("shift", [None, 0, 1, 2, 3])
def test_decoding_one_token_at_a_time_sees_the_rows_of_the_finished_mask(shift):
    if shift is None:
        tok = tokenizer()
        ids, decode = tok.encode(TEXT), tok.decode
    else:
        ids, decode = split_oddly("x" * shift + TEXT)
    first, length = 6, 6 + len(ids)
    audio = torch.tensor([i in (3, 4) for i in range(length)])
    video = torch.tensor([i in (1, 2) for i in range(length)])
    text, ends = offsets_of(ids, decode)
    whole = maam(length, find_traces(text, ends, first).traces, audio, video)
    for written in range(1, len(ids) + 1):
        text, ends = offsets_of(ids[:written], decode)
        parts = find_traces(text, ends, first, complete=False)
        at = first + written - 1
        row = maam_row(at, parts.traces, audio[: at + 1], video[: at + 1])
        assert (row == whole[at, : at + 1]).all(), (written, text)


def test_hidden_keys_get_no_attention_and_others_all_of_it():
    g = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 14, 8, generator=g), torch.randn(2, 14, 8, generator=g)
    eye = torch.eye(14).expand(2, 14, 14)
    mask = maam(14, TRACES, AUDIO, VIDEO)
    weights = torch.nn.functional.scaled_dot_product_attention(q, k, eye, attn_mask=mask)
    assert (weights[:, ~mask] == 0).all() and torch.allclose(weights.sum(-1), torch.ones(2, 14))
    assert torch.isfinite(weights).all()
