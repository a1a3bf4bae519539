"""Writes down which module of the project hands over to which: by a call, or by what it returns or yields.

One line for each pair, at once, into the file that the variable ``REPAINT_WALK`` names: "FROM TO", as paths of the
project. A generator that only delegates (``yield from``) hands nothing over; the one that it delegates to does.
"""

from __future__ import annotations

import dis
import os
import sys
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = str(Path(__file__).resolve().parents[3]) + os.sep
DELEGATES = {dis.opmap[name] for name in ("SEND", "YIELD_FROM") if name in dis.opmap}

_modules: dict[CodeType, str] = {}
_seen: set[tuple[str, str]] = set()


def place() -> str:
    """The file."""
    return os.environ["REPAINT_WALK"]


def follow() -> None:
    """From now on, in this thread and in all that begin later."""
    threading.setprofile(_look)
    sys.setprofile(_look)


def stop() -> None:
    """No longer in this thread, nor in those that begin later."""
    threading.setprofile(None)
    sys.setprofile(None)


def _look(frame: FrameType, event: str, _: Any) -> None:
    inner = _module(frame)
    if not inner or event not in ("call", "return"):
        return
    other = frame.f_back
    if event == "return":
        while other is not None and other.f_lasti >= 0 and other.f_code.co_code[other.f_lasti] in DELEGATES:
            other = other.f_back
    outer = _module(other) if other is not None else ""
    if not outer or inner == outer:
        return
    pair = (outer, inner) if event == "call" else (inner, outer)
    if pair not in _seen:
        _seen.add(pair)
        with open(place(), "a", encoding="utf-8") as file:
            file.write(" ".join(pair) + "\n")


def _module(frame: FrameType) -> str:
    code = frame.f_code
    found = _modules.get(code)
    if found is None:
        name = code.co_filename
        found = _modules[code] = name[len(ROOT) :].replace(os.sep, "/") if name.startswith(ROOT) else ""
    return found
