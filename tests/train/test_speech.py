"""The part-of-speech gate on words that are cut into tokens, on tags, and when the tagger fails."""

import pytest

from avcurate.train.speech import gate_of, pattern_tagger, tags_of

textblob = pytest.importorskip("textblob", reason="the extra `train` is not installed")


def pieces(*parts):
    return list(range(len(parts))), lambda ids: "".join(parts[i] for i in ids)


def test_words_map_to_all_their_tokens_and_tags_are_not_words():
    parts = ("<v>", "two", " lo", "ud", " bells", " in", " the", " dark", "</v>", "<sum", "> so", " it", " stops", ".")
    ids, decode = pieces(*parts)
    gate = gate_of(ids, decode, pattern_tagger())
    gated = {p: g for p, g in zip(parts, gate.tokens, strict=True)}
    assert not gate.fallback
    assert all(gated[p] for p in ("two", " lo", "ud", " bells", " dark", " stops"))
    assert not any(gated[p] for p in ("<v>", " in", " the", "</v>", "<sum", " it", "."))


@pytest.mark.parametrize("tagger", [lambda text: [("one", "NN")], lambda text: 1 / 0])
def test_a_tagger_that_fails_gates_nothing_and_says_so(tagger):
    gate = gate_of(*pieces("two", " bells"), tagger)
    assert gate.tokens == [1, 1] and gate.fallback


def test_no_words_is_not_a_fallback():
    gate = gate_of(*pieces("<v>", "</v>"), pattern_tagger())
    assert gate.tokens == [0, 0] and not gate.fallback


def test_each_token_has_the_tag_of_its_first_word():
    parts = ("<v>", "two", " lo", "ud", " bells", " in", "</v>", " now", ".")
    tags = dict(zip(parts, tags_of(*pieces(*parts), pattern_tagger()), strict=True))
    assert tags["two"] == "CD" and tags[" lo"] == tags["ud"] == "JJ" and tags[" bells"] == "NNS" and tags[" in"] == "IN"
    assert tags["<v>"] == tags["</v>"] == tags["."] == ""
    assert tags_of(*pieces("two", " bells"), lambda text: 1 / 0) == ["", ""]
