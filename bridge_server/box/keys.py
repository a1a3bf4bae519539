"""This computer's CURVE key pair, the box that it uses, and the computers that may use it: private files of the user.

A public key is written as 52 letters and digits (base32), and shown to people as its fingerprint, 20 of its SHA-256.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from bridge_server.client import settings
from bridge_server.client.errors import BridgeError
from bridge_server.client.launch import plain_file, private_folder, user_folders, write_private
from bridge_server.client.locks import FileLock

ASKED = 300  # computers that are remembered as having asked, the newest: one a second leaves five minutes to compare
LONGEST = 1 << 20  # bytes of a file
NO_KEY = "This is not a RePaint key: copy the whole line that “repaint-bridge serve-workers” shows on the box."
NOT_ASKED = (
    "No computer with the fingerprint {words} has asked, or many others have since: run “repaint-bridge connect” "
    "there, compare the fingerprint that it shows, then run this again at once."
)
DAMAGED = "The file {place} cannot be read: move it away, then run this again."
UNREADABLE = "The file {place} cannot be opened ({why}): make it readable for yourself, then run this again."
BUSY = "Another RePaint program is changing its keys: try again in a moment."


@dataclass(frozen=True)
class Pair:
    """``public`` and ``secret``: 32 bytes each."""

    public: bytes
    secret: bytes


@dataclass(frozen=True)
class Box:
    """Where the box of this user is, its pinned public key as text, and how many of its workers are used (0: all)."""

    host: str
    port: int
    key: str
    workers: int = 0

    @property
    def place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def text(key: bytes) -> str:
    """The public key as 52 letters and digits."""
    return base64.b32encode(key).decode().rstrip("=").lower()


def of_text(words: str) -> bytes:
    """The public key that is written so; raises BridgeError."""
    if not re.fullmatch(r"[a-z2-7]{52}", words.lower()):
        raise BridgeError(NO_KEY, words[:80], "no_key")
    return base64.b32decode(words.upper() + "====")


def fingerprint(key: bytes) -> str:
    """Five groups of four for people to compare: 100 bits of the key's SHA-256."""
    short = base64.b32encode(hashlib.sha256(key).digest()).decode().lower()[:20]
    return "-".join(short[at : at + 4] for at in range(0, 20, 4))


def own() -> Pair:
    """This user's key pair, made at the first call.  Raises BridgeError."""
    with _changing():
        content = _read("key.json")
        if content is None:
            public, secret = (z85.decode(half) for half in zmq.curve_keypair())
            content = {"public": public.hex(), "secret": secret.hex()}
            _write("key.json", content)
    try:
        pair = Pair(bytes.fromhex(content["public"]), bytes.fromhex(content["secret"]))
        if zmq.curve_public(z85.encode(pair.secret)) != z85.encode(pair.public):
            raise ValueError("halves of different pairs")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged("key.json", error) from None
    return pair


# --------------------------------------------------------------------------------------------------- the box, from here


def box() -> Box | None:
    """The box that this user is connected to."""
    try:
        content = settings.read()["box"]
        found = Box(str(content["host"]), int(content["port"]), str(content["key"]), int(content.get("workers", 0)))
        of_text(found.key)
    except (KeyError, TypeError, ValueError, BridgeError):
        return None
    return found


def use(chosen: Box | None) -> None:
    """Remember the box, or that there is none; a bridge that runs follows at once."""
    settings.write("box", asdict(chosen) if chosen is not None else None)


# -------------------------------------------------------------------------------------------------- clients, on the box


def allowed() -> set[bytes]:
    """Public keys of the computers that may use this one."""
    return {of_text(key) for key in _list("allowed.json")}


def asked() -> list[bytes]:
    """Keys that have knocked and are not allowed, the newest last."""
    return [of_text(key) for key in _list("asked.json")]


def note_asked(key: bytes) -> None:
    """This unknown computer has knocked, and has proved that the key is its own."""
    with _changing():
        known = _list("asked.json")
        known.pop(text(key), None)
        known[text(key)] = int(time.time())
        _write("asked.json", dict(list(known.items())[-ASKED:]))


def allow(words: str) -> bytes:
    """Let the computer in that has asked with this fingerprint, or the one with this key; returns its key."""
    key = next((each for each in asked() if fingerprint(each) == words.lower()), None)
    if key is None:
        if "-" in words:
            raise BridgeError(NOT_ASKED.format(words=words[:40]), code="not_asked")
        key = of_text(words)
    with _changing():
        known, waiting = _list("allowed.json"), _list("asked.json")
        known[text(key)] = int(time.time())
        waiting.pop(text(key), None)
        _write("allowed.json", known)
        _write("asked.json", waiting)
    return key


def forbid(words: str) -> bool:
    """Let that computer in no more; whether it was."""
    with _changing():
        known = _list("allowed.json")
        left = {key: since for key, since in known.items() if words.lower() not in (key, fingerprint(of_text(key)))}
        _write("allowed.json", left)
    return left != known


# ------------------------------------------------------------------------------------------------------------- files


def folder() -> Path:
    """Where all of it lies."""
    return private_folder(user_folders().config / "box")


@contextlib.contextmanager
def _changing() -> Iterator[None]:
    lock = FileLock(folder() / "lock")
    if not lock.acquire(5.0):
        raise BridgeError(BUSY, code="busy")
    try:
        yield
    finally:
        lock.release()


def _list(name: str) -> dict[str, Any]:
    content = _read(name) or {}
    try:
        for key in content:
            of_text(key)
    except BridgeError as error:
        raise _damaged(name, error) from None
    return content


def _read(name: str) -> dict[str, Any] | None:
    path = folder() / name
    if not plain_file(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            content = json.loads(file.read(LONGEST))
    except OSError as error:
        raise BridgeError(UNREADABLE.format(place=path, why=error.strerror), repr(error), "unreadable") from None
    except ValueError as error:
        raise _damaged(name, error) from None
    if not isinstance(content, dict):
        raise _damaged(name, content)
    return content


def _write(name: str, content: dict[str, Any]) -> None:
    write_private(folder() / name, json.dumps(content, indent=1) + "\n")


def _damaged(name: str, why: object) -> BridgeError:
    return BridgeError(DAMAGED.format(place=folder() / name), repr(why), "damaged")
