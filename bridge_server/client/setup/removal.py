"""What set-up and the engine have put into the user's folders, and removing it."""

from __future__ import annotations

import contextlib
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
_KINDS = {  # by folder, patterns of names
    "config": {r"(launch|bridge|krita|gimp|gimp-window)(\.broken)?\.json.*|box": sentences.SETTINGS},
    "data": {
        "engines": sentences.ENGINES,
        "python": sentences.PYTHONS,
        "models": sentences.MODELS,
        r"setup\.lock|setup\.json.*": sentences.LOGS,
    },
    "cache": {
        "learned": sentences.LEARNED,
        "wheels|uv|trial": sentences.DOWNLOADS,
        r"RePaint\.jpg": sentences.LOGS,
    },
    "state": {
        r"spool|steps|journal\.sqlite.*": sentences.HISTORY,
        r"logs|(bridge|start)\.lock|connection\.json.*|(krita|gimp)-client.*": sentences.LOGS,
    },
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
        single = sentence not in (sentences.SETTINGS, sentences.LOGS, sentences.OTHERS) and path.is_dir()
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
    moved, home = os.environ.get(launch.HOME_VARIABLE, "").strip(), Path.home().resolve()
    if moved and Path(moved).resolve() in (home, *home.parents):
        raise SetUpFailed(say(sentences.IN_HOME, place=moved))
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
                (folder.unlink if environments.is_link(folder) else folder.rmdir)()
    except OSError as error:
        raise of_system(error, data) from None
    finally:
        lock.release()


def _folders() -> List[Path]:
    folders = launch.user_folders()
    return list(dict.fromkeys((folders.config, folders.data, folders.cache, folders.state)))


def _entries() -> Iterator[Tuple[str, Path]]:
    """Everything in the user's folders with what it is."""
    folders = vars(launch.user_folders())
    for folder in _folders():
        known = {}
        for name, place in folders.items():
            known.update(_KINDS[name] if place == folder else {})
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path not in folders.values():  # on Windows the cache lies within the others' folder
                yield _kind(path.name, known), path


def _kind(name: str, known: Dict[str, str]) -> str:
    for pattern, kind in known.items():
        if re.fullmatch(pattern, name):
            return kind
    before = re.sub(r"\.broken(-\d+)?$", "", name)  # what was set aside
    return sentences.LOGS if before != name and _kind(before, known) != sentences.OTHERS else sentences.OTHERS


def _size(path: Path) -> int:
    """Bytes of its files; those that go while they are counted count as none."""
    places = [str(path)]
    if path.is_dir() and not path.is_symlink():
        places = [str(Path(folder, name)) for folder, _, names in os.walk(str(path)) for name in names]
    sizes = {}
    for place in places:
        with contextlib.suppress(OSError):
            status = os.lstat(place)
            sizes[status.st_ino] = status.st_size  # two names of one file count once
    return sum(sizes.values())
