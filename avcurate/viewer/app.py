"""The viewer's server: a small Starlette application that answers one browser on this machine, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avcurate.errors import AvcurateError, UserError
from avcurate.runner.status import run_status
from avcurate.viewer.clip import clip_routes, static_routes
from avcurate.viewer.detail import clips, detail, row_of, whole
from avcurate.viewer.guard import guarded
from avcurate.viewer.index import Index
from avcurate.viewer.search import search

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

FILES = {"/": "view.html", "/view.js": "view.js", "/player.js": "player.js", "/view.css": "view.css"}


def make_app(index: Index, token: str) -> Starlette:
    """The application.

    Args:
        index: rows of the runs shown.
        token: what a browser must have been given; see :func:`guarded`.

    Raises:
        UserError: Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
    except ImportError:
        raise UserError("avcurate view needs Starlette.", "Install it: pip install 'avcurate[view]'.") from None

    def answered(make: Callable[[Request], Any]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(make(request))
            except AvcurateError as e:
                return JSONResponse({"error": str(e), "hint": getattr(e, "hint", "")}, 400)

        return endpoint

    def runs(request: Request) -> Any:
        index.refresh()
        return [_about(index, n) for n in range(len(index.runs))]

    def rows(request: Request) -> Any:
        p = request.query_params
        return search(
            index,
            _number(index, request),
            p.get("q", ""),
            p.get("sort", ""),
            descending=p.get("desc") == "1",
            offset=whole_number(p.get("offset"), 0),
            limit=whole_number(p.get("limit"), 50),
        )

    def row(request: Request) -> Any:
        return detail(index, _number(index, request), request.query_params.get("key", ""))

    def clip_of(request: Request) -> tuple[Path, float, float | None]:
        number, wanted = _number(index, request), whole_number(request.query_params.get("clip"), 0)
        shown = index.runs[number]
        known = clips(shown, whole(shown, row_of(index, number, request.query_params.get("key", ""))) or {})
        if not 0 <= wanted < len(known):
            raise UserError("this row has no such clip.", "Its file may have moved.")
        _, path, start, end = known[wanted]
        return path, start or 0.0, end

    api = {"runs": runs, "rows": rows, "row": row}
    routes = [*static_routes(__package__, FILES), *(Route(f"/api/{n}", answered(f)) for n, f in api.items())]
    return Starlette(routes=[*routes, *clip_routes(clip_of)], middleware=[guarded(token)])


def _about(index: Index, number: int) -> dict[str, Any]:
    shown = index.runs[number]
    status = run_status(shown.run)
    return {
        "name": shown.run.root.name,
        "path": str(shown.run.root),
        "task": status["task"],
        "state": status["state"],
        "progress": status["progress"],
        "rows": shown.rows,
        "label": shown.view.label,
        "columns": [
            {"name": c.name, "kind": c.kind, "low": c.low, "high": c.high}
            for c in shown.columns.values()
            if not c.name.startswith("_")
        ],
        "version": repr(shown.version),
    }


def _number(index: Index, request: Request) -> int:
    number = whole_number(request.query_params.get("run"), 0)
    if not 0 <= number < len(index.runs):
        raise UserError("there is no such run on this page.", "Open it with `avcurate view RUN RUN2`.")
    return number


def whole_number(text: str | None, otherwise: int) -> int:
    """A number of at most nine digits, or another value."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else otherwise
