"""Qt's side of the shared pump: a signal that Qt queues to the GUI thread, a timer, one step per turn of the loop."""

from __future__ import annotations

import logging
from typing import Any, Callable

from bridge_server.client.editor import pump
from bridge_server.client.editor.probe import Probe

from .binding import QtCore


class _Relay(QtCore.QObject):
    """Emitted on the network thread, received on the GUI thread."""

    woken = QtCore.pyqtSignal()

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work
        self.woken.connect(self._receive)

    def _receive(self) -> None:
        self._work()


class Pump(pump.Pump):
    """Runs `Flow` on Qt's event loop; the only object that buttons call."""

    def __init__(self, probe: Probe, log: logging.Logger) -> None:
        super().__init__(probe, log)
        self._relay = _Relay(self._events)
        self._timer = QtCore.QTimer(self._relay)
        self._timer.setInterval(round(1000 * pump.TICK_SECONDS))
        self._timer.timeout.connect(self._tick)

    def _wake(self) -> None:
        self._relay.woken.emit()

    def _soon(self) -> None:
        QtCore.QTimer.singleShot(0, self._step)

    def repeat(self, name: str, work: Callable[[], bool]) -> None:
        timer = QtCore.QTimer(self._relay)
        timer.timeout.connect(lambda: self.do(name, lambda: work() and timer.deleteLater()))
        timer.start(round(1000 * pump.TICK_SECONDS))

    def _set_ticking(self, on: bool) -> None:
        if on:
            self._timer.start()
        else:
            self._timer.stop()
