"""How a process that the bridge starts, and that has the engine, begins and ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from bridge_server.client.launch import PrivateLog
from engine.untrusted import own_input


def begin() -> dict[str, Any]:
    """Write a log into the file that the command line names; return the bridge's orders, the first line of standard
    input."""
    handler = PrivateLog(Path(sys.argv[1]), backups=2)
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the bridge
    orders: dict[str, Any] = json.loads(own_input().readline())
    return orders


def leave(status: int = 0) -> None:
    """End the process now: threads of native libraries must not be waited for."""
    logging.shutdown()
    os._exit(status)
