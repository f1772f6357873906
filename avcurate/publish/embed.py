"""Clips as a column of the shards, in the form that `datasets` decodes as Audio or Video."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from avcurate.errors import AvcurateError, UserError
from avcurate.media.extract import extract
from avcurate.media.folder import refuse_name

Embedded = Literal["audio", "video"]
CLIP = "clip"
_KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def with_clips(table: pa.Table, media: Path, kind: Embedded) -> pa.Table:
    """The table with each row's clip (its file) or the sound of it (wav, 16 kHz, the part asked about) as a column.

    Raises:
        UserError: a clip is missing or has no sound, or `datasets` is not installed.
    """
    try:
        import datasets
    except ImportError:
        raise UserError("clips in shards need datasets.", "Install it: pip install 'avcurate[hf]'.") from None
    clips = [_clip(media, row, kind) for row in table.to_pylist()]
    feature = datasets.Audio() if kind == "audio" else datasets.Video()
    features = datasets.Features.from_arrow_schema(table.schema) | {CLIP: feature}
    described = json.dumps({"info": {"features": datasets.Features(features).to_dict()}})
    whole = table.append_column(pa.field(CLIP, _KIND, metadata={"about": "The clip."}), pa.array(clips, _KIND))
    return whole.replace_schema_metadata({**(table.schema.metadata or {}), b"huggingface": described.encode()})


def _clip(media: Path, row: dict[str, Any], kind: Embedded) -> dict[str, Any]:
    try:
        refuse_name(row["media"])
        path = media / row["media"]
        if kind == "video":
            return {"bytes": path.read_bytes(), "path": path.name}
        with tempfile.TemporaryDirectory() as scratch:
            sound = Path(scratch) / f"{row['question_id']}.wav"
            extract(path, sound, "audio", row.get("start"), row.get("end"))
            return {"bytes": sound.read_bytes(), "path": sound.name}
    except (AvcurateError, OSError) as e:
        raise UserError(
            f"the clip of question {row['question_id']} cannot be included: {e}", "Export without media."
        ) from e
