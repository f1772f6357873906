"""The viewer's server: a small Starlette application that answers one browser on this machine, and writes nothing."""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from avcurate.errors import AvcurateError, UserError
from avcurate.runner.status import run_status
from avcurate.viewer.detail import clips, detail, row_of, whole
from avcurate.viewer.index import Index
from avcurate.viewer.media import poster, wave
from avcurate.viewer.search import search

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

POLICY = (
    "default-src 'none'; media-src 'self'; img-src 'self'; connect-src 'self'; style-src 'self'; script-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HOSTS = ("127.0.0.1", "localhost")
_STATIC = {
    "": ("view.html", "text/html"),
    "view.js": ("view.js", "text/javascript"),
    "view.css": ("view.css", "text/css"),
}


def make_app(index: Index, token: str) -> Starlette:
    """The application.

    Args:
        index: rows of the runs shown.
        token: what a browser must have been given: in the address the first time, then in a cookie.

    Raises:
        UserError: Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.base import BaseHTTPMiddleware
        from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
        from starlette.routing import Route
    except ImportError:
        raise UserError("avcurate view needs Starlette.", "Install it: pip install 'avcurate[view]'.") from None

    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        host = request.headers.get("host", "")
        name, _, port = host.partition(":")
        origin, cookie = request.headers.get("origin"), f"avcurate-{port}"
        if name not in HOSTS or origin not in (None, f"http://{host}"):
            return PlainTextResponse("This page answers 127.0.0.1 alone.", 403)
        given = request.query_params.get("token", "")
        if request.url.path == "/" and given and secrets.compare_digest(given.encode(), token.encode()):
            reply: Response = RedirectResponse("/", 303)
            reply.set_cookie(cookie, token, httponly=True, samesite="lax")
        elif not secrets.compare_digest(request.cookies.get(cookie, "").encode(), token.encode()):
            reply = PlainTextResponse("Open the address that `avcurate view` printed.", 403)
        else:
            reply = await call_next(request)
        reply.headers["Content-Security-Policy"] = POLICY
        reply.headers["X-Content-Type-Options"] = "nosniff"
        reply.headers["Referrer-Policy"] = "no-referrer"
        reply.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return reply

    def answered(make: Callable[[Request], Any]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return JSONResponse(make(request))
            except AvcurateError as e:
                return JSONResponse({"error": str(e), "hint": getattr(e, "hint", "")}, 400)

        return endpoint

    def static(request: Request) -> Response:
        name, kind = _STATIC[request.url.path.lstrip("/")]
        return Response(files(__package__).joinpath(name).read_bytes(), media_type=kind)

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
            offset=_int(p.get("offset"), 0),
            limit=_int(p.get("limit"), 50),
        )

    def row(request: Request) -> Any:
        return detail(index, _number(index, request), request.query_params.get("key", ""))

    def clip_of(request: Request) -> tuple[Any, float, float | None]:
        number, wanted = _number(index, request), _int(request.query_params.get("clip"), 0)
        shown = index.runs[number]
        known = clips(shown, whole(shown, row_of(index, number, request.query_params.get("key", ""))) or {})
        if not 0 <= wanted < len(known):
            raise UserError("this row has no such clip.", "Its file may have moved.")
        _, path, start, end = known[wanted]
        return path, start or 0.0, end

    def media(request: Request) -> Response:
        try:
            path, _, _ = clip_of(request)
        except AvcurateError as e:
            return PlainTextResponse(str(e), 404)
        return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream")

    def picture(request: Request) -> Response:
        try:
            data = poster(*clip_of(request))
        except AvcurateError as e:
            return PlainTextResponse(str(e), 404)
        lasting = {"Cache-Control": "private, max-age=600"}
        return Response(data, media_type="image/jpeg", headers=lasting) if data else Response(status_code=404)

    routes = [
        *(Route(f"/{path}", static) for path in _STATIC),
        Route("/api/runs", answered(runs)),
        Route("/api/rows", answered(rows)),
        Route("/api/row", answered(row)),
        Route("/api/wave", answered(lambda r: wave(*clip_of(r)))),
        Route("/favicon.ico", lambda _: Response(status_code=204)),
        Route("/media", media),
        Route("/poster", picture),
    ]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=guard)])


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
    number = _int(request.query_params.get("run"), 0)
    if not 0 <= number < len(index.runs):
        raise UserError("there is no such run on this page.", "Open it with `avcurate view RUN RUN2`.")
    return number


def _int(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else otherwise
