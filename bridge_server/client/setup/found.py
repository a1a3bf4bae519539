"""What is there already: the look that an editor takes each time it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge_server.client import launch
from bridge_server.client.errors import NotInstalled
from bridge_server.client.setup import boxes, environments, sentences
from bridge_server.client.setup.kit import BOX, lock_digest, project_version
from bridge_server.client.setup.sentences import say
from bridge_server.client.setup.tags import numbers


@dataclass(frozen=True)
class Found:
    """``state``: "ready", "missing", "broken", or "old" (it works, and the kit holds a newer one).

    ``sentence`` says what to do next; "" if ready.
    """

    state: str
    sentence: str = ""


def found(kit: Path | None = None) -> Found:
    """Whether a working engine is set up: some milliseconds, nothing is started and nothing is written."""
    try:
        recipe = launch.read_launch_file()
    except NotInstalled as error:
        if not launch.launch_file().exists():
            begun = (launch.user_folders().data / environments.PROGRESS).exists()
            return Found("missing", say(sentences.UNFINISHED if begun else sentences.MISSING))
        return Found("broken", error.sentence)
    environment = environments.of_interpreter(recipe.interpreter)
    stamp = environments.read_stamp(environment)
    if not environment.is_dir():
        return Found("missing", say(sentences.FOLDER_GONE, place=environment))
    if stamp is None:  # a checkout's own, or one that an interrupted repair has left
        if environment.parent == environments.engines():
            return Found("broken", say(sentences.NOT_WHOLE))
        works = environments.interpreter_works(environment)
        return Found("ready") if works else Found("broken", say(sentences.PYTHON_GONE))
    if stamp.flavour == BOX and not boxes.connected():
        return Found("missing", say(sentences.NO_BOX))
    broken = environments.quick_look(environment, stamp)
    trouble = launch.trouble_file(recipe.interpreter)
    if not broken and trouble.is_file():
        broken = say(sentences.NOT_STARTING, reason=trouble.read_text(encoding="utf-8", errors="replace"))
    if broken:
        return Found("broken", broken)
    new = project_version(kit) if kit and (kit / "lock.json").is_file() else ""
    if kit and new and numbers(new) > numbers(stamp.project) and lock_digest(kit) != stamp.kit:
        return Found("old", say(sentences.OLD, old=stamp.project, new=new))
    return Found("ready")
