"""How long the plug-in keeps the editor's GUI thread, measured while it works.

Own time and the host's time are apart: the refreshing of the picture and an undo command are the host's work, which the
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
        self.processor: Deque[float] = deque(maxlen=length)
        self.slowest_name = ""
        self._slowest = 0.0
        self._host = 0.0
        self._host_processor = 0.0
        self._depth = 0

    @contextmanager
    def slot(self, name: str) -> Iterator[None]:
        """Around everything that one slot of the plug-in does (a nested slot counts to the outer one)."""
        self._depth += 1
        began, host = time.monotonic(), self._host
        processor = time.thread_time() - self._host_processor
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                own = time.monotonic() - began - (self._host - host)
                self.own.append(own)
                self.processor.append(time.thread_time() - self._host_processor - processor)
                if own > self._slowest:
                    self._slowest, self.slowest_name = own, name

    @contextmanager
    def host(self) -> Iterator[None]:
        """Around a call in which the editor does its own work."""
        began, processor = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            self._host += time.monotonic() - began
            self._host_processor += time.thread_time() - processor

    def reset(self) -> None:
        self.own.clear()
        self.processor.clear()
        self._slowest, self.slowest_name = 0.0, ""
        self._host = self._host_processor = 0.0

    def summary(self) -> Dict[str, float]:
        """Number of slots; their own time (99th percentile, maximum) and own processor time (99th percentile: what a
        busy machine does not stretch); the sum of the host's time; all in milliseconds."""
        return {
            "slots": len(self.own),
            "p99_ms": _milliseconds(self.own, 0.99),
            "max_ms": _milliseconds(self.own, 1.0),
            "processor_p99_ms": _milliseconds(self.processor, 0.99),
            "host_ms": round(1000 * self._host, 1),
        }


def _milliseconds(times: Deque[float], part: float) -> float:
    ordered = sorted(times)
    return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))], 2) if ordered else 0.0
