"""What is heard and seen in a clip of the demo world, in words; and what a donor's sound must not say."""

from __future__ import annotations

from avcurate.demo.questions import Draft
from avcurate.demo.world import ORDINALS, Picture, Sound


def hear(sound: Sound) -> str:
    """One sentence on the sound, with all that can be asked of it."""
    if sound.kind == "sequence":
        return ", ".join(f"{o} a {t}" for o, t in zip(ORDINALS, sound.timbres, strict=True))
    rhythm = f", {sound.rhythm}" if sound.rhythm else ""
    return f"a {sound.timbres[0]} sounds {_times(sound.count)}{rhythm}"


def see(picture: Picture) -> str:
    """One sentence on the picture."""
    if picture.kind == "sequence":
        return f"a {picture.shape} moving {picture.motion} turns {', then '.join(picture.colors)}"
    shapes = picture.shape + ("es" if picture.shape == "cross" else "s") if picture.count > 1 else picture.shape
    return f"{picture.count} {picture.colors[0]} {shapes} moving {picture.motion}"


def evidence(draft: Draft, picture: Picture, sound: Sound) -> str | None:
    """Words of the sound's caption that carry a question's answer; ``None`` where the sound does not decide."""
    if draft.type == "timbre":
        return f"a {sound.timbres[0]} sounds"
    if draft.type in ("sound_count", "number"):
        return _times(sound.count)
    if draft.type == "rhythm":
        return sound.rhythm
    if draft.type in ("color_when", "sound_when"):
        slot = picture.colors.index(draft.answer) if draft.type == "color_when" else sound.timbres.index(draft.answer)
        return f"{ORDINALS[slot]} a {sound.timbres[slot]}"
    return None


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"
