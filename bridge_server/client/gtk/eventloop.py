"""GLib's side of the shared pump: idle calls wake it on the main thread, a timeout ticks."""

from __future__ import annotations

import logging
from typing import Any, Callable

from gi.repository import GLib

from bridge_server.client.editor import pump
from bridge_server.client.editor.probe import Probe


class Pump(pump.Pump):
    """Runs `Flow` on the GLib main loop."""

    def __init__(self, probe: Probe, log: logging.Logger) -> None:
        super().__init__(probe, log)
        self._timer = 0

    def _wake(self) -> None:
        GLib.idle_add(_once, self._events, priority=GLib.PRIORITY_DEFAULT)

    def _soon(self) -> None:
        GLib.idle_add(_once, self._step)

    def repeat(self, name: str, work: Callable[[], bool]) -> None:
        ended = False

        def once() -> None:
            nonlocal ended
            ended = work()

        def tick() -> bool:
            self.do(name, once)
            return not ended

        GLib.timeout_add(round(1000 * pump.TICK_SECONDS), tick)

    def _set_ticking(self, on: bool) -> None:
        if self._timer:
            GLib.source_remove(self._timer)
        self._timer = GLib.timeout_add(round(1000 * pump.TICK_SECONDS), self._ticked) if on else 0

    def _ticked(self) -> bool:
        self._tick()
        return True


def _once(work: Callable[[], Any]) -> bool:
    work()
    return False
