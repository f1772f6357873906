"""The review page's server: items one by one, their clips, and verdicts, for one browser on this machine."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.errors import UserError
from avcurate.review.items import Item
from avcurate.review.verdicts import add_verdict, read_verdicts, verdict_file
from avcurate.runner.rundir import RunDir
from avcurate.viewer.app import whole_number
from avcurate.viewer.clip import clip_routes, static_routes
from avcurate.viewer.guard import guarded

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 4096
MAX_SECONDS = 1e5


def make_review(run: RunDir, items: list[Item], reviewer: str, token: str) -> Starlette:
    """The application: items that the reviewer has not judged yet, in their order.

    Raises:
        UserError: the reviewer's name is not a valid file name, or Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, PlainTextResponse
        from starlette.routing import Route
    except ImportError:
        raise UserError("avcurate review needs Starlette.", "Install it: pip install 'avcurate[view]'.") from None
    verdict_file(run, reviewer)
    reviewed = read_verdicts(run).get(reviewer, {})
    open_items = [i for i in items if i.id not in reviewed]

    def item_of(request: Request) -> Item | None:
        number = whole_number(request.query_params.get("item"), -1)
        return open_items[number] if 0 <= number < len(open_items) else None

    def item(request: Request) -> Response:
        """What is asked: neither the expected verdict nor the file's name, which may tell it."""
        found = item_of(request)
        if found is None:
            return PlainTextResponse("nothing here", 404)
        left = len(open_items) - whole_number(request.query_params.get("item"), 0)
        clip = {"name": "", "start": found.start, "end": found.end}
        return JSONResponse({"ask": found.ask, "keys": found.keys, "clip": clip, "left": left})

    async def verdict(request: Request) -> Response:
        found, body = item_of(request), b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return PlainTextResponse("too long for a verdict", 413)
        if found is None:
            return PlainTextResponse("nothing here", 404)
        try:
            given: Any = json.loads(body)
            said, seconds = found.keys[given["key"]], float(given["seconds"])
            if not (math.isfinite(seconds) and 0 <= seconds <= MAX_SECONDS):
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            return PlainTextResponse("not a verdict", 400)
        add_verdict(run, reviewer, found, said, seconds)
        return JSONResponse({})

    def clip_of(request: Request) -> tuple[Path, float, float | None]:
        found = item_of(request)
        if found is None or not found.media.is_file():
            raise UserError("there is no such clip.", "Its file may have moved.")
        return found.media, found.start or 0.0, found.end

    routes = [
        *static_routes(__package__, {"/": "review.html", "/review.js": "review.js"}),
        *static_routes("avcurate.viewer", {"/player.js": "player.js", "/view.css": "view.css"}),
        Route("/api/item", item),
        Route("/api/verdict", verdict, methods=["POST"]),
    ]
    return Starlette(routes=[*routes, *clip_routes(clip_of)], middleware=[guarded(token)])
