"""Object detectors behind one interface: frames in, labelled boxes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avcurate.engines.loading import loading
from avcurate.errors import UserError

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """One object in one frame: its class, its score in (0, 1], its box (x0, y0, x1, y1) in pixels."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class Detector(ABC):
    """A model that detects objects."""

    name: str

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What detections depend on."""

    @abstractmethod
    def setup(self) -> None:
        """Load the weights.

        Raises:
            UserError: they cannot be loaded; the hint says how to get them.
        """

    @abstractmethod
    def detect(self, frames: list[Frame], floor: float) -> list[list[Detection]]:
        """Objects of each frame with a score of at least ``floor``, best first.

        Args:
            frames: uint8 (H, W, 3) RGB, any sizes.
            floor: minimum score kept; the actual threshold is applied later to what is stored.
        """


class DetrDetector(Detector):
    """DETR, or any ``AutoModelForObjectDetection``, by name or folder; safetensors only, no remote code.

    ``folder`` is where a model that ships with the package lies."""

    def __init__(
        self, model: str = "facebook/detr-resnet-50", revision: str | None = None, folder: Path | None = None
    ) -> None:
        self.name = model
        self.revision = revision
        self._place = model if folder is None else str(folder)

    def identity(self) -> dict[str, Any]:
        """Model and revision."""
        return {"detector": "transformers", "model": self.name, "revision": self.revision}

    def setup(self) -> None:
        """Load processor and weights."""
        try:
            import torch
            import transformers

            import avcurate.engines.torchvision_cpu  # noqa: F401
        except ImportError as e:
            raise UserError(
                f"the detector needs {e.name}.", "Install it: pip install 'avcurate[transformers,objects]'."
            ) from None
        transformers.logging.disable_progress_bar()
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        options = {"revision": self.revision, "trust_remote_code": False}
        hint = (
            "Give a folder or the name of an object detection model; facebook/detr-resnet-50 without timm is its "
            "revision no_timm."
        )
        with loading(f"the detector {self.name}", hint):
            self._processor = transformers.AutoImageProcessor.from_pretrained(self._place, **options)
            model = transformers.AutoModelForObjectDetection.from_pretrained(
                self._place, use_safetensors=True, **options
            )
        self._model = model.to(self._device).eval()
        self._labels: dict[int, str] = {int(k): v for k, v in model.config.id2label.items()}

    def detect(self, frames: list[Frame], floor: float) -> list[list[Detection]]:
        """One forward pass over all frames; slots without a class ("N/A") are left out."""
        torch = self._torch
        inputs = self._processor(images=list(frames), return_tensors="pt").to(self._device)
        with torch.inference_mode():
            outputs = self._model(**inputs)
        sizes = torch.tensor([f.shape[:2] for f in frames], device=self._device)
        results = self._processor.post_process_object_detection(outputs, threshold=floor, target_sizes=sizes)
        return [self._sorted(r) for r in results]

    def _sorted(self, result: dict[str, Any]) -> list[Detection]:
        detections = [
            Detection(self._labels[int(i)], float(s), tuple(float(x) for x in box))  # type: ignore[arg-type]
            for i, s, box in zip(result["labels"], result["scores"], result["boxes"], strict=True)
            if self._labels.get(int(i), "N/A") != "N/A"
        ]
        return sorted(detections, key=lambda d: -d.score)
