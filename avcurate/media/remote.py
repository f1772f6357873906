"""Folders of clips behind an address (``s3://bucket/clips``, ``hf://datasets/…``): each clip fetched once, when needed.

A local folder stands for the address, and its path says which one: ``CACHE/s3/bucket/clips``. So paths, runs and
replicas on other machines mean the same; a clip that is not there yet is fetched by whoever opens it first. Decoders
still open local files only. Through fsspec (the extra ``remote``; ``s3://`` wants ``s3fs``, ``hf://`` huggingface_hub).
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from avcurate.errors import MediaError, UserError
from avcurate.store.atomic import write_atomic

SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "hf", "http", "https", "sftp", "memory")
# as a path it has lost a slash
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/+(.+)")
_TRIES = 4
_WAIT_S = 0.5


def cache_folder() -> Path:
    """Where fetched clips are; ``AVCURATE_MEDIA_CACHE`` names another place. Nothing in it is ever removed."""
    named = os.environ.get("AVCURATE_MEDIA_CACHE")
    return Path(named) if named else Path.home() / ".cache/avcurate/media"


def local_folder(value: Any) -> Any:
    """The folder that stands for an address; anything else as it is."""
    match = _ADDRESS.fullmatch(os.fspath(value)) if isinstance(value, str | Path) else None
    if match is None:
        return value
    scheme, rest = match.groups()
    parts = [p for p in rest.split("/") if p]
    if any(p in (".", "..") for p in parts):
        raise ValueError(f"{value}: an address has no '..' in it")
    if "@" in parts[0]:
        raise ValueError("an address holds no name or password: it would be written into the run")
    return cache_folder().joinpath(scheme, *parts)


def address_of(path: Path) -> str | None:
    """The address that a local path stands for; ``None``: it is simply local."""
    try:
        scheme, *rest = path.absolute().relative_to(cache_folder().absolute()).parts
    except ValueError:
        return None
    return f"{scheme}://{'/'.join(rest)}" if scheme in SCHEMES and rest else None


def names_in(root: Path) -> frozenset[str] | None:
    """Names of all files behind the address that a folder stands for, relative to it; ``None``: it is simply local.

    Raises:
        UserError: it cannot be listed, or holds nothing.
    """
    address = address_of(root)
    return None if address is None else _listed(address)


@cache
def _listed(address: str) -> frozenset[str]:
    import fsspec.core  # type: ignore[import-untyped]

    try:
        system, path = fsspec.core.url_to_fs(address)
        found = system.find(path)
    except (ImportError, ValueError) as e:
        raise UserError(f"{address} cannot be opened: {e}", "Install it: pip install 'avcurate[remote]'.") from None
    except Exception as e:
        # each of these systems has errors of its own
        raise UserError(
            f"{address} cannot be listed: {type(e).__name__}: {str(e)[:300]}", "Check the address and your credentials."
        ) from None
    names = frozenset(f[len(path.rstrip("/")) + 1 :] for f in found if f.startswith(path.rstrip("/") + "/"))
    if not names:
        raise UserError(f"{address} holds no files.", "Give the folder of the clips with --media.")
    return names


def ensure(path: Path, max_bytes: int) -> None:
    """Fetch a clip that is not there yet, of up to so many bytes.

    Raises:
        MediaError: ``media_missing``, ``media_too_large``, or ``media_unreachable`` after several tries.
    """
    address = address_of(path)
    if address is None or path.exists():
        return
    try:
        _fetch(address, path, max_bytes)
    except MediaError:
        raise
    except FileNotFoundError:
        raise MediaError("media_missing", f"{address} does not exist.", "Check --media and the clips' names.") from None
    except Exception as e:
        raise MediaError(
            "media_unreachable",
            f"{address} could not be fetched: {type(e).__name__}: {str(e)[:300]}",
            "Run the same command again with --retry media_unreachable.",
        ) from None


def _fetch(address: str, path: Path, max_bytes: int) -> None:
    import fsspec
    import tenacity

    def write(partial: Path) -> None:
        with fsspec.open(address, "rb") as far, partial.open("wb") as near:
            left = max_bytes
            while piece := far.read(1 << 20):
                left -= len(piece)
                if left < 0:
                    raise MediaError(
                        "media_too_large",
                        f"{address} has more than {max_bytes} bytes.",
                        "Cut the clip, or raise media.max_bytes in the recipe.",
                    )
                near.write(piece)

    tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_random_exponential(_WAIT_S, max=20),
        retry=tenacity.retry_if_not_exception_type((FileNotFoundError, ImportError, ValueError, MediaError)),
        reraise=True,
    )(write_atomic, path, write)
