"""Boxes, masks and stretches of time on the grid of tokens, worked out by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from avcurate.errors import AvcurateError, UserError
from avcurate.tasks.probe.objects import Located, Objects, sound_blocks, video_cells
from tests import running
from tests.tasks.test_objects import Brightness


def test_a_cell_counts_where_more_than_a_fifth_is_covered_in_both_frames():
    # two pairs of frames, two rows, two columns; one frame a second
    left = (0.0, 0.0, 0.5, 1.0)
    always = Located({0.0: [left]})
    assert video_cells(always, (2, 2, 2), 1.0).tolist() == [True, False] * 4
    # the second frame of the second pair shows nothing
    once = Located({0.0: [left], 1.0: [left], 2.0: [left], 3.0: []})
    assert video_cells(once, (2, 2, 2), 1.0).tolist() == [True, False, True, False, *[False] * 4]
    # a fifth is not more than a fifth; two boxes are added up
    corner = (0.0, 0.0, 0.125, 0.5)
    assert video_cells(Located({0.0: [(0.0, 0.0, 0.09, 0.5)]}), (1, 2, 2), 1.0).sum() == 0
    assert video_cells(Located({0.0: [corner]}), (1, 2, 2), 1.0).tolist() == [True, False, False, False]
    assert video_cells(Located({0.0: [corner, (0.9, 0.5, 1.0, 1.0)]}), (1, 2, 2), 1.0).tolist() == [
        True,
        False,
        False,
        False,
    ]
    # frames take the boxes of the nearest time
    moved = Located({0.0: [left], 4.0: [(0.5, 0.0, 1.0, 1.0)]})
    assert video_cells(moved, (2, 1, 2), 0.5).tolist() == [True, False, False, True]
    assert not video_cells(Located(), (1, 1, 1), 1.0).any()


def test_sound_tokens_by_their_middle():
    assert sound_blocks(Located(seconds=[(1.0, 2.0), (3.5, 9.0)]), 8, 4.0).tolist() == [
        False,
        False,
        True,
        True,
        False,
        False,
        False,
        True,
    ]
    assert sound_blocks(Located(), 0, 0.0).tolist() == []


def test_masks_are_grey_pictures_beside_the_table(tmp_path):
    (tmp_path / "m").mkdir()
    grey = np.zeros((40, 80), np.uint8)
    grey[:, 40:], grey[:, :40] = 21, 20
    Image.fromarray(grey).save(tmp_path / "m/0.png")
    table = tmp_path / "t.jsonl"
    table.write_text(json.dumps({"clip": "a", "masks": [{"at": 0, "file": "m/0.png"}]}))
    located = Objects(table).of("folder/a.mp4", 4.0)
    assert video_cells(located, (1, 1, 2), 1.0).tolist() == [False, True]
    (tmp_path / "m/0.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be read"):
        video_cells(located, (1, 1, 2), 1.0)


@pytest.mark.parametrize(
    "record",
    [
        {"clip": "a"},
        {"boxes": [{"at": 0, "box": [0, 0, 1, 1]}]},
        {"clip": "a", "boxes": [{"at": 0, "box": [0, 0, 1]}]},
        {"clip": "a", "boxes": [{"at": -1, "box": [0, 0, 1, 1]}]},
        {"clip": "a", "boxes": [{"at": 0, "box": [0, 0, 1, "nan"]}]},
        {"clip": "a", "seconds": [[1]]},
        {"clip": "a", "masks": [{"at": 0, "file": "../../etc/passwd"}]},
    ],
)
def test_what_is_no_record_of_places_is_refused(tmp_path, record):
    (tmp_path / "t.jsonl").write_text(json.dumps(record))
    with pytest.raises(AvcurateError):
        Objects(tmp_path / "t.jsonl")


def test_a_run_of_objects_serves_as_it_is(tmp_path, tiny_clip):
    media = tmp_path / "m"
    media.mkdir()
    (media / "a.mp4").write_bytes(tiny_clip.read_bytes())
    running.run("objects", tmp_path / "o", {"media": media, "sheets": "false"}, detector=Brightness())
    objects = Objects(tmp_path / "o")
    located = objects.of("a.mp4", 2.0)
    assert objects.identity()["objects"] and objects.of("b.mp4", 2.0) is None
    # ten frames, two seconds
    assert sorted(located.boxes) == pytest.approx([i / 5 for i in range(10)])
    assert all(0 <= v <= 1 for found in located.boxes.values() for box in found for v in box)
