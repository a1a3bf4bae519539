"""A run for scripts: as the procedures are called without a window."""

from __future__ import annotations

import time
from typing import Any

from gi.repository import Gimp

from bridge_server.client import events
from bridge_server.client.editor import script, sentences
from bridge_server.client.editor.model import Area, Settings
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.words import tr
from bridge_server.client.session import Session

from .host import GimpHost


def settings(config: Any, area: Area) -> Settings:
    """The procedure's arguments; a negative seed: one is drawn. Raises `Refused`."""
    options = {name: config.get_property(name) for name in ("model", "preset", "source", "feather")}
    seed, learn = int(config.get_property("seed")), config.get_property("learn")
    return script.settings(area, seed if seed >= 0 else None, **options, **({"learn": learn} if learn else {}))


def run(image: Any, wanted: Settings) -> Any:
    """The new layer. Raises `Refused` and BridgeError, each with its sentence; the image is then as before."""
    host = GimpHost(Probe())
    host.image = str(image.get_id())
    Gimp.progress_init(tr(sentences.PAINTING))
    session = Session("gimp " + Gimp.version(), preview_interval=3600.0)
    steps = script.steps(host, session, wanted, _show)
    try:
        while True:
            time.sleep(next(steps))
    except StopIteration as end:
        return end.value.layer
    finally:
        session.close()


def _show(event: events.Progress) -> None:
    Gimp.progress_update((event.call + 1) / event.calls if event.calls else 0.0)
