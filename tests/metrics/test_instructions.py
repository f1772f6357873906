"""MMAU-Pro's twenty-seven rules on the form of an answer: each with an answer that follows it and one that does not."""

import pytest

from avcurate.metrics.instructions import RULES, follows, sentences

CASES = [
    ("Include Keywords", {"keywords": "rain, drum"}, "A DRUM in the rain", "A drum"),
    ("Keyword Frequency", {"keyword": "dog", "N": 2}, "Dog and dog, no hotdogs", "dog dog dog"),
    ("Forbidden Words", {"forbidden_words": "loud, quiet"}, "It hums.", "A Loud hum"),
    ("Number Paragraphs", {"N": 2}, "one *** two ***", "one"),
    ("Number Words (at least)", {"N": 3}, "one two three", "one two"),
    ("Number Words (at most)", {"N": 2.0}, "one two", "one two three"),
    ("Number Words (range)", {"N1": 2, "N2": 3}, "one two", "one"),
    ("Number Sentences (at least)", {"N": 2}, "It rains. It pours!", "It rains"),
    ("Number Sentences (at most)", {"N": 1}, "It rains 3.5 mm.", "It rains. It pours."),
    ("Number Sentences (range)", {"N1": 2, "N2": 2}, 'He said "stop!" Then he left.', "He left."),
    ("Postscript", {"postscript_marker": "P.S."}, "A dog. P.S. and a cat", "A dog, and a cat"),
    ("Number Placeholder", {"N": 2}, "[name] at [place]", "[name]"),
    ("Number Bullets", {"N": 2}, "* one\n  * two", "* one\n- two"),
    ("Title", {}, "<<Rain>>\nIt falls.", "<Rain>"),
    ("Minimum Number Highlighted Section", {"N": 1}, "a *dog* barks", "a dog barks"),
    ("Multiple Sections", {"N": 2, "section_splitter": "Part"}, "Part one Part two", "Part one"),
    ("Repeat Prompt", {"prompt": "What is heard?"}, "what is heard? A dog.", "A dog."),
    ("Two Responses", {}, "a dog ****** a cat", "a dog ****** A dog"),
    ("All Uppercase", {}, "A DOG!", "A Dog"),
    ("All Lowercase", {}, "a dog!", "A dog"),
    ("All-capital Words (at least)", {"N": 2}, "A BIG dog", "A big dog"),
    ("All-capital Words (at most)", {"N": 1}, "a BIG dog", "A BIG dog"),
    ("All-capital Words (range)", {"N1": 1, "N2": 2}, "a BIG dog", "a big dog"),
    ("Start Checker", {"start_phrase": "I hear:"}, "I hear, a dog", "A dog"),
    ("End Checker", {"end_phrase": "that is all."}, "A dog. That is all!", "That is all: a dog"),
    ("Quotation", {}, ' "a dog" ', '"a" dog'),
    ("No Commas", {}, "a dog and a cat", "a dog, a cat"),
]


def test_every_rule_has_a_case():
    assert [name for name, *_ in CASES] == list(RULES) and len(RULES) == 27


@pytest.mark.parametrize(("name", "given", "good", "bad"), CASES, ids=[c[0] for c in CASES])
def test_a_rule(name, given, good, bad):
    assert follows(good, {"instruction": name, **given})
    assert not follows(bad, {"instruction": name, **given})


def test_sentences_are_counted_by_how_they_close():
    texts = {"": 0, "...": 0, "One": 1, "One. Two": 2, "One?! Two.\nThree": 3, "3.5 dogs.": 1}
    assert {t: sentences(t) for t in texts} == texts
