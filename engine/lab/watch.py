"""The page of ``--watch``: the run in work, step by step, to whoever has its address.

It is served on loopback only. The address holds a token, the Host header must be the server's own, so that no name that
points here from elsewhere is answered, and what a browser asks on behalf of another page is refused.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engine.lab.experiment import Experiment, Result, Scene
from engine.lab.report import STYLE, data_url, told

PATIENCE = 20.0
"""Seconds after which a page that waits for news is told that there are none."""
IDLE = 60.0
"""Seconds that a connection may be silent."""
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = Path(__file__).with_name("watch.html")


class Watch:
    """An :class:`engine.lab.running.Onlooker` with a page. Scenes are made only while a page waits for one.

    Attributes:
        address: with its token.
    """

    def __init__(self) -> None:
        """
        Raises:
            OSError: there is no port to be had.
        """
        self.token = secrets.token_urlsafe(24)
        self._news = threading.Condition()
        self._number, self._waiting = 0, 0
        self._told: dict[str, Any] = {}
        self._began = 0.0
        self._server = _Server(self)
        self.address = f"http://{self._server.host}/{self.token}/"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="watch", daemon=True).start()

    def begin(self, experiment: Experiment, words: str, done: int, of: int) -> None:
        self._began = time.monotonic()
        self._tell({"title": experiment.title, "cell": words, "done": done, "of": of})

    def step(self, call: int, calls: int, look: Callable[[], Scene] | None, numbers: Mapping[str, float]) -> None:
        if not self._waiting:
            return
        news: dict[str, Any] = {"call": call, "calls": calls, "seconds": time.monotonic() - self._began}
        if look is not None:
            pictures = vars(look())
            news["pictures"] = {name: data_url(each) for name, each in pictures.items() if each is not None}
        self._tell({**self._told, **news, "numbers": {name: told(value) for name, value in numbers.items()}})

    def end(self, result: Result) -> None:
        numbers = {name: told(value) for name, value in result.numbers.items()}
        self._tell({**self._told, "done": self._told["done"] + 1, "numbers": numbers})

    def close(self) -> None:
        """Tell those who wait that it is over, and serve no more."""
        self._tell({**self._told, "over": True})
        self._server.shutdown()
        self._server.server_close()

    def news(self, after: int) -> bytes:
        """What there is to tell, as JSON, once it is newer than number ``after``, or nothing new after a while."""
        with self._news:
            self._waiting += 1
            self._news.wait_for(lambda: self._number > after, PATIENCE)
            self._waiting -= 1
            return json.dumps({**self._told, "number": self._number}).encode()

    def _tell(self, news: dict[str, Any]) -> None:
        with self._news:
            self._told, self._number = news, self._number + 1
            self._news.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, watch: Watch) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.watch = watch
        self.host = f"127.0.0.1:{self.server_port}"

    def handle_error(self, *_: Any) -> None:
        """A page that was closed is no failure."""


class _Asked(BaseHTTPRequestHandler):
    server: _Server
    timeout = IDLE

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        _, token, *rest = [*place.path.split("/"), ""]
        if self.headers.get("Host") != self.server.host or not self._is_own():
            self._answer(HTTPStatus.FORBIDDEN, b"This page is for the computer that it runs on.\n", "text/plain")
        elif not secrets.compare_digest(token.encode(), self.server.watch.token.encode()):
            self._answer(HTTPStatus.FORBIDDEN, b"The address is not whole; copy it as it was printed.\n", "text/plain")
        elif rest[0] == "" and place.path.endswith("/"):
            nonce = secrets.token_urlsafe(16)
            page = PAGE.read_text(encoding="utf-8").replace("{style}", STYLE).replace("{nonce}", nonce)
            self._answer(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8", POLICY.format(nonce=nonce))
        elif rest[0] == "news":
            after = parse_qs(place.query).get("after", ["0"])[0]
            number = int(after) if after.isdecimal() and len(after) < 12 else 0
            self._answer(HTTPStatus.OK, self.server.watch.news(number), "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"There is nothing here.\n", "text/plain")

    def _is_own(self) -> bool:
        """Whether it is asked by the page itself, or by somebody who typed the address."""
        origin = self.headers.get("Origin")
        site = self.headers.get("Sec-Fetch-Site", "none")
        return origin in (None, f"http://{self.server.host}") and site in ("none", "same-origin")

    def _answer(self, status: HTTPStatus, body: bytes, kind: str, policy: str = "default-src 'none'") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        return "repaint"

    def log_message(self, *_: Any) -> None:
        """The terminal has the progress bar."""
