"""NanoDet detectors in ONNX files, on CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.engines.detector import Detection, Detector, Frame
from avcurate.errors import UserError

# COCO's 80 classes in the order of its detectors
# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis",
    "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich",
    "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven",
    "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on

# NanoDet: strides of its three grids, bins of each side's distribution, BGR mean and deviation
_STRIDES = (8, 16, 32)
_BINS = 11
_MEAN = np.array([103.53, 116.28, 123.675], np.float32)
_DEVIATION = np.array([57.375, 57.12, 58.395], np.float32)
_OVERLAP = 0.6


class NanoDetDetector(Detector):
    """A NanoDet in an ONNX file, on CPU through onnxruntime; its 80 classes are COCO's.

    Boxes are the expectation of a distribution over distances (generalised focal loss); overlapping boxes of
    one class are suppressed.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.name = file.name

    def identity(self) -> dict[str, Any]:
        """The file's content."""
        from avcurate.store.atomic import sha256

        return {"detector": "nanodet", "sha256": sha256(self.file) if self.file.is_file() else None}

    def setup(self) -> None:
        """Open the file and find its outputs by their shapes."""
        try:
            import onnxruntime
        except ImportError:
            raise UserError("an .onnx detector needs onnxruntime.", "Install it: pip install onnxruntime.") from None
        try:
            self._session = onnxruntime.InferenceSession(str(self.file), providers=["CPUExecutionProvider"])
        except Exception as e:  # onnxruntime's errors share no base class
            raise UserError(f"{self.file} cannot be opened: {str(e)[:300]}", "Give a NanoDet .onnx file.") from None
        self._input = self._session.get_inputs()[0]
        shapes = {tuple(o.shape[1:]): o.name for o in self._session.get_outputs()}
        try:
            self._size = int(self._input.shape[-1])
            cells = [(self._size // s) ** 2 for s in _STRIDES]
            self._outputs = [(shapes[n, len(COCO)], shapes[n, 4 * _BINS]) for n in cells]
        except (KeyError, ValueError, TypeError, IndexError):
            raise UserError(
                f"{self.file} is not a fixed-size NanoDet over 80 classes.", "Give one, or a transformers model."
            ) from None

    def detect(self, frames: list[Frame], floor: float) -> list[list[Detection]]:
        """Frame by frame: the exported graph takes one."""
        return [self._detect(f, floor) for f in frames]

    def _detect(self, frame: Frame, floor: float) -> list[Detection]:
        from PIL import Image

        height, width = frame.shape[:2]
        scaled = np.asarray(Image.fromarray(frame).resize((self._size, self._size), Image.Resampling.BILINEAR))
        pixels = ((scaled[..., ::-1].astype(np.float32) - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None]
        names = [n for pair in self._outputs for n in pair]
        values = self._session.run(names, {self._input.name: np.ascontiguousarray(pixels)})
        boxes, scores = [], []
        for stride, (classes, sides) in zip(_STRIDES, zip(values[::2], values[1::2], strict=True), strict=True):
            scores.append(classes[0])
            boxes.append(self._boxes(sides[0], stride))
        detections = _suppress(np.concatenate(boxes), np.concatenate(scores), floor)
        grow = np.array([width, height, width, height]) / self._size
        limit = np.array([width, height, width, height], np.float64)
        return [
            Detection(COCO[c], float(s), tuple(float(x) for x in np.clip(box * grow, 0, limit)))  # type: ignore[arg-type]
            for c, s, box in detections
        ]

    def _boxes(self, sides: NDArray[np.float32], stride: int) -> NDArray[np.float64]:
        """(cells, 4 × bins) logits to (cells, 4) boxes in pixels of the network's input."""
        logits = sides.reshape(-1, 4, _BINS).astype(np.float64)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        distance = (weights / weights.sum(-1, keepdims=True)) @ np.arange(_BINS) * stride
        cells = self._size // stride
        y, x = np.divmod(np.arange(cells * cells), cells)
        cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
        return np.stack([cx - distance[:, 0], cy - distance[:, 1], cx + distance[:, 2], cy + distance[:, 3]], 1)


def _suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], floor: float
) -> list[tuple[int, float, NDArray[np.float64]]]:
    """Greedy non-maximum suppression within each class: (class, score, box), best first."""
    kept: list[tuple[int, float, NDArray[np.float64]]] = []
    for label in np.unique(np.nonzero(scores >= floor)[1]):
        at = np.flatnonzero(scores[:, label] >= floor)
        at = at[np.argsort(-scores[at, label], kind="stable")]
        while len(at):
            best, at = at[0], at[1:]
            kept.append((int(label), float(scores[best, label]), boxes[best]))
            at = at[_overlap(boxes[best], boxes[at]) < _OVERLAP]
    return sorted(kept, key=lambda k: -k[1])


def _overlap(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box with others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    overlap: NDArray[np.float64] = shared / np.maximum(areas - shared, 1e-9)
    return overlap
