"""How long the plug-in keeps Krita's GUI thread, measured while it works.

Own time and the host's time are apart: Krita's projection refresh and its undo command are the host's work, which the
plug-in can only ask for less often; everything else in a slot is ours and is to stay under 50 ms.
"""
from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from typing import Deque, Dict, Iterator


class Probe:
    """Collects the slot times of the last few thousand slots, in seconds."""

    def __init__(self, length: int = 4000) -> None:
        self.own: Deque[float] = deque(maxlen=length)
        self.slowest_name = ""
        self._slowest = 0.0
        self._host = 0.0
        self._depth = 0

    @contextmanager
    def slot(self, name: str) -> Iterator[None]:
        """Around everything that one Qt slot of the plug-in does (a nested slot counts to the outer one)."""
        self._depth += 1
        began, host = time.monotonic(), self._host
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                own = time.monotonic() - began - (self._host - host)
                self.own.append(own)
                if own > self._slowest:
                    self._slowest, self.slowest_name = own, name

    @contextmanager
    def host(self) -> Iterator[None]:
        """Around a call in which Krita does its own work."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._host += time.monotonic() - began

    def reset(self) -> None:
        self.own.clear()
        self._slowest, self.slowest_name, self._host = 0.0, "", 0.0

    def summary(self) -> Dict[str, float]:
        """Count, 99th percentile and maximum of the own slot times, and the host's sum; milliseconds."""
        times = sorted(self.own)
        if not times:
            return {"slots": 0, "p99_ms": 0.0, "max_ms": 0.0, "host_ms": 0.0}
        return {"slots": len(times), "p99_ms": round(1000 * times[min(len(times) - 1, int(len(times) * 0.99))], 2),
                "max_ms": round(1000 * times[-1], 2), "host_ms": round(1000 * self._host, 1)}
