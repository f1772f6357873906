"""Answers with a clip, its poster and its waveform; and with the package's own scripts and styles."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from avcurate.errors import AvcurateError
from avcurate.media.preview import poster, wave

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

ClipOf = Callable[["Request"], tuple[Path, float, float | None]]
"""File, start and end of the clip that a request names; raises an :class:`AvcurateError` where there is none."""
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def clip_routes(clip_of: ClipOf) -> list[Route]:
    """``/media``, ``/poster`` and ``/api/wave``."""
    from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    def answered(make: Callable[[Path, float, float | None], Response]) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            try:
                return make(*clip_of(request))
            except AvcurateError as e:
                return PlainTextResponse(str(e), 404)

        return endpoint

    def media(path: Path, _start: float, _end: float | None) -> Response:
        return FileResponse(path, media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream")

    def picture(path: Path, start: float, end: float | None) -> Response:
        data = poster(path, start, end)
        lasting = {"Cache-Control": "private, max-age=600"}
        return Response(data, media_type="image/jpeg", headers=lasting) if data else Response(status_code=404)

    return [
        Route("/media", answered(media)),
        Route("/poster", answered(picture)),
        Route("/api/wave", answered(lambda *clip: JSONResponse(wave(*clip)))),
    ]


def static_routes(package: str, names: dict[str, str]) -> list[Route]:
    """The files of a package by the path they are asked for under, and no icon."""
    from starlette.responses import Response
    from starlette.routing import Route

    def static(name: str) -> Callable[[Request], Response]:
        data = files(package).joinpath(name).read_bytes()
        return lambda _: Response(data, media_type=_KINDS[Path(name).suffix])

    made = [Route(path, static(name)) for path, name in names.items()]
    return [*made, Route("/favicon.ico", lambda _: Response(status_code=204))]
