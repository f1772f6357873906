"""The text-only reader finds what text decides, is at chance elsewhere, and never learns from the same video."""

import random

import numpy as np
import pytest

pytest.importorskip("sklearn")

from avcurate.metrics.text_probe import Text, features, text_probe

COLORS = ("red", "green", "blue", "yellow")


def questions(n, decide, seed=0):
    rng = random.Random(seed)
    made = []
    for i in range(n):
        choices = tuple(rng.sample(COLORS, 4))
        thing = rng.choice(("dog", "sky", "grass", "sun"))
        answer = decide(thing, choices, rng)
        made.append(Text(f"What colour is the {thing} number {rng.randrange(99)}?", choices, answer, f"v{i // 3}"))
    return made


def share(guesses):
    return np.mean([g.right for g in guesses])


def test_answers_that_follow_from_the_text_are_found():
    truth = dict(zip(("dog", "sky", "grass", "sun"), ("red", "blue", "green", "yellow"), strict=True))
    guesses = text_probe(questions(300, lambda thing, choices, rng: truth[thing]))
    assert share(guesses) > 0.95 and all(g.chance == 0.25 for g in guesses)
    assert np.mean([g.probability for g in guesses]) > 0.6


def test_a_favourite_answer_and_a_favourite_place_are_found():
    biased = questions(400, lambda t, choices, rng: "red" if rng.random() < 0.7 else rng.choice(choices))
    assert 0.6 < share(text_probe(biased)) < 0.9
    first = questions(400, lambda t, choices, rng: choices[0] if rng.random() < 0.8 else rng.choice(choices))
    assert share(text_probe(first)) > 0.7


def test_answers_drawn_at_random_stay_at_chance():
    guesses = text_probe(questions(1200, lambda t, choices, rng: rng.choice(choices)))
    assert abs(share(guesses) - 0.25) < 0.05


def test_questions_on_one_video_are_in_one_fold():
    """Each video has its own answer, which its other questions would give away."""
    rng = random.Random(1)
    texts = []
    for v in range(120):
        name, answer = f"clip{v}", rng.choice(COLORS)
        texts += [Text(f"What colour has {name}?", COLORS, answer, f"v{v}")] * 4
    assert share(text_probe(texts)) < 0.4
    # in separate groups the same questions are read off
    apart = [Text(t.question, t.choices, t.answer, f"{t.group}/{i}") for i, t in enumerate(texts)]
    assert share(text_probe(apart)) > 0.9


def test_open_questions_are_guessed_among_frequent_answers():
    texts = [Text("How many?", (), "two" if i % 3 else "one", f"v{i}") for i in range(90)]
    guesses = text_probe([*texts, Text("How many?", (), "seventeen thousand and " + "x" * 9, "w")] * 1)
    assert share(guesses[:90]) == pytest.approx(2 / 3, abs=0.02)
    rare = [Text("Q?", (), f"answer {i}", f"v{i}") for i in range(60)]
    assert sum(g.probability == 0 for g in text_probe(rare)) == 30


def test_few_questions_are_a_guess():
    assert text_probe([]) == [] and text_probe([Text("Q?", (), "x", "v")] * 0) == []
    (guess,) = text_probe([Text("Q?", COLORS, "red", "v")])
    assert guess.probability == guess.chance == 0.25 and not guess.right
    assert "is red" in features("Which?", COLORS, 0) and "which then red" in features("Which?", COLORS, 0)
