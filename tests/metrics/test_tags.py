"""Tags in responses: blocks one after another, in any case, and what is no such text."""

import pytest

from avcurate.metrics.tags import blocks, sequence

TAGS = frozenset({"v", "a", "ans"})


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("<v>x</v><a>y</a>", [("v", "x"), ("a", "y")]),
        (" <V>x</v>\n<a> y </A> ", [("v", "x"), ("a", " y ")]),
        ("<v></v>", [("v", "")]),
        ("<v><b>x</b></v>", [("v", "<b>x</b>")]),
        ("", []),
        ("so <v>x</v>", None),
        ("<v>x</v> so <a>y</a>", None),
        ("<v>x</v> so", None),
        ("<v>x", None),
        ("</v>", None),
        ("<v>x</a></v>", None),
        ("<v>x<v>y</v></v>", None),
        ("<v>x<a>y</a></v>", None),
    ],
)
def test_a_sequence_of_blocks(text, pairs):
    assert sequence(text, TAGS) == pairs


def test_blocks_of_one_tag_with_their_places():
    text = "a<v>b</v>c<V>d</V><v>e"
    assert [text[a:b] for a, b, _ in blocks(text, "v")] == ["b", "d"]
    assert [text[:c] for _, _, c in blocks(text, "v")] == ["a<v>b</v>", "a<v>b</v>c<V>d</V>"]
