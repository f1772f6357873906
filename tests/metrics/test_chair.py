"""CHAIR, F1 and ALOHa on captions worked out by hand."""

import numpy as np
import pytest

from avcurate.metrics.aloha import aloha, match, parse_objects
from avcurate.metrics.chair import as_counts, intervals, measures, score_caption
from avcurate.metrics.vocabulary import load_vocabulary

V = load_vocabulary()


def score(caption, *truth):
    return score_caption(caption, frozenset(truth), V)


def test_mentions_count_for_chair_and_types_for_f1():
    # dog, dog, cat, person: one dog too many as a type, cat is invented; truth has a frisbee that is not named
    first = score("A dog chases a dog and a cat past a man", "dog", "person", "frisbee")
    assert first.counts() == (4, 1, 1, 2, 2, 3, 3)
    # nothing invented
    second = score("A bus", "bus")
    # nothing named
    third = score("It is quiet", "bus")
    result = measures(as_counts([first, second, third]))
    assert result["chair_i"] == pytest.approx(1 / 5) and result["chair_s"] == pytest.approx(1 / 3)
    assert result["precision"] == pytest.approx(3 / 4) and result["recall"] == pytest.approx(3 / 5)
    assert result["f1"] == pytest.approx(2 * 0.75 * 0.6 / 1.35)


def test_f1_of_nothing_right_is_zero():
    result = measures(as_counts([score("a cat", "dog")]))
    assert (result["precision"], result["recall"], result["f1"]) == (0.0, 0.0, 0.0)


def test_precision_is_not_the_complement_of_chair():
    result = measures(as_counts([score("a cat and a cat and a cat beside a dog", "dog")]))
    assert result["chair_i"] == 0.75 and result["precision"] == 0.5


def test_a_general_word_is_right_and_finds_its_kind():
    bird = score("a bird sings", "parrot")
    assert not any(bird.invented) and (bird.right, bird.found, bird.named, bird.truth) == (1, 1, 1, 1)
    assert score("a parrot sings", "bird").invented == (True,)


def test_intervals_hold_the_value_and_narrow_with_more_captions():
    rng = np.random.default_rng(3)
    captions = ["a dog and a cat" if rng.random() < 0.3 else "a dog" for _ in range(400)]
    counts = as_counts([score(c, "dog") for c in captions])
    low, high = intervals(counts)["chair_s"]
    assert low < measures(counts)["chair_s"] < high < low + 0.12
    few = intervals(counts[:40])["chair_s"]
    assert few[1] - few[0] > high - low
    assert intervals(counts) == intervals(counts)


def test_matching_is_optimal_and_surplus_objects_score_nothing():
    similarity = np.array([[0.9, 0.8], [0.8, 0.1], [0.3, 0.2]])
    assert match(similarity).tolist() == [0.8, 0.8, 0.0]
    assert sorted(match(similarity, as_released=True).tolist()) == [0.8, 0.8]
    assert match(np.zeros((2, 0))).tolist() == [0.0, 0.0]


VECTORS = {"cat": [1, 0, 0], "dog": [0.6, 0.8, 0], "table": [0, 0, 1], "puppy": [0.6, 0.8, 0]}


def embed(texts):
    return np.array([VECTORS[t] for t in texts], np.float32) * 3


def test_aloha_by_hand():
    assert aloha([("cat",)], [("dog",)], embed)[0] == pytest.approx(0.6)
    assert aloha([("cat",), ("table",)], [("dog",)], embed)[0] == 0.0
    assert aloha([("cat",), ("table",)], [("dog",)], embed, as_released=True)[0] == pytest.approx(0.6)
    assert aloha([("table", "puppy")], [("dog",)], embed)[0] == pytest.approx(1.0)
    assert aloha([], [("dog",)], embed, as_released=True) == (0.0, [])
    assert aloha([], [("dog",)], embed) == (None, []) and aloha([("cat",)], [], embed)[0] == 0.0


def test_aloha_with_the_embedded_embedder():
    """The released example (cat and table against dog) gives 0.608 with all-mpnet-base-v2; this is all-MiniLM-L6-v2."""
    pytest.importorskip("sentence_transformers")
    from avcurate.engines.embedder import open_embedder

    embedder = open_embedder("embedded")
    embedder.setup()
    released = aloha([("cat",), ("table",)], [("dog",)], embedder.embed, as_released=True)[0]
    assert released == pytest.approx(0.66, abs=0.02)
    assert aloha([("dog",)], [("dog",), ("cat",)], embedder.embed)[0] == pytest.approx(1.0, abs=1e-5)


def test_a_models_list_is_read():
    reply = "Objects:\n- a dog\n- cat or kitten, table\n- chair (possibly)\n- ab\nnot an item\n- "
    assert parse_objects(reply) == [("a dog",), ("cat", "kitten"), ("table",)]
