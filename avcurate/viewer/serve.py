"""Serves a page on a port of this machine."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from avcurate.errors import Stopped, UserError
from avcurate.runner.rundir import RunDir
from avcurate.viewer.app import make_app
from avcurate.viewer.index import Index, Notes
from avcurate.viewer.view import View

if TYPE_CHECKING:
    from starlette.applications import Starlette

PORT = 8765
"""Asked for first, so that the address of a row stays the same; another is taken where it is in use."""


def serve(
    runs: list[tuple[RunDir, View]], port: int | None, tell: Callable[[str], None], notes: Notes | None = None
) -> None:
    """Serve the rows of one or two runs until interrupted.

    Args:
        runs: each with its task's view.
        port: to listen on; ``None``: 8765 or, where that is in use, any.
        tell: given the address, once it answers.
        notes: what is known of rows beside the runs' tables.

    Raises:
        UserError: the port is in use, a run cannot be read, or a library is missing.
    """
    index = Index(runs, notes)
    serve_app(lambda token: make_app(index, token), port, tell)


def serve_app(make: Callable[[str], Starlette], port: int | None, tell: Callable[[str], None]) -> None:
    """Serve an application until interrupted; it is made with the token that its browser has to know.

    Raises:
        UserError: the port is in use, or a library is missing.
    """
    token = secrets.token_urlsafe(24)
    app = make(token)
    try:
        import uvicorn
    except ImportError:
        raise UserError("this page needs uvicorn.", "Install it: pip install 'avcurate[view]'.") from None
    with listening(port) as listener:
        tell(f"http://127.0.0.1:{listener.getsockname()[1]}/?token={token}")
        config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1)
        with suppress(KeyboardInterrupt, Stopped):
            uvicorn.Server(config).run(sockets=[listener])


def listening(port: int | None) -> socket.socket:
    """A socket that listens on 127.0.0.1.

    Raises:
        UserError: the port is in use.
    """
    for wanted in (PORT, 0) if port is None else (port,):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", wanted))
            listener.listen(64)
            return listener
        except OSError:
            listener.close()
    raise UserError(f"port {port} is in use.", "Give another with --port, or leave it out.")
