"""What the artist has chosen, kept between sessions: for the user and for each document. Knows no editor.

One JSON file in the user's config folder. Whatever in it cannot be used falls back to the defaults, and `notice` says
so; a file that is no JSON at all is put aside as ``NAME.broken.json``.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from bridge_server.client.errors import BridgeError
from bridge_server.client.launch import private_folder, read_json, write_private

from . import sentences
from .fields import FIELDS, OF_A_DOCUMENT, OF_THE_USER, defaults

MAX_DOCUMENTS = 200
MAX_FAVOURITES = 1000


class Choices:
    """The file's content. ``first_time``: there was none. ``tour``: it is to be offered (`tour`), or None: it has never
    been. ``notice``: what to tell the artist once, or "" ; what its braces stand for is in ``notice_fields``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notice = ""
        self.first_time = False
        self.tour: Optional[bool] = None
        self.replaced: Tuple[str, ...] = ()
        self.user = defaults()
        self.documents: Dict[str, Dict[str, Any]] = {}
        self.favourites: List[str] = []
        self._load()

    def of(self, *documents: str) -> Dict[str, Any]:
        """The choices for a document by its path or key, the first that is known; else the user's last ones."""
        for name in documents:
            if name and name in self.documents:
                return {**self.user, **self.documents[name]}
        return dict(self.user)

    def knows(self, *documents: str) -> bool:
        return any(name in self.documents for name in documents if name)

    def keep(self, values: Dict[str, Any], *documents: str) -> bool:
        """Remembers them for the user and these documents; False if the file cannot be written."""
        self.user = {**self.user, **{key: value for key, value in values.items() if key not in OF_A_DOCUMENT}}
        for name in documents:
            if name:
                self.documents.pop(name, None)
                self.documents[name] = {key: value for key, value in values.items() if key not in OF_THE_USER}
        while len(self.documents) > MAX_DOCUMENTS:
            self.documents.pop(next(iter(self.documents)))
        content = {
            "version": 1,
            "user": self.user,
            "documents": self.documents,
            "tour": self.tour,
            "favourites": self.favourites,
        }
        try:
            private_folder(self.path.parent)
            write_private(self.path, json.dumps(content))
        except (OSError, BridgeError):
            return False
        return True

    def favour(self, name: str, yes: bool) -> None:
        """Keeps that one, "JOB/VARIANT", among the favourites, or no longer; the oldest go when there are too many."""
        others = [each for each in self.favourites if each != name]
        self.favourites = [*others, name][-MAX_FAVOURITES:] if yes else others
        self.keep({})

    @property
    def notice_fields(self) -> Dict[str, str]:
        return {"names": ", ".join(self.replaced), "file": self._broken().name}

    def _broken(self) -> Path:
        return self.path.with_name(self.path.stem + ".broken.json")

    def _load(self) -> None:
        try:
            content = read_json(self.path)
            user, documents = dict(content["user"]), dict(content["documents"])
        except FileNotFoundError:
            self.first_time = True
            return
        except (OSError, ValueError, KeyError, TypeError):
            self.notice = sentences.UNREADABLE
            with contextlib.suppress(OSError):
                self.path.replace(self._broken())
            return
        self.tour = content["tour"] if isinstance(content.get("tour"), bool) else None
        favourites = content.get("favourites")
        if isinstance(favourites, list):
            self.favourites = [each for each in favourites if isinstance(each, str)][-MAX_FAVOURITES:]
        self.user.update(self._checked(user))
        self.documents = {str(name): self._checked(found) for name, found in documents.items()}

    def _checked(self, found: Any) -> Dict[str, Any]:
        good: Dict[str, Any] = {}
        for name, value in found.items() if isinstance(found, dict) else ():
            if name not in FIELDS:
                continue
            try:
                good[name] = FIELDS[name].check(value)
            except ValueError:
                self.notice = sentences.SOME_REPLACED
                self.replaced = tuple(sorted({*self.replaced, name}))
        return good
