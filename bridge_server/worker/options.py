"""Options of the wire as fields of the engine's `Job`: their names and types are those of its annotations."""

from __future__ import annotations

import re
import typing
from typing import Any

from engine.errors import BadInput
from engine.run.job import Job
from engine.untrusted import fits

FIXED = {
    "image",
    "selection",
    "source",
    "maps",
    "share_mask",
    "model",
    "preset",
    "seed",
    "variants",
    "linear",
}  # not options: they have fields of their own
TYPES = {name: hint for name, hint in typing.get_type_hints(Job).items() if name not in FIXED}
_WORD = re.compile(r"[a-z][a-z_-]{0,31}")


def of_job(options: dict[str, Any]) -> dict[str, Any]:
    """Fields of a Job; those that are null are left at their defaults.

    Raises:
        BadInput: a name that is no option, or a value of another type; ranges are the engine's own matter.
    """
    chosen = {}
    for name, option in options.items():
        if option is None:
            continue
        path = name == "schedule" and isinstance(option, str) and not _WORD.fullmatch(option)  # may be one of a file
        if name not in TYPES or not fits(option, TYPES[name]) or path:
            raise BadInput("bad_request", f"The engine cannot use “{name}” here: leave it at its default.")
        chosen[name] = tuple(option) if isinstance(option, list) else option
    return chosen
