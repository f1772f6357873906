"""An exported folder on the Hugging Face Hub, or an endpoint that speaks like it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from avcurate import __version__
from avcurate.errors import UserError
from avcurate.publish.shards import SHARDS, verify_shards

_REPO = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


def publish(
    folder: Path, repo: str, *, public: bool = False, dry_run: bool = False, endpoint: str | None = None
) -> dict[str, Any]:
    """Upload a folder that ``avcurate export`` wrote, as one commit; private unless asked.

    Every file is checked against its checksum first. Large files that an interrupted upload has brought there already
    are recognised by their digest and not sent again; the same command ends it. The token is that of `hf auth login` or
    HF_TOKEN, and is written nowhere.

    Args:
        folder: with ``shards.json``; repo: ``owner/name``.
        public: make a new repository public; one that exists stays as it is.
        dry_run: say what would be sent, and send nothing.
        endpoint: another server than huggingface.co.

    Returns:
        ``repo``, ``files``, ``bytes``, ``private``, and, where something was sent, ``url`` and ``commit``.

    Raises:
        UserError: the folder is damaged, its clips have no stated licence, the server refuses, or a library is missing.
    """
    if not _REPO.fullmatch(repo):
        raise UserError(f"{repo[:60]!r} is not OWNER/NAME.", "For example: avcurate publish shards my-lab/pem-avqa")
    damaged = verify_shards(folder)["damaged"]
    if damaged:
        raise UserError(f"{folder}/{damaged[0]['path']} {damaged[0]['what']}", "Export the run again.")
    facts = json.loads((folder / SHARDS).read_text("utf-8"))
    if facts.get("embedded") and not facts.get("licence"):
        raise UserError(
            "the shards include clips, and nobody stated under which licence they may be shared.",
            "Export again with --licence, e.g. --licence cc-by-4.0, if you have the right to share them.",
        )
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    said: dict[str, Any] = {"repo": repo, "files": len(files), "bytes": sum(p.stat().st_size for p in files)}
    said |= {"private": not public, "dry_run": dry_run}
    if dry_run:
        return said | {"paths": [p.relative_to(folder).as_posix() for p in files]}
    return said | _send(folder, repo, public, endpoint)


def _send(folder: Path, repo: str, public: bool, endpoint: str | None) -> dict[str, Any]:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import LocalTokenNotFoundError
    except ImportError:
        raise UserError("publishing needs huggingface_hub.", "Install it: pip install 'avcurate[hf]'.") from None
    api = HfApi(endpoint=endpoint)
    try:
        api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            commit_message=f"Exported by avcurate {__version__}",
            # data files of an earlier export that this one does not have
            delete_patterns=["data/*"],
        )
    except LocalTokenNotFoundError:
        raise UserError("no token for the Hub was found.", "Log in with `hf auth login`, or set HF_TOKEN.") from None
    except Exception as e:
        # the library passes on whatever its transport raises, wrapped or not
        first = str(e.__cause__ or e).strip().splitlines()
        raise UserError(
            f"{repo} could not be published: {first[0][:300] if first else type(e).__name__}",
            "Check the token's rights and the network; the same command goes on where it stopped.",
        ) from None
    return {"url": str(done.commit_url), "commit": done.oid}
