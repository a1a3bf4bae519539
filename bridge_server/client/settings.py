"""What `repaint-bridge` remembers for the bridge's next start: ``bridge.json`` in the user's config folder."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from bridge_server.client import launch

log = logging.getLogger("bridge.settings")


def settings_file() -> Path:
    return launch.user_folders().config / "bridge.json"


def read() -> dict[str, Any]:
    """All of them; nothing if there is no such file, it is broken, or another user could have written it."""
    path = settings_file()
    try:
        found = launch.read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        log.error("%s is broken and not used", path)
        return {}
    place = launch.changeable_by_others(path)
    if place:
        log.error("%s is not used: another user owns or can change %s", path, place)
        return {}
    return found if isinstance(found, dict) else {}


def write(name: str, value: Any) -> None:
    """Remember one; None forgets it.  Raises OSError or BridgeError if it cannot be written."""
    found = {**read(), name: value}
    path = settings_file()
    launch.private_folder(path.parent)
    launch.write_private(path, json.dumps({key: each for key, each in found.items() if each is not None}, indent=1))
