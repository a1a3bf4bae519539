"""Another machine as the engine: this computer needs the bridge alone, which `repaint-bridge connect` joins to it."""

from __future__ import annotations

import re

from bridge_server.client import settings
from bridge_server.client.errors import SetUpFailed
from bridge_server.client.setup import environments, sentences
from bridge_server.client.setup.kit import BOX
from bridge_server.client.setup.sentences import say


def read(line: str) -> str:
    """ "HOST:PORT KEY" of the line that is shown on the box, or of what was copied of it. Raises SetUpFailed."""
    found = re.search(r"(\S+:\d{1,5})\s+([A-Za-z2-7]{52})\s*$", line.strip())
    if not found:
        raise SetUpFailed(say(sentences.NOT_THE_LINE))
    return " ".join(found.groups())


def connected() -> str:
    """ "HOST:PORT" of the box that this user is connected to, or ""."""
    try:
        box = settings.read()["box"]
        host, port = str(box["host"]), int(box["port"])
    except (ValueError, TypeError, KeyError):
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def painting() -> str:
    """The same if nothing but the box paints for this computer."""
    current = environments.current()
    stamp = environments.read_stamp(current) if current is not None else None
    return connected() if stamp is not None and stamp.flavour == BOX else ""
