"""Sinks by hand: values, choice, modality score, groups, and planted ones in a real decoder."""

from collections import Counter

import pytest
import torch

from avcurate.attention.sinks import (
    SHARE,
    SinkOptions,
    SinkRule,
    find_sinks,
    global_sinks,
    modality_score,
    rule_for,
    sink_dimensions,
    sink_values,
    split,
)


def test_value_is_the_largest_sink_dimension_after_normalisation_without_gain():
    states = torch.tensor([[3.0, -4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    # RMS of (3, -4, 0, 0) is sqrt(25 / 4) = 2.5
    assert sink_values(states, (0, 1)).tolist() == pytest.approx([1.6, 1.0], abs=1e-5)
    assert sink_values(states, (0, 2)).tolist() == pytest.approx([1.2, 1.0], abs=1e-5)


def test_a_token_of_one_dimension_alone_reaches_the_square_root_of_the_size():
    states = torch.zeros(1, 64)
    states[0, 7] = 100.0
    assert sink_values(states, (7,)).tolist() == pytest.approx([8.0], abs=1e-4)


def test_dimensions_are_those_of_the_first_token():
    states = torch.randn(6, 10, 32, generator=torch.Generator().manual_seed(0))
    states[:, 0, 21] = -90.0
    states[:, 0, 4] = 60.0
    states[:, 5, 9] = 500.0
    assert sink_dimensions(states, 2) == (21, 4)


def test_global_sinks_equal_a_counter_over_layers():
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        found = torch.rand(6, 40, generator=generator) < 0.2
        counted = Counter(int(p) for layer in found for p in layer.nonzero()[:, 0])
        assert global_sinks(found, 3) == [p for p, _ in counted.most_common(int(40 / 3))]
    assert global_sinks(torch.zeros(3, 9, dtype=torch.bool), 1) == [], "a token that is never a sink is none"


def test_modality_score_by_hand():
    by_video = torch.tensor([[6.0, 0.0, 2.0], [6.0, 0.0, 0.0]])
    by_audio = torch.tensor([[1.0, 4.0, 0.0], [1.0, 4.0, 0.0]])
    later_video, later_audio = torch.tensor([3.0, 0.0, 1.0]), torch.tensor([1.0, 2.0, 0.0])
    # v = 2, a = 1: a third. No later picture: -1. Only later picture: 1 in one layer, 0 of 0 in the other
    expected = [1 / 3, -1.0, 0.5]
    assert modality_score(by_video, by_audio, later_video, later_audio).tolist() == pytest.approx(expected, abs=1e-6)


def test_split_takes_the_most_one_sided_first_and_an_odd_one_is_cross_modal():
    assert split([4, 7, 9], [0.2, 0.9, -0.1], video=True) == ([7], [4, 9])
    assert split([4, 7, 9, 11], [0.2, 0.9, -0.8, -0.1], video=False) == ([9, 11], [4, 7])
    assert split([], [], video=True) == ([], [])


def test_rules_are_published_found_or_given():
    states = torch.randn(4, 5, 3584, generator=torch.Generator().manual_seed(2))
    assert rule_for(states, "qwen2_5_omni_thinker", SinkOptions()) == SinkRule((458, 2570), 25.0, 3)
    assert rule_for(states, "qwen2_5_omni_thinker", SinkOptions((1,), 9.0, 2)) == SinkRule((1,), 9.0, 2)
    other = rule_for(states, "qwen3_omni_moe_thinker", SinkOptions())
    assert len(other.dims) == 2 and other.tau == pytest.approx(SHARE * 3584**0.5)


def test_planted_sinks_are_found_and_told_apart():
    kinds = torch.tensor([1, 4, 4, 3, 3, 4, 4, 3, 3, 2])  # template, video and audio in turn, question
    inputs = torch.randn(3, 10, 16, generator=torch.Generator().manual_seed(3))
    for position in (0, 2, 5, 3, 7):
        inputs[:, position] = 0.01 * inputs[:, position]
        inputs[:, position, 6] = 50.0
    sums = torch.zeros(3, 2, 10)
    sums[:, :, 2] = torch.tensor([4.0, 0.0])  # later pictures alone read it
    sums[:, :, 5] = torch.tensor([1.0, 2.0])
    sums[:, :, 3] = torch.tensor([0.0, 3.0])  # later sounds alone
    sums[:, :, 7] = torch.tensor([2.0, 1.0])
    later = torch.ones(2, 10)
    found = find_sinks(inputs, kinds, sums, later, SinkRule((6,), 3.0, 2))
    assert found.places == 5 and found.chosen == [2, 3, 5, 7], "the first token takes a place and is left out"
    assert found.uni == {2, 3} and found.cross == {5, 7}
    assert found.layers.tolist() == [3, 0, 3, 3, 0, 3, 0, 3, 0, 0]
