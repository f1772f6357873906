"""Names in annotations to files in the media folder, and to nothing outside it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from avcurate.errors import MediaError, UserError
from avcurate.media.remote import names_in

SUFFIXES = (
    "",
    ".mp4",
    ".mkv",
    ".webm",
    ".avi",
    ".mov",
    ".m4v",
    ".flv",
    ".wmv",
    ".mpg",
    ".ts",
    ".wav",
    ".mp3",
    ".flac",
    ".ogg",
    ".opus",
    ".m4a",
    ".aac",
)
REFUSED = (".m3u8", ".m3u", ".pls", ".xspf", ".ffconcat", ".concat", ".mpd", ".sdp", ".strm", ".cue", ".txt")


class MediaFolder:
    """The folder of a run's clips.

    Args:
        root: folder that names are relative to.
        pattern: how a name becomes a file name, e.g. ``{name}_video.mp4``; ``None`` tries common endings.
    """

    def __init__(self, root: Path, pattern: str | None = None) -> None:
        self._far = names_in(root)
        if self._far is None and not root.is_dir():
            raise UserError(f"the media folder {root} does not exist.", "Give the folder of the clips with --media.")
        if pattern is not None and "{name}" not in pattern:
            raise UserError(f"the media pattern {pattern!r} has no {{name}}.", "For example: '{name}_video.mp4'.")
        self.root = root
        self.pattern = pattern

    def identity(self) -> dict[str, str]:
        """How names become files; the folder's location is left out, since folders move."""
        return {"media_pattern": self.pattern or ""}

    def find(self, name: str) -> str:
        """Path of a clip, relative to the folder.

        Raises:
            MediaError: ``media_name_refused`` for a URL, a protocol, a playlist, an absolute path or one
                that leaves the folder; ``media_missing`` where no file has the name.
        """
        relative = self.pattern.replace("{name}", name) if self.pattern else name
        refuse_name(relative)
        for suffix in SUFFIXES if self.pattern is None else ("",):
            # one name per file
            candidate = PurePosixPath(relative + suffix).as_posix()
            try:
                exists = candidate in self._far if self._far is not None else (self.root / candidate).is_file()
            except (OSError, ValueError):
                exists = False
            if exists:
                refuse_name(candidate)
                return candidate
        raise MediaError(
            "media_missing",
            f"no file for {name[:200]!r} in {self.root}.",
            "Put the clip there, or map names to files with --media-pattern '{name}.mp4'.",
        )


def refuse_name(name: str) -> None:
    """Refuse a name that cannot be a clip inside a media folder.

    Raises:
        MediaError: ``media_name_refused``.
    """
    path = PurePosixPath(name)
    fault = ""
    if not name.strip() or "\x00" in name or len(name) > 1000:
        fault = "is empty, too long or holds a null byte"
    elif path.is_absolute() or ".." in path.parts or "\\" in name:
        fault = "leaves the media folder"
    elif ":" in name.split("/")[0] and name.split(":", 1)[0].isalnum():
        fault = "names a protocol"
    elif path.suffix.lower() in REFUSED:
        fault = "is a playlist or script, not a clip"
    if fault:
        raise MediaError(
            "media_name_refused", f"the media name {name[:200]!r} {fault}.", "Clips are files inside --media."
        )
