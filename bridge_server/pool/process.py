"""One process of a backend, kept alive."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable

from bridge_server.client.errors import BridgeError
from bridge_server.pool.backend import Backend, Handle, Joining, Limits

log = logging.getLogger("bridge.pool")

CRASHED = (
    "The RePaint engine crashed {count} times within {minutes:.0f} minutes and stays off: restart the engine, and if "
    "that does not help, the computer."
)
CANNOT_START = "The RePaint engine cannot be started ({why}): close other programs, then restart the engine."
STARTED_AGAIN = "The RePaint engine stopped unexpectedly; it is being started again."
SOON = 30.0
"""Seconds in which a shared process that has no worker may bring one (again)."""

TELLS = 10
"""Notices of one process, and of all that comes from it, in a minute."""


class Process:
    """``sentence``: why it is down, for the artist; it is not down as long as it runs or is to be started again.
    ``absence``: why its workers are away, as it said itself."""

    def __init__(self, backend: Backend, number: int, limits: Limits, address: str, password: str) -> None:
        self.backend, self.number, self.limits = backend, number, limits
        self._address, self._password = address, password
        self.ticket = ""
        self.routes: set[bytes] = set()  # of its workers' connections
        self.sentence = self.absence = ""
        self.down = True
        self._handle: Handle | None = None
        self._deaths: deque[float] = deque()
        self._told: deque[float] = deque(maxlen=TELLS)
        self._since = self._alone_since = self._restart_at = 0.0

    @property
    def pid(self) -> int:
        return self._handle.pid if self._handle is not None else 0

    @property
    def ended(self) -> bool:
        """It has ended, and nobody has looked after it yet."""
        return self._handle is not None and not self._handle.alive()

    @property
    def expected(self) -> bool:
        """A worker of it is still to come."""
        return not self.down and not self.routes and not self.backend.shared

    @property
    def returning(self) -> bool:
        """It is shared, and may bring a worker at any moment: it has just been started, or just lost its last one."""
        alone = self.backend.shared and not self.down and not self.routes
        return alone and time.monotonic() - self._alone_since < SOON

    def leave(self, routes: Iterable[bytes]) -> None:
        """The workers of these connections are gone."""
        self.routes.difference_update(routes)
        self._alone_since = time.monotonic()

    def spawn(self, ticket: str) -> None:
        """Start it unless it runs."""
        if self._handle is not None:
            return
        self.ticket, self.absence, self._restart_at = ticket, "", 0.0
        self._since = self._alone_since = time.monotonic()
        try:
            self._handle = self.backend.start(self.number, Joining(self._address, self._password, ticket))
        except (BridgeError, OSError) as error:
            log.error("%s cannot start: %r", self, error)
            self.down = True
            self.sentence = (
                error.sentence if isinstance(error, BridgeError) else CANNOT_START.format(why=error.strerror)
            )
            return
        self.down = False
        log.info("%s started, process %d", self, self.pid)

    def may_tell(self) -> bool:
        """Whether the artists are told something of it now: few things a minute, for a box may say what it likes."""
        now = time.monotonic()
        if len(self._told) == TELLS and now - self._told[0] < 60.0:
            return False
        self._told.append(now)
        return True

    def forgive_crashes(self) -> None:
        self._deaths.clear()

    def due(self) -> bool:
        """It is to be started again now."""
        return bool(self._restart_at) and time.monotonic() >= self._restart_at

    def wait(self) -> float:
        """Seconds until it is to be started again or looked at."""
        if self._handle is not None:
            return 0.5
        return max(0.01, self._restart_at - time.monotonic()) if self._restart_at else 3600.0

    def late(self) -> bool:
        """It was started and brings no worker."""
        running = self.expected and self._handle is not None
        return running and time.monotonic() - self._since > self.limits.starting

    def give_up(self, sentence: str) -> None:
        """It has said that it cannot work here: it is not started again by itself."""
        self.down, self.sentence = True, sentence

    def end(self) -> None:
        """Kill it."""
        if self._handle is not None:
            self._handle.kill()

    def stop(self) -> None:
        """End it in order, at the latest after ``limits.quit`` by force."""
        handle, self._handle, self.down = self._handle, None, True
        if handle is not None:
            handle.stop(self.limits.quit)

    def bury(self, quiet: bool) -> tuple[str, bool]:
        """It has ended: what to tell the artist, and whether it is to be started again (it is if ``quiet``, unless it
        is down: that end was the bridge's doing and is no crash, and there is nothing to tell)."""
        assert self._handle is not None
        log.error("%s, process %d, ended", self, self.pid)
        self._handle.kill()
        self._handle = None
        self.ticket = ""
        if self.down:
            return self.sentence, False
        now, limits = time.monotonic(), self.limits
        if quiet:
            self._restart_at = now
            return "", True
        self._deaths.append(now)
        while self._deaths and now - self._deaths[0] > limits.crash_window:
            self._deaths.popleft()
        count = len(self._deaths)
        if count >= limits.crashes:
            self.give_up(CRASHED.format(count=count, minutes=limits.crash_window / 60))
            return self.sentence, False
        self._restart_at = now + (0.0, 0.0, 0.5, 1.0)[min(3, count - 1)]
        return STARTED_AGAIN, True

    def __str__(self) -> str:
        return f"{self.backend.name} {self.number}"
