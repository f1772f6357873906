"""What a checkpoint's files say: its folder, its family, and how media are fed to it.

Knows folders and configuration files; loads no weights.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from avcurate.engines.base import Request
from avcurate.errors import UserError
from avcurate.families import FAMILIES
from avcurate.families.base import Description, Family
from avcurate.families.tokens import MediaTokens
from avcurate.recipe import ModelSpec
from avcurate.store.atomic import write_text
from avcurate.store.digest import file_digest

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent.parent / "demo" / "checkpoint"
SHIPPED = {
    EMBEDDED: EMBEDDED_FOLDER,
    "embedded-hard": EMBEDDED_FOLDER.with_name("checkpoint-hard"),
    "embedded-judge": EMBEDDED_FOLDER.with_name("judge"),
}
_OUT_OF_REACH: set[tuple[str, str | None]] = set()
_MEDIA = ("audio", "vision", "image", "video", "thinker", "sound")


@dataclass(frozen=True)
class Checkpoint:
    """A model by name or folder, at a revision; of its configuration's family, or the named one if that is unknown."""

    model: str
    revision: str | None = None
    named_family: str | None = None

    @classmethod
    def of(cls, spec: ModelSpec) -> Checkpoint:
        """The checkpoint that a recipe names."""
        return cls(spec.model, spec.revision, spec.family)

    @cached_property
    def folder(self) -> Path | None:
        """Local folder, or ``None`` for a name on the model hub."""
        if self.model in SHIPPED:
            return SHIPPED[self.model]
        local = Path(self.model).expanduser()
        if local.is_dir():
            return local
        if local.is_absolute() or self.model.startswith("."):
            raise UserError(f"the model folder {self.model} does not exist.", "Check --model.")
        return None

    @property
    def path(self) -> str:
        """What to pass to ``from_pretrained``."""
        return str(self.folder or self.model)

    @cached_property
    def commit(self) -> str | None:
        """The hub's commit, which stands for the bytes of every file; ``None`` for a folder, or where unknown.

        The local cache's where the revision is there, so that a run without network is the same run.
        """
        return None if self.folder is not None else _commit(self.model, self.revision)

    @property
    def longest_context(self) -> int | None:
        """Positions of the text decoder, tokens; ``None`` where the configuration does not say."""
        thinker = self.config.get("thinker_config", self.config)
        longest = (thinker.get("text_config") or thinker).get("max_position_embeddings")
        return longest if isinstance(longest, int) else None

    @property
    def pinned(self) -> str | None:
        """The revision to load: the commit that the identity names, even if the branch moves on meanwhile."""
        return self.commit or self.revision

    def blobs(self) -> dict[str, str]:
        """Recorded hashes of the hub's files in the local cache: SHA-256 of large ones, Git's of small ones."""
        if self.commit is None:
            return {}
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.model, "config.json", revision=self.commit)
        if not isinstance(found, str):
            return {}
        files = sorted(Path(found).parent.iterdir())
        return {f.name: f.resolve().name for f in files if f.suffix in (".json", ".safetensors", ".jinja")}

    def _json(self, name: str) -> dict[str, Any]:
        if self.folder is not None:
            return _load_json(self.folder / name)
        return _from_hub(self.model, self.pinned, name)

    @cached_property
    def config(self) -> dict[str, Any]:
        """``config.json``; empty where it cannot be read."""
        return self._json("config.json")

    @property
    def model_type(self) -> str:
        """The configuration's model type; the whole omni model's even where only its thinker is stored."""
        stated = str(self.config.get("model_type", "")).removesuffix("_thinker")
        return stated if stated in FAMILIES else self.named_family or stated

    @cached_property
    def family(self) -> Family | None:
        """The family file of its model type; ``None`` where there is none, or the configuration cannot be read."""
        if self.model_type not in FAMILIES:
            return None
        processor = self._json("processor_config.json")
        extractor = self._json("preprocessor_config.json") | processor.get("feature_extractor", {})
        frames = self._json("video_preprocessor_config.json") | processor.get("video_processor", {})
        return FAMILIES.get(self.model_type)(Description(self.config, extractor, self.profile, frames))

    def family_in(self, engine: str) -> Family:
        """The family, in an engine that can run it.

        Raises:
            UserError: the model's type is not known, or its family cannot run there.
        """
        if self.family is None and not self.model_type:
            where = (
                f"there is no config.json that can be read in {self.folder}"
                if self.folder is not None
                else f"{self.model} is neither in the local cache nor could it be fetched from the model hub"
            )
            raise UserError(f"{where}.", "Check --model and the network, or fetch the model with `hf download`.")
        if self.family is None:
            raise UserError(
                f"{self.model} is of type {self.model_type!r}; known are {', '.join(FAMILIES.names())}.",
                "A package of your own can add it (`avcurate plugins`), or name the family of a server's model with "
                "--family.",
            )
        if engine in self.family.not_in:
            raise UserError(
                f"{self.family.about} cannot run in the {engine} engine: {self.family.not_in[engine]}.",
                "docs/models.md lists what each family can do.",
            )
        return self.family

    @property
    def reads_text_alone(self) -> bool:
        """Whether it is a causal language model whose configuration mentions neither sound nor picture."""
        named = any(word in key for key in self.config for word in _MEDIA)
        causal = any(str(a).endswith("ForCausalLM") for a in self.config.get("architectures") or ())
        return causal and not named and self.family is None

    @cached_property
    def profile(self) -> dict[str, Any]:
        """``avcurate.json`` of the checkpoint: how media are fed to it. Only ours have one."""
        return self._json("avcurate.json")

    @cached_property
    def special_tokens(self) -> frozenset[str]:
        """Special tokens of its tokenizer, and those known for its family in case it cannot be read."""
        listed = self._json("tokenizer.json").get("added_tokens", [])
        listed += list(self._json("tokenizer_config.json").get("added_tokens_decoder", {}).values())
        special = {t["content"] for t in listed if isinstance(t, dict) and t.get("special") and t.get("content")}
        return frozenset(special) | (self.family.special_tokens if self.family else frozenset())

    @cached_property
    def never_sampled(self) -> list[int]:
        """Token ids that no response may hold: placeholders of media and their marks; empty where unknown."""
        if self.family is None:
            return []
        return sorted(MediaTokens.of(self.family.description.thinker, self.family).never_sampled)

    def media_tokens(self, request: Request) -> tuple[int, int] | None:
        """(audio tokens, video tokens) a request must cost, independent of any engine's code; ``None``: unknown."""
        if self.family is None:
            return None
        audio = 0 if request.audio is None else self.family.audio_tokens(len(self.family.whole(request.audio)))
        video = 0
        if request.frames is not None:
            count, height, width = request.frames.shape[:3]
            video = self.family.video_tokens(count, height, width)  # type: ignore[assignment]
        return None if audio is None or video is None else (audio, video)

    def identity(self) -> dict[str, Any]:
        """Name, revision and commit, or for a folder a hash of its weights and configuration; and the family file."""
        family = {} if self.family is None else {"family": f"{self.family.name}@{self.family.version}"}
        if self.folder is None:
            which = {"commit": self.commit} if self.commit else {"revision": self.revision}
            return {"model": self.model, **which, **family}
        digest = hashlib.sha256()
        for pattern in ("*.json", "*.jinja", "*.safetensors"):
            for file in sorted(self.folder.glob(pattern)):
                digest.update(f"{file.name}\0{file_digest(file)}\n".encode())
        return {"model": self.model, "content": digest.hexdigest()[:16], **family}


