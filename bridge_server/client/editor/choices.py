"""What the artist has chosen, kept between sessions: for the user and for each document. Knows no editor.

One JSON file in the user's config folder. Whatever in it cannot be used falls back to the defaults, and `notice` says
so; a file that is no JSON at all is put aside as ``NAME.broken.json``.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

from bridge_server.client.errors import BridgeError
from bridge_server.client.launch import private_folder, write_private
from bridge_server.client.messages import NAME

from .model import MAX_SEED

MAX_DOCUMENTS = 200
UNREADABLE = "The settings could not be read; the defaults are used, and the old file lies beside as {file}."
SOME_REPLACED = "Some settings were out of range; their defaults are used: {names}."


def _name(value: Any) -> Any:
    try:
        return NAME.accept(value)
    except BridgeError:
        raise ValueError(value) from None


def _one_of(*words: str) -> Callable[[Any], Any]:
    def accept(value: Any) -> Any:
        if value not in words:
            raise ValueError(value)
        return value

    return accept


def _integer(low: int, high: int) -> Callable[[Any], Any]:
    def accept(value: Any) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(value)
        return value

    return accept


def _flag(value: Any) -> Any:
    if type(value) is not bool:
        raise ValueError(value)
    return value


def _text(value: Any) -> Any:
    if not isinstance(value, str) or len(value) > 2000:
        raise ValueError(value)
    return value


# name → default and check; 0 stands for "as the preset or the engine has it" where a preset or the engine decides
FIELDS: Dict[str, Tuple[Any, Callable[[Any], Any]]] = {
    "model": ("exemplar", _name),
    "preset": ("fast", _name),
    "source": ("visible", _one_of("visible", "layer")),
    "variants": (1, _integer(1, 8)),
    "seed": (0, _integer(0, MAX_SEED)),
    "lock_seed": (False, _flag),
    "prompt": ("", _text),
    "negative": ("", _text),
    "guidance": (0, _integer(0, 30)),
    "label": ("", _text),
    "steps": (0, _integer(0, 1000)),
    "jump_length": (0, _integer(0, 1000)),
    "jump_samples": (0, _integer(0, 100)),
    "schedule": ("uniform", _one_of("uniform", "early", "late", "none")),
    "padding": (0, _integer(0, 1024)),
    "feather": (0, _integer(0, 200)),
    "hard": (False, _flag),
    "learn": (0, _integer(0, 600)),
    "extend_left": (0, _integer(0, 4096)),
    "extend_top": (0, _integer(0, 4096)),
    "extend_right": (128, _integer(0, 4096)),
    "extend_bottom": (0, _integer(0, 4096)),
    "tile_axis": ("both", _one_of("both", "x", "y")),
    "tile_band": (24, _integer(8, 1024)),  # as engine.extend.TILE_BAND
    "history_mib": (2048, _integer(64, 1 << 20)),
}
OF_THE_USER = ("history_mib",)  # never of a document


def defaults() -> Dict[str, Any]:
    return {name: default for name, (default, _) in FIELDS.items()}


class Choices:
    """The file's content. ``first_time``: there was none. ``notice``: what to tell the artist once, or "" ; what its
    braces stand for is in ``notice_fields``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notice = ""
        self.first_time = False
        self.replaced: Tuple[str, ...] = ()
        self.user = defaults()
        self.documents: Dict[str, Dict[str, Any]] = {}
        self._load()

    def of(self, *documents: str) -> Dict[str, Any]:
        """The choices for a document by its key or path, the first that is known; else the user's last ones."""
        for name in documents:
            if name and name in self.documents:
                return {**self.user, **self.documents[name]}
        return dict(self.user)

    def keep(self, values: Dict[str, Any], *documents: str) -> bool:
        """Remembers them for the user and these documents; False if the file cannot be written."""
        self.user = {**self.user, **values}
        for name in documents:
            if name:
                self.documents.pop(name, None)
                self.documents[name] = {key: value for key, value in values.items() if key not in OF_THE_USER}
        while len(self.documents) > MAX_DOCUMENTS:
            self.documents.pop(next(iter(self.documents)))
        try:
            private_folder(self.path.parent)
            write_private(self.path, json.dumps({"version": 1, "user": self.user, "documents": self.documents}))
        except OSError:
            return False
        return True

    @property
    def notice_fields(self) -> Dict[str, str]:
        return {"names": ", ".join(self.replaced), "file": self._broken().name}

    def _broken(self) -> Path:
        return self.path.with_name(self.path.stem + ".broken.json")

    def _load(self) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            user, documents = dict(content["user"]), dict(content["documents"])
        except FileNotFoundError:
            self.first_time = True
            return
        except (OSError, ValueError, KeyError, TypeError):
            self.notice = UNREADABLE
            with contextlib.suppress(OSError):
                self.path.replace(self._broken())
            return
        self.user.update(self._checked(user))
        self.documents = {str(name): self._checked(found) for name, found in documents.items()}

    def _checked(self, found: Any) -> Dict[str, Any]:
        good: Dict[str, Any] = {}
        for name, value in found.items() if isinstance(found, dict) else ():
            if name not in FIELDS:
                continue
            try:
                good[name] = FIELDS[name][1](value)
            except ValueError:
                self.notice = SOME_REPLACED
                self.replaced = tuple(sorted({*self.replaced, name}))
        return good
