"""Events on their way from the network thread to the editor's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Dict, List, Tuple

from bridge_server.client.events import Event

log = logging.getLogger("repaint.session")


class Waiting:
    """The events that have not been polled, oldest first.  ``notify`` is called whenever one has come."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._lock = threading.Lock()
        self._events: List[Event] = []
        self._slots: Dict[Tuple[object, ...], int] = {}

    def put(self, event: Event, *slot: object) -> None:
        """Queue an event; one with a ``slot`` replaces the last of that slot that has not been taken."""
        with self._lock:
            if slot and slot in self._slots:
                self._events[self._slots[slot]] = event
            else:
                if slot:
                    self._slots[slot] = len(self._events)
                self._events.append(event)
        try:
            self._notify()
        except Exception:
            log.exception("notify")

    def take(self) -> List[Event]:
        with self._lock:
            found, self._events = self._events, []
            self._slots.clear()
        return found