def _commit(model: str, revision: str | None) -> str | None:
    try:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.file_download import repo_folder_name
    except ImportError:
        return None
    wanted = revision or "main"
    if re.fullmatch(r"[0-9a-f]{40}", wanted):
        return wanted
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model")
    with suppress(OSError, ValueError):
        return (folder / "refs" / wanted).read_text("utf-8").strip()
    if constants.HF_HUB_OFFLINE or (model, revision) in _OUT_OF_REACH:
        return None
    try:
        commit = str(HfApi().model_info(model, revision=revision, timeout=20).sha)
        # as the hub's own library does, so that a later run without network is the same run
        write_text(folder / "refs" / wanted, commit)
        return commit
    except Exception:
        _OUT_OF_REACH.add((model, revision))
        return None


def _from_hub(model: str, revision: str | None, name: str) -> dict[str, Any]:
    """A file of the model hub, from the local cache if it is there; empty where it cannot be had."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError:
        return {}
    for cached in (True, False):
        if not cached and (model, revision) in _OUT_OF_REACH:
            break
        try:
            return _load_json(Path(hf_hub_download(model, name, revision=revision, local_files_only=cached)))
        except LocalEntryNotFoundError:
            if not cached:
                _OUT_OF_REACH.add((model, revision))
        except EntryNotFoundError:
            return {}
        except Exception:
            # the library tries for half a minute before it gives up: once is enough
            _OUT_OF_REACH.add((model, revision))
    return {}


def _load_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
