"""Counterfactual edits of a clip, each of one modality: the other's packets are copied and their hash compared.

Every edit has a twin that is coded the same way and changed in nothing: ``sound`` for edits of the sound, ``picture``
for edits of the picture, so that no trace of coding tells the two apart.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from avcurate.errors import MediaError
from avcurate.media import child
from avcurate.media.commands import AAC, COPIED, H264, RATE, checked, ending, reading, start, suffix_of
from avcurate.media.probe import Packets, probe, read_packets
from avcurate.media.swap import LENGTH_TOLERANCE, STANDARD_LUFS, SwapSpec, loudness, swap
from avcurate.store.atomic import write_atomic

SoundEdit = Literal["sound", "swap_sound", "mix", "shift", "mute", "exchange_sound"]
PictureEdit = Literal["picture", "swap_picture", "freeze", "black", "blur", "exchange_picture"]
Name = Literal["plain", SoundEdit, PictureEdit]
SOUND_EDITS: tuple[str, ...] = get_args(SoundEdit)
PICTURE_EDITS: tuple[str, ...] = get_args(PictureEdit)
NEEDS_DONOR = ("swap_sound", "swap_picture", "mix")
BLUR_SIGMA = 12


@dataclass(frozen=True)
class Edit:
    """What is done to a clip.

    Attributes:
        name: ``plain`` copies both tracks; the others are named by what they change.
        begin: start of the stretch that is muted, frozen, black or blurred, seconds; end: its end.
        offset: seconds by which the sound comes later; what passes the end comes first.
        level_db: loudness of a second sound relative to the clip's own.
    """

    name: Name
    begin: float = 0.0
    end: float = 0.0
    offset: float = 0.0
    level_db: float = 0.0

    def record(self) -> dict[str, Any]:
        """As JSON, without values that are not used."""
        return {k: v for k, v in asdict(self).items() if k == "name" or v}


def edit_of(record: dict[str, Any]) -> Edit:
    """The edit that :meth:`Edit.record` wrote, from a file that others may have written.

    Raises:
        ValueError: it is none.
    """
    try:
        edit = Edit(**record)
    except TypeError as e:
        raise ValueError(f"{str(record)[:80]} is no edit") from e
    values = (edit.begin, edit.end, edit.offset, edit.level_db)
    numbers = all(isinstance(v, (int, float)) and math.isfinite(v) for v in values)
    if edit.name not in ("plain", *SOUND_EDITS, *PICTURE_EDITS) or not numbers:
        raise ValueError(f"{str(record)[:80]} is no edit")
    return edit


@dataclass(frozen=True)
class Made:
    """An edited clip.

    Attributes:
        seconds: length of the picture.
        copied_sha256: hash over the packets of the track that was copied, the same before and after.
    """

    seconds: float
    copied_sha256: str


def target_suffix(edit: Edit, clip: Path, sound_codec: str) -> str:
    """Ending of the file that an edit of this clip is written to."""
    suffix = suffix_of(clip)
    if edit.name in SOUND_EDITS or suffix == ".mkv":
        return suffix
    return suffix if sound_codec in COPIED[suffix] or not sound_codec else ".mkv"


def make_edit(
    edit: Edit, clip: Path, donor: Path | None, out: Path, spec: SwapSpec, note: dict[str, str], packets: Packets
) -> Made:
    """Write ``out``: the clip, edited.

    Args:
        edit: what is done; clip: to what; donor: with whose sound or picture.
        out: file to write, atomically; its ending is that of :func:`target_suffix`.
        spec: how a donor's sound is fitted; time limit of ffmpeg.
        note: content of the file's ``comment`` tag.
        packets: those of the clip.

    Raises:
        MediaError: every reason of ``probe`` and ``swap``; ``picture_without_video``, ``clip_without_audio``,
            ``donor_without_video``, ``media_corrupt``, ``track_changed``, ``lengths_differ``.
    """
    if not packets.facts.has_video:
        raise MediaError("picture_without_video", f"{clip} has no picture.", "Leave the clip out.")
    if not packets.facts.has_audio and edit.name not in ("plain", "swap_sound"):
        raise MediaError("clip_without_audio", f"{clip} has no sound to keep or to change.", "Leave the clip out.")
    if donor is not None and edit.name in ("mix", "swap_picture"):
        facts = probe(donor, timeout_s=spec.timeout_s)
        if edit.name == "mix" and not facts.has_audio:
            raise MediaError("donor_without_audio", f"{donor} has no sound.", "Choose another donor.")
        if edit.name == "swap_picture" and not facts.has_video:
            raise MediaError("donor_without_video", f"{donor} has no picture.", "Choose another donor.")
    if edit.name in ("sound", "swap_sound"):
        swapped = swap(clip, clip if edit.name == "sound" else donor, out, spec, note)
        return Made(swapped.seconds, swapped.picture_sha256)
    command, seconds = _command(edit, clip, donor, packets, spec)

    def make(partial: Path) -> None:
        checked(clip, child.run([*command, *ending(out, note), f"file:{partial}"], timeout_s=spec.timeout_s))
        after = read_packets(partial, timeout_s=spec.timeout_s)
        for track, before, now in (
            ("picture", packets.picture_sha256, after.picture_sha256),
            ("sound", packets.sound_sha256, after.sound_sha256),
        ):
            if track == _copied(edit) and before != now:
                raise MediaError(
                    "track_changed",
                    f"{clip}: the packets of its {track} cannot be copied into {out.suffix} as they are.",
                    "Remux the clip to mp4 or mkv first.",
                )
        if edit.name != "plain" and abs(after.picture_seconds - seconds) > LENGTH_TOLERANCE + 1 / 5:
            raise MediaError(
                "lengths_differ", f"{clip}: the picture came out {after.picture_seconds:.2f} s long, not {seconds:.2f}."
            )

    write_atomic(out, make)
    kept = packets.picture_sha256 if _copied(edit) == "picture" else packets.sound_sha256
    return Made(seconds, kept)


def _copied(edit: Edit) -> str:
    return "sound" if edit.name in PICTURE_EDITS else "picture"


def _command(edit: Edit, clip: Path, donor: Path | None, packets: Packets, spec: SwapSpec) -> tuple[list[str], float]:
    """The command up to its output, and how long the picture will be."""
    if edit.name == "plain":
        sound = ["-map", "0:a:0"] if packets.facts.has_audio else []
        return [*start(), *reading(clip), "-map", "0:V:0", *sound, "-c", "copy"], packets.picture_seconds
    if edit.name in PICTURE_EDITS:
        return _picture(edit, clip, donor, packets)
    return _sound(edit, clip, donor, packets, spec), packets.picture_seconds


def _sound(edit: Edit, clip: Path, donor: Path | None, packets: Packets, spec: SwapSpec) -> list[str]:
    seconds = packets.picture_seconds
    inputs, graph = reading(clip), f"[0:a:0]aresample={RATE},apad,atrim=0:{seconds:.6f}[own];"
    if edit.name == "mute":
        graph += f"[own]volume=0:enable='between(t,{edit.begin:.3f},{edit.end:.3f})'[new]"
    elif edit.name in ("shift", "exchange_sound"):
        back = seconds - (edit.offset if edit.name == "shift" else seconds / 2)
        graph += (
            f"[own]asplit[x][y];[x]atrim={back:.6f}:{seconds:.6f},asetpts=PTS-STARTPTS[late];"
            f"[y]atrim=0:{back:.6f},asetpts=PTS-STARTPTS[early];[late][early]concat=n=2:v=0:a=1[new]"
        )
    else:
        assert donor is not None
        inputs += ["-stream_loop", "-1", *reading(donor)]
        own, other = loudness(clip, spec), loudness(donor, spec)
        if other == float("-inf"):
            raise MediaError("donor_without_audio", f"{donor} is silent.", "Choose another donor.")
        gain = (own if own != float("-inf") else STANDARD_LUFS) + edit.level_db - other
        graph += (
            f"[1:a:0]aresample={RATE},volume={gain:.3f}dB,atrim=0:{seconds:.6f}[second];"
            "[own][second]amix=inputs=2:duration=first:normalize=0[new]"
        )
    graph += f";[new]alimiter=limit=0.97:level=0,atrim=0:{seconds:.6f}[out]"
    channels = str(max(1, min(2, packets.facts.channels)))
    sound = ["-map", "[out]", *AAC, "-ac", channels]
    return [*start(), *inputs, "-filter_complex", graph, "-map", "0:V:0", "-c:v", "copy", *sound]


def _picture(edit: Edit, clip: Path, donor: Path | None, packets: Packets) -> tuple[list[str], float]:
    seconds, inputs = packets.picture_seconds, reading(clip)
    even = "scale=trunc(iw/2)*2:trunc(ih/2)*2,setsar=1"
    within = f"enable='between(t,{edit.begin:.3f},{edit.end:.3f})'"
    if edit.name == "picture":
        graph = f"[0:V:0]{even}[out]"
    elif edit.name == "black":
        graph = f"[0:V:0]{even},drawbox=w=iw:h=ih:t=fill:c=black:{within}[out]"
    elif edit.name == "blur":
        graph = f"[0:V:0]{even},gblur=sigma={BLUR_SIGMA}:{within}[out]"
    elif edit.name == "freeze":
        graph = (
            f"[0:V:0]{even},split[all][one];"
            f"[one]trim=start={edit.begin:.3f},loop=loop=-1:size=1:start=0,setpts=PTS-STARTPTS[still];"
            f"[all][still]overlay=shortest=1:{within}[out]"
        )
    elif edit.name == "exchange_picture":
        half = seconds / 2
        graph = (
            f"[0:V:0]{even},split[x][y];[x]trim={half:.6f}:{seconds + 1:.6f},setpts=PTS-STARTPTS[late];"
            f"[y]trim=0:{half:.6f},setpts=PTS-STARTPTS[early];[late][early]concat=n=2:v=1[out]"
        )
    else:
        assert donor is not None
        seconds = packets.sound_seconds or seconds
        inputs += ["-stream_loop", "-1", *reading(donor)]
        graph = f"[1:V:0]{even},trim=0:{seconds:.6f},setpts=PTS-STARTPTS[out]"
    coded = ["-map", "[out]", *H264, "-fps_mode", "vfr", "-map", "0:a:0", "-c:a", "copy"]
    return [*start(), *inputs, "-filter_complex", graph, *coded], seconds
