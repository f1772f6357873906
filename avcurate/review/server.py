"""The local page: served to this machine only, at an address that cannot be guessed."""

from __future__ import annotations

import json
import mimetypes
import re
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from avcurate.errors import Stopped
from avcurate.review.items import Item
from avcurate.review.verdicts import add_verdict, read_verdicts, verdict_file
from avcurate.runner.rundir import RunDir

MAX_BODY = 4096
_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
POLICY = "default-src 'none'; media-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'nonce-{}'"


def make_server(run: RunDir, items: list[Item], reviewer: str, port: int = 0) -> tuple[ThreadingHTTPServer, str]:
    """A server that has not started, and the page's address.

    Raises:
        UserError: the reviewer's name is not a valid file name.
    """
    verdict_file(run, reviewer)
    token, nonce = secrets.token_urlsafe(24), secrets.token_urlsafe(12)
    reviewed = read_verdicts(run).get(reviewer, {})
    open_items = [i for i in items if i.id not in reviewed]

    class Page(BaseHTTPRequestHandler):
        """Answers only under the secret path."""

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_GET(self) -> None:
            """The page, an item, or its clip."""
            path = self._path()
            if path == []:
                self._send(200, "text/html; charset=utf-8", _page(nonce).encode(), POLICY.format(nonce))
            elif path and path[0] == "item" and (item := self._item(path)):
                body = {"ask": item.ask, "keys": item.keys, "part": item.part, "left": len(open_items) - int(path[1])}
                self._send(200, "application/json", json.dumps(body).encode())
            elif path and path[0] == "clip" and (item := self._item(path)):
                self._clip(item)
            else:
                self._send(404, "text/plain", b"nothing here")

        def do_POST(self) -> None:
            """One verdict."""
            path, size = self._path(), int(self.headers.get("Content-Length") or 0)
            item = self._item(path) if path and path[0] == "verdict" else None
            if item is None or not 0 < size <= MAX_BODY:
                return self._send(404, "text/plain", b"nothing here")
            try:
                body: Any = json.loads(self.rfile.read(size))
                key, seconds = str(body["key"]), float(body["seconds"])
                verdict = item.keys[key]
            except (ValueError, KeyError, TypeError):
                return self._send(400, "text/plain", b"not a verdict")
            add_verdict(run, reviewer, item, verdict, min(max(seconds, 0.0), 1e5))
            self._send(200, "application/json", b"{}")

        def _path(self) -> list[str] | None:
            parts = [p for p in self.path.split("?")[0].split("/") if p]
            return parts[1:] if parts and secrets.compare_digest(parts[0], token) else None

        def _item(self, path: list[str] | None) -> Item | None:
            number = int(path[1]) if path and len(path) == 2 and path[1].isdigit() else -1
            return open_items[number] if 0 <= number < len(open_items) else None

        def _clip(self, item: Item) -> None:
            data = item.media.read_bytes() if item.media.is_file() else b""
            kind = mimetypes.guess_type(item.media.name)[0] or "application/octet-stream"
            requested = _RANGE.match(self.headers.get("Range") or "")
            if requested is None:
                return self._send(200 if data else 404, kind, data)
            first = int(requested[1])
            last = min(int(requested[2] or len(data) - 1), len(data) - 1)
            if first > last:
                return self._send(416, "text/plain", b"")
            part = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            self._send(206, kind, data[first : last + 1], extra=part)

        def _send(
            self,
            status: int,
            kind: str,
            body: bytes,
            policy: str = "default-src 'none'",
            extra: dict[str, str] | None = None,
        ) -> None:
            self.send_response(status)
            headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Accept-Ranges": "bytes"}
            headers |= {
                "Content-Security-Policy": policy,
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            }
            for name, value in (headers | (extra or {})).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", port), Page)
    server.daemon_threads = True
    return server, f"http://127.0.0.1:{server.server_port}/{token}/"


def serve(run: RunDir, items: list[Item], reviewer: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve until interrupted."""
    server, url = make_server(run, items, reviewer, port)
    tell(url)
    try:
        server.serve_forever()
    except (KeyboardInterrupt, Stopped):
        return
    finally:
        server.server_close()


def _page(nonce: str) -> str:
    import jinja2

    environment = jinja2.Environment(loader=jinja2.PackageLoader("avcurate.review", "."), autoescape=True)
    return environment.get_template("review.html.j2").render(nonce=nonce)
