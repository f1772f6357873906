"""One POST that cannot outlive its deadline or fill the memory, whatever the server does."""

from __future__ import annotations

import json
from typing import Any

import httpx

from avcurate.engines.deadline import deadline

MAX_BODY = 64 << 20


class Busy(Exception):
    """The server cannot answer now; another try may succeed. ``after`` is the delay it asks for, in seconds."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class Refused(Exception):
    """The server will not answer this request."""


BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


def post_json(client: httpx.Client, url: str, body: dict[str, Any], deadline_s: float) -> dict[str, Any]:
    """The JSON object that a server answers with.

    The deadline counts from the first byte sent to the last byte read: headers or a body that drip, or stall, do not
    extend it where the client comes from :func:`avcurate.engines.deadline.bounded`. Compressed bodies are not
    requested, and are refused: a megabyte may unpack to gigabytes.

    Raises:
        Busy: the answer is late, too large, cut off, or says that the server is busy.
        Refused: the server says that the request is wrong.
        httpx.TransportError: the connection failed.
    """
    timeout = httpx.Timeout(deadline_s, connect=min(30.0, deadline_s))
    headers = {"Accept-Encoding": "identity"}
    with deadline(deadline_s), client.stream("POST", url, json=body, timeout=timeout, headers=headers) as reply:
        if reply.headers.get("Content-Encoding", "identity") != "identity":
            raise Refused("the server compresses its answers although it was asked not to.")
        data = bytearray()
        for chunk in reply.iter_raw(1 << 16):
            data += chunk
            if len(data) > MAX_BODY:
                raise Refused(f"the answer is longer than {MAX_BODY:,} bytes.")
        return _read(url, reply, bytes(data))


def _read(url: str, reply: httpx.Response, data: bytes) -> dict[str, Any]:
    text = data.decode("utf-8", "replace")
    if reply.status_code in BUSY:
        raise Busy(f"{url}: {reply.status_code} {text[:200]}", _seconds(reply.headers.get("Retry-After")))
    if reply.status_code >= 400:
        raise Refused(f"{reply.status_code}: {_message(text)}")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise Busy(f"{url}: incomplete answer ({e})") from None
    if not isinstance(answer, dict):
        raise Refused(f"the answer is a {type(answer).__name__}, not an object: {text[:200]}")
    return answer


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


def _message(text: str) -> str:
    try:
        answer = json.loads(text)
        return str((answer.get("error") or answer).get("message", answer))[:400]
    except (ValueError, AttributeError, RecursionError):
        return text[:400]
