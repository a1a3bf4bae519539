"""A hub and a file server on loopback that speak what the real ones speak, and fail on request.

Small files answer at ``/REPO/resolve/REVISION/NAME`` with git's SHA-1 as ETag; large ones redirect from there to a
storage host (``localhost`` instead of ``127.0.0.1``) with the SHA-256 in ``X-Linked-Etag``. Plain files lie at
``/plain/NAME``.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISION = "0123456789abcdef0123456789abcdef01234567"
LARGE = 20_000
PIECE = 64 * 1024


class StandIn:
    """What is served, how it fails, and what was asked.

    Attributes:
        files: name → content.
        served: name → content sent instead, with the right hashes announced.
        cuts: bytes after which successive answers of a large file are cut; -1 stalls at once.
        statuses: name → HTTP status instead of an answer; 0 hangs up.
        sizes: name → size announced of a large file instead of its own.
        pace: seconds between two pieces of a large file; 0: all at once.
        ranges: the Range header of each GET of a large file.
        sent: bytes of large files sent.
        tokens: (host, path, Authorization header) of each request that had one.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.served: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.statuses: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self.pace = 0.0
        self.ignore_range = False
        self.tell_length = True
        self.tell_md5 = False
        self.ranges: list[str | None] = []
        self.sent = 0
        self.tokens: list[tuple[str, str, str]] = []
        self.release = threading.Event()
        self.port = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _name(path: str) -> str:
    """The file that an address asks for, with the folders it lies in within its repository."""
    for mark, more in (("/resolve/", 1), ("/storage/", 0), ("/plain/", 0)):
        if mark in path:
            return path.split(mark, 1)[1].split("/", more)[-1]
    return path.rsplit("/", 1)[-1]


@contextmanager
def running() -> Iterator[StandIn]:
    hub = StandIn()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            name = _name(self.path)
            if token := self.headers.get("Authorization"):
                hub.tokens.append((self.headers["Host"], self.path, token))
            status = hub.statuses.get(name, 200 if name in hub.files else 404)
            if status == 0:
                self.close_connection = True
                return None
            if status != 200:
                return self._head(status, {"Content-Length": "0"})
            content = hub.files[name]
            if "/resolve/" in self.path and len(content) > LARGE:
                return self._head(
                    302,
                    {
                        "Location": f"http://localhost:{hub.port}/storage/{name}",
                        "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
                        "X-Linked-Size": str(hub.sizes.get(name, len(content))),
                        "X-Repo-Commit": REVISION,
                        "Content-Length": "0",
                    },
                )
            git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            headers = {"ETag": f'"{git}"', "X-Repo-Commit": REVISION}
            if hub.tell_md5:
                headers["Content-MD5"] = base64.b64encode(hashlib.md5(content).digest()).decode()
            data = hub.served.get(name, content)
            large = len(content) > LARGE
            asked, start = self.headers.get("Range"), 0
            if body and large:
                hub.ranges.append(asked)
            if asked and not hub.ignore_range and self.headers.get("If-Range") in (None, headers["ETag"]):
                start = int(asked.removeprefix("bytes=").rstrip("-"))
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                status = 206
            data = data[start:]
            if hub.tell_length:
                headers["Content-Length"] = str(len(data))
            else:
                headers["Connection"] = "close"
                self.close_connection = True
            self._head(status, headers)
            if not body:
                return None
            cut = hub.cuts.pop(0) if large and hub.cuts else None
            if cut == -1:
                hub.release.wait(30)
                cut = 0
            data = data[:cut]
            for start in range(0, len(data), PIECE if large else len(data)):
                piece = data[start : start + PIECE] if large else data
                hub.sent += len(piece) if large else 0
                self.wfile.write(piece)
                if large and hub.pace:
                    time.sleep(hub.pace)
            if cut is not None:
                self.close_connection = True
            return None

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client went away
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
