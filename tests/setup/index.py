"""A package index on loopback that can be told to misbehave."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOGIN = b"<!doctype html><html><body><h1>Welcome to the hotel</h1><a href='/login'>sign in</a></body></html>"


class Index(ThreadingHTTPServer):
    """Serves ``/simple/NAME/`` for the wheels in a folder.

    ``json``: answer as PEP 691; ``ranges``: know them; ``login``: answer every request with a web page, "files": only
    those of files; ``stop_after``: send so many bytes of a file, then ``stop`` ("hang", "cut" or "drip");
    ``status``: answer files with it; ``user``: "name:password" that is asked for; ``harm``: flip the first byte;
    ``links``: where pages say that the files are; ``moved``: where files are said to be now; ``broken``: answer 500.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.json, self.ranges, self.harm = False, True, False
        self.login: bool | str = False
        self.stop_after, self.stop, self.status, self.user = -1, "hang", 200, ""
        self.links, self.moved, self.broken = "", "", False
        self.sent = 0  # bytes of files
        self.asked: list[tuple[str, str]] = []  # path and range
        self.passwords: list[tuple[str, str]] = []  # path and header
        self.let_go = threading.Event()
        self.hangs = threading.Event()  # it has sent what it should
        self.guard = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away are what is tested

    def wheels(self) -> Iterator[Path]:
        yield from sorted(self.folder.glob("*.whl"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Index

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        index, path = self.server, urlsplit(self.path).path
        with index.guard:
            index.asked.append((self.path, self.headers.get("Range", "")))
            index.passwords.append((self.path, self.headers.get("Authorization", "")))
        wanted = "Basic " + base64.b64encode(index.user.encode()).decode()
        if index.user and self.headers.get("Authorization") != wanted:
            self.answer(401, "text/plain", b"who are you")
        elif index.login is True or (index.login == "files" and path.startswith("/files/")):
            self.answer(200, "text/html", LOGIN)
        elif index.broken:
            self.answer(500, "text/plain", b"")
        elif path.startswith("/files/") and index.moved:
            self.send_response(302)
            self.send_header("Location", index.moved + path.rsplit("/", 1)[1])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif "/files/" in path:
            self.file(index.folder / path.rsplit("/", 1)[1].replace("%2B", "+"))
        else:
            self.page(path.strip("/").rsplit("/", 1)[-1])

    def page(self, name: str) -> None:
        index = self.server
        stem = name.replace("-", "_").replace(".", "_")
        found = [p.name for p in index.wheels() if p.name.split("-")[0].lower().replace(".", "_") == stem]
        if not found:
            self.answer(404, "text/plain", b"")
        elif index.json:
            files = [
                {"filename": each, "url": f"{index.links or '../../files/'}{each.replace('+', '%2B')}"}
                for each in found
            ]
            content = json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()
            self.answer(200, "application/vnd.pypi.simple.v1+json", content)
        else:
            lines = [
                f'<a href="{index.links or "/files/"}{each.replace("+", "%2B")}#sha256=0">{each}</a><br>'
                for each in found
            ]
            page = "<!DOCTYPE html><html><body>" + "\n".join(lines) + "</body></html>"
            self.answer(200, "text/html", page.encode())

    def answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def file(self, path: Path) -> None:
        index = self.server
        if index.status != 200 or not path.is_file():
            self.answer(index.status if index.status != 200 else 404, "text/plain", b"")
            return
        content = path.read_bytes()
        if index.harm:
            content = bytes([content[0] ^ 1]) + content[1:]
        asked = self.headers.get("Range")
        start = int(asked[len("bytes=") : -1]) if asked and index.ranges else 0
        self.send_response(206 if asked and index.ranges else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content) - start))
        if asked and index.ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        for place in range(start, len(content), 1 << 14):
            piece = content[place : min(place + (1 << 14), len(content))]
            if 0 <= index.stop_after <= index.sent:
                if index.stop == "cut":  # once
                    index.stop_after = -1
                    self.close_connection = True
                    self.connection.close()
                    return
                if index.stop == "hang":
                    index.hangs.set()
                    index.let_go.wait(30)
                    return
                for number in range(len(piece)):  # "drip"
                    self.wfile.write(piece[number : number + 1])
                    time.sleep(0.02)
            else:
                self.wfile.write(piece)
            with index.guard:
                index.sent += len(piece)


@contextmanager
def serving(folder: Path) -> Iterator[Index]:
    index = Index(folder)
    thread = threading.Thread(target=index.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        index.let_go.set()
        index.shutdown()
        index.server_close()
