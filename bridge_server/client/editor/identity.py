"""Who the plug-in is to the bridge, and where it writes its log. ``editor``: a short name such as "krita"."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Optional

from bridge_server.client.errors import BridgeError
from bridge_server.client.launch import PrivateLog, plain_file, private_folder, user_folders, write_private


def client_id(editor: str) -> Optional[str]:
    """The name under which the bridge keeps this user's pictures over crashes and restarts; None: cannot be kept."""
    state = user_folders().state
    path = state / f"{editor}-client"
    try:
        name = path.read_text(encoding="ascii") if plain_file(path) else ""
        if re.fullmatch(editor + "-[0-9a-f]{32}", name) is None:
            name = f"{editor}-{secrets.token_hex(16)}"
            private_folder(state)
            write_private(path, name)
        return name
    except (OSError, ValueError, BridgeError):
        return None


def open_log(editor: str) -> str:
    """Messages and tracebacks of the logger ``repaint_EDITOR`` go to logs/EDITOR.log in the state folder; returns its
    path, or "" if it cannot be."""
    logger = logging.getLogger("repaint_" + editor)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        path = private_folder(private_folder(user_folders().state) / "logs") / f"{editor}.log"
        handler = PrivateLog(path, backups=1)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        return str(path)
    except (OSError, BridgeError):
        logger.addHandler(logging.NullHandler())
        return ""
