"""A modality removed from a prompt by token id."""

import torch

from avcurate.train.core.ablate import MediaTokens, media_keys, without

IDS = MediaTokens(audio=90, video=80, audio_start=91, audio_end=92, vision_start=81, vision_end=82)


def test_a_modality_is_removed_by_id_even_where_both_interleave():
    ids = torch.tensor([[0, 5, 81, 91, 80, 90, 80, 90, 92, 82, 6, 7], [5, 91, 90, 90, 92, 6, 7, 8, 9, 81, 80, 82]])
    mask = torch.ones_like(ids)
    mask[0, 0] = 0
    deaf, kept = without(ids, mask, IDS, "audio", pad=0)
    assert deaf.tolist() == [[0, 5, 81, 80, 80, 82, 6, 7], [5, 6, 7, 8, 9, 81, 80, 82]]
    assert kept.tolist() == [[0] + [1] * 7, [1] * 8]
    text, kept = without(ids, mask, IDS, "both", pad=0)
    assert text.tolist() == [[0, 0, 5, 6, 7], [5, 6, 7, 8, 9]] and kept[0].tolist() == [0, 0, 1, 1, 1]
    assert media_keys(ids, IDS, "audio").sum(1).tolist() == [2, 2]
    assert media_keys(ids, IDS, "both").sum(1).tolist() == [4, 3]
    blind, _ = without(ids, mask, IDS, "video", pad=0)
    assert blind[1].tolist() == [5, 91, 90, 90, 92, 6, 7, 8, 9]
