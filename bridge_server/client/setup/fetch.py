"""The downloads: by name from folders, pages and simple indexes, checked by sha256, going on where they stopped.

A file grows as ``NAME.part`` and gets its name when its sha256 is right, so whatever ends a download, the next one goes
on from there (RFC 9110, section 14: ranges).  The indexes are read as PEP 503 and PEP 691 have them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Dict, List

from bridge_server.client.errors import SetUpFailed
from bridge_server.client.setup import runner, sentences, settings
from bridge_server.client.setup.kit import Wheel
from bridge_server.client.setup.runner import Cancelled
from bridge_server.client.setup.sentences import say
from bridge_server.client.setup.web import Stalled, Web, bare, host
from bridge_server.client.threads import spared

log = logging.getLogger("repaint.setup")

AT_ONCE = 4
TRIES = 4  # of each address, when it stops sending
PAUSE = 0.5  # seconds before the first of them, then twice as long
PIECE = 1 << 16


def fetch(
    wheels: List[Wheel],
    folder: Path,
    may_fetch: bool,
    index: str,
    told: Callable[[int], None],
    cancelled: Callable[[], bool],
    roots: Wheel | None = None,
) -> None:
    """Have every one of ``wheels`` in ``folder``, whole; ``told`` hears the bytes that are there.

    Unless ``may_fetch``, the folder is somebody's own: it is checked and nothing is written.  ``index``: the address to
    ask where neither pip nor uv was told one; ``roots``: the wheel of certifi, see `Web`.  Raises SetUpFailed,
    Cancelled (within 0.1 s) or OSError.
    """
    if may_fetch:
        folder.mkdir(parents=True, exist_ok=True)
    work = _Work(wheels, folder, Web(settings.read(), index, roots) if may_fetch else None)
    threads = [threading.Thread(target=spared(work.run), name="repaint-fetch", daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            if cancelled():
                raise Cancelled
            told(work.done())
            if work.trouble:
                break
            time.sleep(0.05)
    finally:
        work.abandon()
    if work.trouble:
        raise work.trouble
    told(work.done())


class _Work:
    """What the threads share.  An abandoned one writes nothing any more, even if it hangs in the network a while."""

    def __init__(self, wheels: List[Wheel], folder: Path, web: Web | None) -> None:
        self._left = sorted(wheels, key=lambda wheel: wheel.size)  # the largest first: they are taken from the end
        self._folder, self._web = folder, web
        self._guard = threading.Lock()
        self._stopped = threading.Event()
        self._files: Dict[str, Any] = {}
        self._bytes: Dict[str, int] = {}
        self.trouble: Exception | None = None

    def done(self) -> int:
        with self._guard:
            return sum(self._bytes.values())

    def abandon(self) -> None:
        with self._guard:
            self._stopped.set()
            for file in self._files.values():
                with contextlib.suppress(OSError):
                    file.close()

    def run(self) -> None:
        while not self._stopped.is_set():
            with self._guard:
                if not self._left:
                    return
                wheel = self._left.pop()
            try:
                self._have(wheel)
            except Exception as error:
                with self._guard:
                    if not self._stopped.is_set():
                        log.error("%s: %r", wheel.name, getattr(error, "details", "") or error)
                        self.trouble = self.trouble or error
                        self._stopped.set()

    def _have(self, wheel: Wheel) -> None:
        path = self._folder / wheel.name
        if path.is_file() and path.stat().st_size == wheel.size and self._sha256(path, wheel) == wheel.sha256:
            return
        if self._web is None:
            if path.is_file():
                raise SetUpFailed(say(sentences.WRONG_HASH, name=wheel.name, host=self._folder))
            raise SetUpFailed(say(sentences.SOURCE_LACKS, place=self._folder, name=wheel.name))
        if path.exists():
            path.unlink()
        trouble: SetUpFailed | None = None
        for address in self._web.addresses(wheel):
            try:
                self._download(wheel, address, path)
                return
            except SetUpFailed as error:
                if error.code == "disk_full":
                    raise
                log.warning("%s: %s (%s)", bare(address), error.sentence, error.details)
                trouble = trouble or error
        raise trouble or self._web.missing(wheel)

    def _sha256(self, path: Path, wheel: Wheel) -> str:
        """Counted as it is read."""
        digest, done = hashlib.sha256(), 0
        with open(str(path), "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                if self._stopped.is_set():
                    return ""
                digest.update(piece)
                done += len(piece)
                with self._guard:
                    self._bytes[wheel.name] = done
        return digest.hexdigest()

    def _download(self, wheel: Wheel, address: str, path: Path) -> None:
        part = path.with_name(path.name + ".part")
        again = True
        tries = 0
        while not self._stopped.is_set():
            before = _size(part)
            try:
                self._go_on(wheel, address, part)
            except Stalled as error:
                tries = 1 if _size(part) > before + PIECE else tries + 1
                log.warning("%s: %s", bare(address), error.details)
                if tries >= TRIES:
                    raise
                self._stopped.wait(PAUSE * 2**tries)
                continue
            if self._stopped.is_set():
                return
            if _size(part) == wheel.size and self._sha256(part, wheel) == wheel.sha256:
                with self._guard:
                    if not self._stopped.is_set():
                        part.replace(path)
                return
            if self._stopped.is_set():
                return
            part.unlink()
            if not again or before == 0:
                raise SetUpFailed(say(sentences.WRONG_HASH, name=wheel.name, host=host(address)))
            again = False  # what was there before may have been wrong: once more from the start

    def _go_on(self, wheel: Wheel, address: str, part: Path) -> None:
        """The rest of a file onto what is there of it."""
        assert self._web is not None
        start = _size(part)
        if start > wheel.size:
            part.unlink()
            start = 0
        if start == wheel.size:
            return
        with self._web.open(address, start) as answer:
            start = answer.start
            try:
                with self._guard:
                    if self._stopped.is_set():
                        return
                    file = open(str(part), "r+b" if start else "wb")  # noqa: SIM115 (closed by abandon, too)
                    self._files[wheel.name] = file
                file.seek(start)
                while True:
                    piece = answer.read(PIECE)
                    with self._guard:
                        if self._stopped.is_set():
                            return
                        if not piece:
                            return
                        file.write(piece)
                        file.flush()
                        start += len(piece)
                        self._bytes[wheel.name] = start
                        if start > wheel.size:
                            return
            except OSError as error:
                raise runner.of_system(error, self._folder) from None
            finally:
                with self._guard, contextlib.suppress(KeyError, OSError):
                    self._files.pop(wheel.name).close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
