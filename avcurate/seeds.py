"""Seeds derived from what an item is, never from the order in which it is processed."""

from __future__ import annotations

import hashlib


def derive_seed(*parts: object, bits: int = 31) -> int:
    """Seed in [0, 2**bits) from the parts' text, the same on every machine."""
    text = "\x1f".join(str(p) for p in parts)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % (1 << bits)
