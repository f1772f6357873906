"""``probe sinks``: where a prompt's sink tokens are, and which gather one modality or both (crossmodal-hub §3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avcurate.attention.hidden import Decoder
from avcurate.attention.kinds import WRITTEN, Kind
from avcurate.attention.locate import members
from avcurate.attention.plan import Plan
from avcurate.attention.read import Columns
from avcurate.attention.sinks import SinkOptions, Sinks, find_sinks, rule_for
from avcurate.errors import RowError, UserError
from avcurate.media.decode import SAMPLE_RATE, DecodedClip
from avcurate.runner.stage import Row
from avcurate.tasks.probe.objects import Objects, sound_blocks, video_cells
from avcurate.tasks.probe.reading import Reading
from avcurate.tasks.probe.stage import ProbeStage

MEDIA = {Kind.AUDIO: "audio", Kind.VIDEO: "video"}
QUERIES = (Kind.VIDEO, Kind.AUDIO, Kind.START, *WRITTEN)


def refuse_separate(interleaved: bool, what: str) -> None:
    """Refuse the layout in which tokens of the first modality never see the other.

    Raises:
        UserError: audio is not sent inside the video item.
    """
    if not interleaved:
        raise UserError(
            f"{what} needs sound inside the video item: where all video tokens stand before all audio tokens, no video "
            "token can have heard anything, and its effect is zero whatever the model does.",
            "Use layout: interleaved (--interleaved).",
        )


def sinks_of(reading: Reading, decoder: Decoder, options: SinkOptions, model_type: str) -> tuple[Sinks, Tensor]:
    """Sinks of the prompt of a response that is read again, and what attention the response pays each of its L tokens.

    The attention is the mean over heads, layers and the response's tokens: float32 (L,).
    """
    reader = Columns(_without_last(reading.plain_kinds), QUERIES)
    with decoder.inputs() as states:
        reading.logits(Plan(readers=[reader]))
    prompt = reading.prompt
    inputs = torch.stack([s[0, :prompt] for s in states])
    sums = torch.stack([reader.sums[i][0, :, :prompt] for i in sorted(reader.sums)])
    rule = rule_for(inputs, model_type, options)
    found = find_sinks(inputs, reading.plain_kinds[0, :prompt], sums[:, :2], reader.later[0, :2, :prompt], rule)
    return found, sums[:, 2:].sum(1).mean(0) / max(1, len(reading.tokens))


def _without_last(kinds: Tensor) -> Tensor:
    """The last token of a response predicts nothing."""
    kinds = kinds.clone()
    kinds[:, -1] = int(Kind.PAD)
    return kinds


class SinksStage(ProbeStage):
    """Sinks of each prompt, their modality scores and groups, and what attention the response pays them."""

    probe = "sinks"

    def __init__(self, *arguments: Any, sinks: SinkOptions, objects: Path | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.objects = None if objects is None else Objects(objects)
        refuse_separate(self.spec.interleaved, "probe sinks")
        self.sinks = sinks

    def depends(self) -> dict[str, Any]:
        """How sinks are found."""
        return self.sinks.identity() | ({} if self.objects is None else self.objects.identity())

    def setup(self) -> None:
        """Find the decoder's layers."""
        super().setup()
        self.decoder = Decoder(self.model.model)

    def examine(self, row: Row, clip: DecodedClip) -> list[dict[str, Any]]:
        """One entry per condition."""
        entries = []
        for answered in self.answers(row, clip):
            kind = str(self.model.model.config.model_type)
            reading = self.reading(answered)
            found, response = sinks_of(reading, self.decoder, self.sinks, kind)
            things = object_tokens(self.objects, row, clip, reading)["objects"]
            entries.append(answered.row() | described(found, response, things) | {"grid": list(grid_of(reading))})
        return entries


def places_of(kinds: Tensor) -> dict[int, float]:
    """Where each media token stands among those of its modality, in [0, 1): by position."""
    places: dict[int, float] = {}
    for kind in MEDIA:
        positions = members(kinds, (kind,)).nonzero()[:, 0].tolist()
        places |= {p: i / len(positions) for i, p in enumerate(positions)}
    return places


def grid_of(reading: Reading) -> tuple[int, int, int]:
    """Pairs of frames, rows and columns of the prompt's video tokens."""
    pairs, height, width = reading.inputs["video_grid_thw"][0].tolist()
    merge = int(reading.omni.engine.model.config.vision_config.spatial_merge_size)
    return pairs, height // merge, width // merge


def object_tokens(objects: Objects | None, row: Row, clip: DecodedClip, reading: Reading) -> dict[str, frozenset[int]]:
    """Positions of ``seen``, ``heard`` and both (``objects``) in a prompt; none where nothing is known of the clip.

    Raises:
        RowError: ``tokens_differ``: the prompt has not one token for each cell of the picture's grid.
    """
    located = None if objects is None else objects.of(row["media"], clip.duration)
    if located is None:
        return dict.fromkeys(("objects", "seen", "heard"), frozenset())
    kinds = reading.plain_kinds[0, : reading.prompt]
    at = {k: members(kinds, (k,)).nonzero()[:, 0].cpu().numpy() for k in MEDIA}
    cells = video_cells(located, grid_of(reading), reading.request.fps)
    if len(cells) != len(at[Kind.VIDEO]):
        raise RowError(
            "tokens_differ",
            f"the grid has {len(cells)} cells, the prompt {len(at[Kind.VIDEO])} video tokens.",
            "Leave --objects out for this model.",
        )
    audio = reading.request.audio
    heard_seconds = 0.0 if audio is None else len(audio) / SAMPLE_RATE
    blocks = sound_blocks(located, len(at[Kind.AUDIO]), heard_seconds)
    seen, heard = (frozenset(at[k][chosen].tolist()) for k, chosen in ((Kind.VIDEO, cells), (Kind.AUDIO, blocks)))
    return {"objects": seen | heard, "seen": seen, "heard": heard}


def described(found: Sinks, response: Tensor, things: frozenset[int] = frozenset()) -> dict[str, Any]:
    """Columns of one prompt's sinks; ``things``: positions of object tokens."""
    places = places_of(found.kinds)

    def mass(positions: Sequence[int]) -> float:
        return float(response[list(positions)].sum()) if positions else 0.0

    media = members(found.kinds, tuple(MEDIA)).nonzero()[:, 0].tolist()
    return {
        "dims": list(found.rule.dims),
        "tau": found.rule.tau,
        "length": len(found.kinds),
        "places": found.places,
        "media": {name: int((found.kinds == kind).sum()) for kind, name in MEDIA.items()},
        "sinks": [
            {
                "position": p,
                "place": places[p],
                "of": MEDIA[Kind(int(found.kinds[p]))],
                "group": "uni" if p in found.uni else "cross",
                "layers": int(found.layers[p]),
                "peak": float(found.peak[p]),
                "mds": float(found.mds[p]),
                "attention": float(response[p]),
                "object": p in things,
            }
            for p in found.chosen
        ],
        "to_media": mass(media),
        "to_uni": mass(sorted(found.uni)),
        "to_cross": mass(sorted(found.cross)),
        "objects": len(things),
        "to_objects": mass(sorted(things)),
    }
