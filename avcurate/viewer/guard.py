"""Answers one browser on this machine: the one that opened the printed address."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import Response

POLICY = (
    "default-src 'none'; media-src 'self'; img-src 'self'; connect-src 'self'; style-src 'self'; script-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HOSTS = ("127.0.0.1", "localhost")


def guarded(token: str) -> Middleware:
    """Refuses other hosts and origins, and browsers without the token: in the address the first time, then in a cookie.

    A page elsewhere may make a browser send requests here, and a name of its own may point here; so the host and the
    origin are checked even where the cookie is right.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import PlainTextResponse, RedirectResponse

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
            reply = PlainTextResponse("Open the address that the command printed.", 403)
        else:
            reply = await call_next(request)
        reply.headers["Content-Security-Policy"] = POLICY
        reply.headers["X-Content-Type-Options"] = "nosniff"
        reply.headers["Referrer-Policy"] = "no-referrer"
        reply.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return reply

    return Middleware(BaseHTTPMiddleware, dispatch=guard)
