"""A local HTTP server that misbehaves as told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What one address answers. Each entry of `cut` holds for one request, in order: bytes after which the connection
    is closed; None closes it where it should be."""

    body: bytes = b""
    ranges: bool = True
    etag: str = '"1"'
    cut: list[int | None] = field(default_factory=list)
    claimed: int | None = None
    """Length that the answer claims, instead of the true one."""
    status: list[int] = field(default_factory=list)
    """One for each request, in order; 200 afterwards."""
    kind: str = "application/zip"
    to: str = ""
    """Address that it redirects to."""
    hang: threading.Event | None = None
    """Waited for before the connection is closed."""
    pieces: int = 1
    """The body comes in so many, with a pause before each."""


@dataclass
class Server:
    """Pages by path, and what was asked for."""

    url: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of each request."""
    sent: int = 0
    """Bytes of bodies."""


@contextmanager
def serve() -> Iterator[Server]:
    """A server on a free port, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append((self.path, self.headers.get("Range")))
            _answer(self, server, server.pages.get(self.path))

        def log_message(self, *_: object) -> None:
            """Not to stderr."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def _answer(handler: BaseHTTPRequestHandler, server: Server, page: Page | None) -> None:
    status = 404 if page is None else page.status.pop(0) if page.status else 302 if page.to else 200
    if page is None or status not in (200, 302):
        handler.send_error(status)
        return
    if status == 302:
        handler.send_response(302)
        handler.send_header("Location", page.to)
        handler.end_headers()
        return
    start, asked = 0, handler.headers.get("Range")
    if asked and page.ranges and handler.headers.get("If-Range", page.etag) == page.etag:
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(page.body):
            handler.send_error(416)
            return
    body = page.body[start:]
    handler.send_response(206 if start else 200)
    headers: dict[str, Callable[[], str]] = {
        "Content-Type": lambda: page.kind, "ETag": lambda: page.etag,
        "Content-Length": lambda: str(len(body) if page.claimed is None else page.claimed)}
    if start:
        headers["Content-Range"] = lambda: f"bytes {start}-{len(page.body) - 1}/{len(page.body)}"
    for name, value in headers.items():
        if value():
            handler.send_header(name, value())
    handler.end_headers()
    cut = page.cut.pop(0) if page.cut else None
    sent = body if cut is None else body[:cut]
    size = -(-len(sent) // page.pieces) or 1
    for at in range(0, len(sent), size):
        if page.pieces > 1:
            time.sleep(0.02)
        handler.wfile.write(sent[at:at + size])
        handler.wfile.flush()
    server.sent += len(sent)
    if cut is not None and page.hang is not None:
        page.hang.wait(10)
    handler.close_connection = True
