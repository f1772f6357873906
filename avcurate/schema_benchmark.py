"""The columns of a hallucination benchmark: evidence by clip, what can be seen and heard of it, items, their files."""

from __future__ import annotations

import pyarrow as pa

from avcurate.columns import Column

_NAMES = pa.list_(pa.string())
_EVENTS = pa.list_(pa.struct([("name", pa.string()), ("start", pa.float64()), ("end", pa.float64())]))
_LEVELS = pa.list_(pa.float32())

EVIDENCE: tuple[Column, ...] = (
    Column("clip", pa.string(), "The clip's name."),
    Column("row", pa.int64(), "1-based number of its (first) record."),
    Column("records", pa.list_(pa.int64()), "Numbers of all its records."),
    Column("source", pa.string(), "The video the clip is cut from."),
    Column("heard", _NAMES, "What is heard."),
    Column("seen", _NAMES, "What is seen."),
    Column("not_heard", _NAMES, "What certainly is not heard."),
    Column("not_seen", _NAMES, "What certainly is not seen."),
    Column("exhaustive", pa.string(), "Modalities whose lists are complete: audio, video, both, or empty."),
    Column("audio_captions", _NAMES, "Captions of the sound."),
    Column("video_captions", _NAMES, "Captions of the picture."),
    Column("events", _EVENTS, "What sounds when, seconds."),
    Column("synchronised", pa.bool_(), "Whether sound and picture visibly belong together in time."),
)

CLIP_FACTS: tuple[Column, ...] = (
    Column("media", pa.string(), "Media file, relative to the media folder; null where none was given."),
    Column("media_sha256", pa.string(), "SHA-256 of that file."),
    Column("seconds", pa.float64(), "Length of its picture; null without a file."),
    Column("level_db", _LEVELS, "RMS of the sound in each half second, dB of full scale."),
    Column("motion", _LEVELS, "Mean change between frames in each half second, grey levels."),
    Column("light", _LEVELS, "Mean grey level in each half second."),
    Column("fingerprint", pa.list_(pa.uint32()), "Acoustic fingerprint of the sound, 32 bits for every 16 ms."),
)

ITEM: tuple[Column, ...] = (
    Column("item_id", pa.string(), "Hash of clip, edit and question; 16 hex digits."),
    Column("row", pa.int64(), "Record of the clip."),
    Column("clip", pa.string(), "Name of the clip."),
    Column("media", pa.string(), "Its file, relative to the media folder; null without media."),
    Column("media_sha256", pa.string(), "SHA-256 of that file."),
    Column("donor", pa.string(), "Clip whose sound or picture is used; null: none."),
    Column("donor_media", pa.string(), "The file of that clip."),
    Column("donor_sha256", pa.string(), "SHA-256 of that file."),
    Column("edit", pa.string(), "What is done to the clip: plain, a twin, or a counterfactual edit."),
    Column("edit_spec", pa.string(), "The edit with its values, JSON."),
    Column("pair", pa.string(), "Joins the twin and the counterfactual of one question; null for lone questions."),
    Column("side", pa.string(), "twin or counterfactual; null for lone questions."),
    Column("changes", pa.bool_(), "Whether the right answer differs between the two; null for lone questions."),
    Column("task", pa.string(), "visible, audible, match, gap, still, in_step, which_heard, which_seen, order."),
    Column("object", pa.string(), "What is asked about; null if nothing in particular."),
    Column("negative", pa.string(), "For No: how the absent thing was chosen: cross, adversarial, frequent, random."),
    Column("question", pa.string(), "The question as asked."),
    Column("choices", _NAMES, "Choices in order."),
    Column("answer", pa.string(), "The right answer."),
    Column("pem", pa.string(), "Modality that decides: Audio, Visual or Audio-Visual."),
    Column("evidence", pa.string(), "What makes the answer true."),
    Column("by_sound", pa.string(), "The answer that sound alone suggests; null where it suggests none."),
    Column("by_picture", pa.string(), "The answer that the picture alone suggests; null where it suggests none."),
)

MADE_CLIP: tuple[Column, ...] = (
    Column("file", pa.string(), "The clip to show, relative to the benchmark; null without media."),
    Column("file_sha256", pa.string(), "SHA-256 of that file."),
    Column("copied_sha256", pa.string(), "Hash over the packets of the track that was copied unchanged."),
)
