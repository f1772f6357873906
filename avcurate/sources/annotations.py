"""Where annotations come from: a file, or a Hugging Face dataset (``hf:NAME`` or a folder of one)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avcurate.errors import UserError
from avcurate.sources.records import Record, read_records
from avcurate.store.atomic import sha256

HUB = "hf:"
MEDIA_FEATURES = ("Video", "Audio", "Image")


def read_annotations(annotations: Path, *, salvage: bool = False) -> Iterator[Record]:
    """Records of a file, of a dataset folder, or of ``hf:owner/name@split``.

    Raises:
        UserError: the file is missing, or the dataset cannot be loaded.
    """
    return _rows(_load(annotations)) if is_dataset(annotations) else read_records(annotations, salvage=salvage)


def digest(annotations: Path) -> str:
    """Digest that changes when the annotations do.

    Raises:
        UserError: as :func:`read_annotations`.
    """
    if is_dataset(annotations):
        return hashlib.sha256(_load(annotations)._fingerprint.encode()).hexdigest()
    if not annotations.is_file():
        read_records(annotations)
    return sha256(annotations)


def is_dataset(annotations: Path) -> bool:
    """Whether this names a Hugging Face dataset rather than a file."""
    return str(annotations).startswith(HUB) or annotations.is_dir()


def _load(annotations: Path) -> Any:
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{annotations} is a Hugging Face dataset; reading it needs the package datasets.",
            "Install it: pip install 'avcurate[hf]'.",
        ) from None
    name, _, split = str(annotations).removeprefix(HUB).partition("@")
    folder = Path(name)
    try:
        saved = any((folder / f).is_file() for f in ("state.json", "dataset_dict.json"))
        dataset = datasets.load_from_disk(name) if saved else datasets.load_dataset(name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as e:
        raise UserError(
            f"the dataset {name} cannot be loaded: {' '.join(str(e).split())[:400]}",
            "Give hf:owner/name@split, a dataset folder, or an annotation file.",
        ) from None
    if isinstance(dataset, datasets.Dataset):
        return dataset
    splits = sorted(map(str, dataset))
    if not split and len(splits) == 1:
        split = splits[0]
    if split not in splits:
        raise UserError(
            f"the dataset {name} has the splits {', '.join(splits)}" + (f", not {split!r}." if split else "."),
            f"Name one: {HUB}{name}@{splits[0]}.",
        )
    return dataset[split]


def _rows(dataset: Any) -> Iterator[Record]:
    """Rows as they are stored: media columns stay a path, nothing is decoded."""
    import datasets

    for column, feature in dataset.features.items():
        kind = type(feature).__name__
        if kind in MEDIA_FEATURES:
            dataset = dataset.cast_column(column, getattr(datasets, kind)(decode=False))
    for row, value in enumerate(dataset, 1):
        yield Record(row, {k: _path_of(v) for k, v in value.items()})


def _path_of(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"path", "bytes"}:
        return value["path"]
    return value
