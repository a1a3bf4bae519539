"""A box that paints for this computer, connected from an editor: what ``repaint-bridge connect`` does and says."""

from __future__ import annotations

import os
import subprocess
from typing import Any, Callable, Dict, List

from bridge_server.client import launch, setup
from bridge_server.client.errors import NotInstalled, SetUpFailed
from bridge_server.client.setup import boxes

from . import sentences
from .pump import Pump
from .words import tr

BOX_COMMAND = "repaint-bridge connect …"
"""Stands in the empty line, in every language."""
_SECONDS = 60.0


def command(*words: str) -> str:
    """What ``repaint-bridge`` of the engine that is set up prints, whether or not it succeeds.  Raises BridgeError."""
    recipe = launch.read_launch_file()
    options: Dict[str, Any] = {"creationflags": 0x08000000} if os.name == "nt" else {}  # CREATE_NO_WINDOW
    try:
        program = recipe.arguments[: recipe.arguments.index("serve")]
        done = subprocess.run(
            [recipe.interpreter, *program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**launch.clean_environ(), "PYTHONUTF8": "1"},
            timeout=_SECONDS,
            check=False,
            **options,
        )
    except (ValueError, OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(launch.NOT_INSTALLED, repr(error)) from None
    return done.stdout.decode("utf-8", "replace").replace("error: ", "").strip()


class BoxPage:
    """``text`` is what a window draws below the line and the buttons; ``listeners`` are called after each change.
    ``run``: asks the engine, as `command` does."""

    def __init__(self, pump: Pump, run: Callable[..., str] = command) -> None:
        self._pump, self.run = pump, run
        self.listeners: List[Callable[[], None]] = []
        self._busy = False
        place = boxes.connected()
        self.text = tr(setup.sentences.BOX_PAINTS).format(place=place) if place else ""

    def connect(self, line: str) -> None:
        """``line``: as the box shows it, or its address and key alone."""
        try:
            self._do("connect", *boxes.read(line).split())
        except SetUpFailed as error:
            self._show(tr(error.sentence))

    def disconnect(self) -> None:
        self._do("disconnect")

    def _do(self, *words: str) -> None:
        if self._busy:
            return
        self._busy = True
        self._show(tr(sentences.BOX_ASKED))
        self._pump.aside("box", lambda: self.run(*words), self._answered, lambda why: self._answered(tr(why)))

    def _answered(self, said: str) -> None:
        self._busy = False
        self._show(said)

    def _show(self, text: str) -> None:
        self.text = text
        for listener in list(self.listeners):
            listener()
