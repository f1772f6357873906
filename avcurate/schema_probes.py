"""The columns that probes add: one row per question, one entry for each response that was read."""

from __future__ import annotations

import pyarrow as pa

from avcurate.columns import Column

ENGINE = Column("engine", pa.string(), "Engine and model that was read.")
_FLOATS = pa.list_(pa.float32())
_PER_LAYER = pa.list_(_FLOATS)
_BY_KIND = pa.list_(_PER_LAYER)
_ANSWERED = [
    ("condition", pa.string()),
    ("text", pa.string()),
    ("answer", pa.string()),
    ("correct", pa.bool_()),
]
_TOKENS = [("tokens", pa.list_(pa.string()))]


def _responses(about: str, *fields: tuple[str, pa.DataType]) -> tuple[Column, ...]:
    return ENGINE, Column("probed", pa.list_(pa.struct([*_ANSWERED, *fields])), about)


PROBES: dict[str, tuple[Column, ...]] = {
    "attention": _responses(
        "Per response: its tokens; the kind of each; and, for the query that predicts each token, the share of "
        "attention to each kind of key by layer, mean and maximum over heads; by head, from each kind of query. "
        "Kinds are numbered as in avcurate.attention.kinds.",
        *_TOKENS,
        ("kinds", pa.list_(pa.int8())),
        ("layers", pa.list_(pa.int16())),
        ("mean", _BY_KIND),
        ("peak", _BY_KIND),
        ("heads", _BY_KIND),
    ),
    "knockout": _responses(
        "Per cut and window of layers: the response under it, the mean log-probability per token that it gives to "
        "the response without it (without), and the same without any cut (whole).",
        ("cut", pa.string()),
        ("first", pa.int16()),
        ("end", pa.int16()),
        ("without", pa.float64()),
        ("whole", pa.float64()),
        ("changed", pa.bool_()),
    ),
    "lens": _responses(
        "Per response: likeliest tokens decoded at sound, at picture and at each token of the response, by layer; "
        "and each concept, by layer whether its first token is among the likeliest at any position.",
        ("layers", pa.list_(pa.int16())),
        *_TOKENS,
        ("at_audio", pa.list_(pa.list_(pa.string()))),
        ("at_video", pa.list_(pa.list_(pa.string()))),
        ("at_response", pa.list_(pa.list_(pa.string()))),
        (
            "concepts",
            pa.list_(
                pa.struct(
                    [
                        ("concept", pa.string()),
                        ("of", pa.string()),
                        ("present", pa.bool_()),
                        ("said", pa.bool_()),
                        ("in_audio", pa.list_(pa.bool_())),
                        ("in_video", pa.list_(pa.bool_())),
                    ]
                )
            ),
        ),
    ),
    "shift": _responses(
        "Per response and token: KL divergence from the base model in nats, rank that the base gives the token "
        "(1: its likeliest), and the part of speech of its word, if a tagger is installed.",
        *_TOKENS,
        ("kl", _FLOATS),
        ("rank", pa.list_(pa.int32())),
        ("speech", pa.list_(pa.string())),
    ),
    "entropy": _responses(
        "Per response and token: entropy with and without the modality in nats, and the part of speech of its word, "
        "if a tagger is installed.",
        *_TOKENS,
        ("entropy", _FLOATS),
        ("without", _FLOATS),
        ("speech", pa.list_(pa.string())),
    ),
    "preference": _responses(
        "What sound alone and picture alone answer; by layer the margin of the first over the second, logits, where "
        "the answer is predicted; and which of them the answer to both follows.",
        ("audio_says", pa.string()),
        ("video_says", pa.string()),
        ("follows", pa.string()),
        ("margin", _FLOATS),
    ),
    "masking": _responses(
        "Per way of choosing and share of the sound silenced: the answer then. `draw` numbers the random choices.",
        ("way", pa.string()),
        ("share", pa.float32()),
        ("draw", pa.int16()),
        ("seconds", pa.float32()),
    ),
    "sinks": _responses(
        "Per response: how sinks were found (dims, tau), tokens of the prompt and of each modality, how many places "
        "sinks of any kind took; each sink among the media: position in the prompt and among its modality's tokens "
        "(place, 0 to 1), group (uni- or cross-modal), in how many layers it is one, largest value, modality score "
        "(mds, -1 sound to 1 picture), attention of the response, whether something known is there "
        "(object); what the response pays media and each group; object tokens and what they are paid; the grid of "
        "the video tokens: pairs of frames, rows, columns.",
        ("dims", pa.list_(pa.int32())),
        ("tau", pa.float64()),
        ("length", pa.int32()),
        ("places", pa.int32()),
        ("media", pa.struct([("audio", pa.int32()), ("video", pa.int32())])),
        (
            "sinks",
            pa.list_(
                pa.struct(
                    [
                        ("position", pa.int32()),
                        ("place", pa.float32()),
                        ("of", pa.string()),
                        ("group", pa.string()),
                        ("layers", pa.int16()),
                        ("peak", pa.float32()),
                        ("mds", pa.float32()),
                        ("attention", pa.float32()),
                        ("object", pa.bool_()),
                    ]
                )
            ),
        ),
        ("to_media", pa.float64()),
        ("to_uni", pa.float64()),
        ("to_cross", pa.float64()),
        ("objects", pa.int32()),
        ("to_objects", pa.float64()),
        ("grid", pa.list_(pa.int32())),
    ),
    "trace": _responses(
        "Per token set and window of layers: the answer with clean states there. Probabilities are pairs: of the clean "
        "run's answer and of the corrupted run's, in the clean run (whole), in the corrupted one (broken), and in the "
        "corrupted one with the patch (restored). The set `each` holds blocks of tokens patched one by one.",
        ("set", pa.string()),
        ("first", pa.int16()),
        ("end", pa.int16()),
        ("patched", pa.int32()),
        ("corrupted", pa.string()),
        ("whole", pa.list_(pa.float64())),
        ("broken", pa.list_(pa.float64())),
        ("restored", pa.list_(pa.float64())),
        (
            "tokens",
            pa.list_(
                pa.struct(
                    [
                        ("positions", pa.list_(pa.int32())),
                        ("groups", pa.list_(pa.string())),
                        ("restored", pa.list_(pa.float64())),
                    ]
                )
            ),
        ),
    ),
}
"""Columns of each probe's stage, ``probe_<name>``."""
