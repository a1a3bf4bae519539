"""``models get ID --watched``: a download for the program that started it, such as the bridge.

Standard output holds one JSON object a line: ``{"done": BYTES, "total": BYTES or null}``, at most five a second and
once all is there (what follows is its check), and at last ``{"end": "installed"}`` or ``{"end": "failed", "code": …,
"sentence": …, "details": …}``. When standard input ends, the process leaves at once; what it has of the files stays,
and the next try goes on from there.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping

from engine.errors import EngineError
from engine.untrusted import own_input

INTERVAL = 0.2
FAULT = "Something went wrong inside the engine; try again, and see the log if it recurs."


class Report:
    """Progress of a whole model, from that of its files."""

    def __init__(self, say: Callable[[dict[str, object]], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._sizes: dict[str, int | None] = {}
        self._done: dict[str, int] = {}
        self._said = float("-inf")

    def expect(self, sizes: Mapping[str, int | None]) -> None:
        self._sizes.update(sizes)

    def __call__(self, name: str, done: int, total: int | None) -> None:
        self._done[name] = done
        if total is not None:
            self._sizes[name] = total
        known = [size for size in self._sizes.values() if size is not None]
        all_of_it = sum(known) if len(known) == len(self._sizes) else None
        here, now = sum(self._done.values()), self._clock()
        if here == all_of_it or now - self._said >= INTERVAL:
            self._said = now
            self._say({"done": here, "total": all_of_it})


def run(get: Callable[[Report], object]) -> None:
    """Do it, watched; ``get`` is handed what is to be told of its progress."""
    own_input()
    threading.Thread(target=_leave_with_the_watcher, name="watcher", daemon=True).start()
    try:
        get(Report(_print))
    except EngineError as error:
        _print({"end": "failed", "code": error.code, "sentence": error.sentence, "details": error.details})
    except Exception as error:
        _print({"end": "failed", "code": "internal", "sentence": FAULT, "details": repr(error)})
        raise
    else:
        _print({"end": "installed"})


def _print(content: dict[str, object]) -> None:
    print(json.dumps(content), flush=True)


def _leave_with_the_watcher() -> None:
    while own_input().read(4096):
        pass
    os._exit(0)
