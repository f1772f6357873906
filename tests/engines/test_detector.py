"""Detectors on real photographs; DETR's own path on a small DETR with local weights."""

import numpy as np
import pytest

from avcurate.engines.detector import DetrDetector
from avcurate.engines.open import open_detector
from avcurate.errors import UserError

PIL = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def nanodet(shared):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'avcurate[onnx]')")
    detector = open_detector(str(shared / "models/nanodet/nanodet.onnx"))
    detector.setup()
    return detector


@pytest.mark.parametrize(
    ("photo", "expected"),
    [("bus.jpg", {"bus": 1, "person": 3}), ("astronaut.png", {"person": 1}), ("coffee.png", {"cup": 1})],
)
def test_a_real_detector_on_real_photographs(nanodet, shared, photo, expected):
    frame = np.asarray(PIL.open(shared / "photos" / photo).convert("RGB"))
    (detections,) = nanodet.detect([frame], 0.5)
    counts = {name: sum(d.label == name for d in detections) for name in expected}
    assert counts == expected
    height, width = frame.shape[:2]
    for d in detections:
        x0, y0, x1, y1 = d.box
        assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height and 0.5 <= d.score <= 1
    assert [d.score for d in detections] == sorted((d.score for d in detections), reverse=True)


def test_boxes_lie_where_the_object_is(nanodet, shared):
    frame = np.asarray(PIL.open(shared / "photos/bus.jpg").convert("RGB"))
    height, width = frame.shape[:2]
    canvas = np.full((height, 2 * width, 3), 114, np.uint8)
    canvas[:, width:] = frame
    bus = max((d for d in nanodet.detect([canvas], 0.3)[0] if d.label == "bus"), key=lambda d: d.score)
    assert bus.box[0] > 0.9 * width and bus.box[2] <= 2 * width


def test_overlapping_boxes_of_one_object_are_one(nanodet, shared):
    frame = np.asarray(PIL.open(shared / "photos/bus.jpg").convert("RGB"))
    buses = [d for d in nanodet.detect([frame], 0.3)[0] if d.label == "bus"]
    assert len(buses) == 1


def test_what_is_no_detector_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "x.onnx").write_bytes(b"not onnx")
    with pytest.raises(UserError, match="cannot be opened"):
        open_detector(str(tmp_path / "x.onnx")).setup()
    with pytest.raises(UserError, match="cannot be loaded"):
        open_detector(str(tmp_path / "nothing")).setup()


@pytest.fixture(scope="module")
def detr_folder(tmp_path_factory):
    """A DETR of the real architecture, small, with random weights, saved as users save theirs."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    import avcurate.engines.torchvision_cpu  # noqa: F401

    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, d_model=32,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, num_queries=12, id2label={0: "N/A", 1: "dog", 2: "cat"}, num_labels=3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("detr")
    transformers.DetrForObjectDetection(config).save_pretrained(folder)
    transformers.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_detr_gives_the_same_in_a_batch_and_leaves_out_empty_slots(detr_folder):
    detector = open_detector(str(detr_folder))
    assert isinstance(detector, DetrDetector)
    detector.setup()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 96, 3), np.uint8) for _ in range(4)]
    batch = detector.detect(frames, 0.05)
    assert any(batch) and {d.label for detections in batch for d in detections} <= {"dog", "cat"}
    for frame, batched in zip(frames, batch, strict=True):
        (alone,) = detector.detect([frame], 0.05)
        assert [d.label for d in alone] == [d.label for d in batched]
        np.testing.assert_allclose([d.score for d in alone], [d.score for d in batched], atol=1e-5)
        np.testing.assert_allclose([d.box for d in alone], [d.box for d in batched], atol=1e-3)
    lowest = min(d.score for detections in batch for d in detections)
    assert sum(map(len, detector.detect(frames, lowest + 1e-4))) < sum(map(len, batch))
