"""What set-up and the engine have put into the user's folders, and removing it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Tuple

from bridge_server.client import launch
from bridge_server.client.errors import SetUpFailed
from bridge_server.client.locks import FileLock
from bridge_server.client.setup import environments, running, sentences
from bridge_server.client.setup.runner import of_system
from bridge_server.client.setup.sentences import say

Row = Tuple[str, Path, int]
_KINDS = {
    "engines": sentences.ENGINES,
    "python": sentences.PYTHONS,
    "models": sentences.MODELS,
    "learned": sentences.LEARNED,
    "wheels": sentences.DOWNLOADS,
    "uv": sentences.DOWNLOADS,
    "trial": sentences.DOWNLOADS,
    "spool": sentences.HISTORY,
    "steps": sentences.HISTORY,
}
_FILES = {
    r"journal\.sqlite.*": sentences.HISTORY,
    r"(launch|krita|gimp|gimp-window)(\.broken)?\.json.*": sentences.SETTINGS,
    r"logs|(bridge|start|setup)\.lock|(connection|setup)\.json.*|(krita|gimp)-client.*|RePaint\.jpg": sentences.LOGS,
    r".+\.broken(-\d+)?": sentences.LOGS,
}


@dataclass(frozen=True)
class Removal:
    """Rows of (words, path, bytes): ``goes`` always; ``stays`` unless it is asked for (models, the history), and in
    any case what neither set-up nor the engine has made."""

    goes: List[Row]
    stays: List[Row]


def removable() -> Removal:
    """What :func:`remove` removes, and what only if it is told to; some seconds, for everything is measured."""
    sizes: Dict[Tuple[str, Path], int] = {}
    for sentence, path in _entries():
        single = sentence in _KINDS.values() and path.is_dir()
        key = (sentence, path if single else path.parent)
        sizes[key] = sizes.get(key, 0) + _size(path)
    rows = [(sentence, path, size) for (sentence, path), size in sizes.items()]
    kept = (sentences.MODELS, sentences.HISTORY, sentences.OTHERS)
    return Removal(
        [(say(sentence), path, size) for sentence, path, size in rows if sentence not in kept],
        [(say(sentence), path, size) for sentence, path, size in rows if sentence in kept],
    )


def remove(with_models: bool, with_history: bool) -> None:
    """Stop the bridge and remove everything, the models and the history only if asked for.

    Some seconds: call it in a thread. Raises BridgeError with a sentence; what is left then goes the next time.
    """
    data = launch.user_folders().data
    lock = FileLock(data / environments.LOCK)
    try:
        if data.is_dir() and not lock.acquire(0.0):
            raise SetUpFailed(say(sentences.BEING_SET_UP))
        launch.launch_file().unlink(missing_ok=True)  # from now on no editor starts the bridge again
        if not running.stop():
            raise SetUpFailed(say(sentences.BRIDGE_BUSY))
        chosen = {sentences.MODELS: with_models, sentences.HISTORY: with_history, sentences.OTHERS: False}
        going = [path for sentence, path in _entries() if chosen.get(sentence, True)]
        going.sort(key=lambda path: path.name == environments.LOCK)  # held to the end, so that nobody sets up meanwhile
        for path in going:
            if path.name == environments.LOCK:
                lock.release()
            environments.delete(path)
        for folder in sorted(_folders(), key=lambda each: -len(each.parts)):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise of_system(error, data) from None
    finally:
        lock.release()


def _folders() -> List[Path]:
    folders = launch.user_folders()
    return list(dict.fromkeys((folders.config, folders.data, folders.cache, folders.state)))


def _entries() -> Iterator[Tuple[str, Path]]:
    """Everything in the user's folders with what it is."""
    folders = _folders()
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path in folders:  # on Windows the cache lies within the others' folder
                continue
            of_file = (kind for pattern, kind in _FILES.items() if re.fullmatch(pattern, path.name))
            yield _KINDS.get(path.name) or next(of_file, sentences.OTHERS), path


def _size(path: Path) -> int:
    total = 0
    seen = set()
    for place in [path] if not path.is_dir() or path.is_symlink() else path.rglob("*"):
        status = os.lstat(str(place))
        if status.st_ino not in seen:  # two names of one file
            seen.add(status.st_ino)
            total += status.st_size
    return total
