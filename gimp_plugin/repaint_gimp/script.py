"""A run for scripts: reads, waits for the end, puts one layer into the image. No window, no preview, no extension."""

from __future__ import annotations

import random
from typing import Any

from gi.repository import Gimp

from bridge_server.client import events
from bridge_server.client.editor import sentences
from bridge_server.client.editor.flow import request
from bridge_server.client.editor.machine import NO_BRIDGE_CODES
from bridge_server.client.editor.model import (
    MAX_SEED,
    Area,
    Picture,
    Refused,
    Run,
    Settings,
    Variant,
    layer_name,
)
from bridge_server.client.editor.probe import Probe
from bridge_server.client.editor.words import tr
from bridge_server.client.errors import BridgeError
from bridge_server.client.run_job import run as run_job
from bridge_server.client.session import Session

from .host import GimpHost


def settings(config: Any, area: Area) -> Settings:
    """The procedure's arguments; a negative seed: one is drawn."""
    seed = int(config.get_property("seed"))
    learn = config.get_property("learn")
    return Settings(
        config.get_property("model"),
        config.get_property("preset"),
        seed if seed >= 0 else random.SystemRandom().randrange(MAX_SEED + 1),
        source=config.get_property("source"),
        options={"learn": learn} if learn else {},
        feather=config.get_property("feather"),
        area=area,
    )


def run(image: Any, wanted: Settings) -> Any:
    """The new layer. Raises `Refused` and BridgeError, each with its sentence; the image is then as before."""
    host = GimpHost(Probe())
    host.image = str(image.get_id())
    capture = next(found for found in host.capture(wanted) if found is not None)
    Gimp.progress_init(tr(sentences.PAINTING))
    session = Session("gimp " + Gimp.version(), preview_interval=3600.0)
    session.start()
    try:
        results = run_job(session, request(capture, wanted), on_progress=_show, on_event=_look_for_bridge)
    finally:
        session.close()
    result = results[0]
    variant = Variant(0, result.seed, picture=Picture.of(result))
    layer = host.add_layer(capture.target, layer_name(Run(0, wanted, capture.target, None, []), variant))
    assert variant.picture is not None
    for _ in layer.paint(variant.picture):
        pass
    taken = list(_outcome(layer.holds(variant.picture)))[-1]
    if not taken:
        layer.remove()
        raise Refused(sentences.NOT_TAKEN)
    return layer.layer


def _outcome(generator: Any) -> Any:
    """What a generator returns, as its last value."""
    yield (yield from generator)


def _show(event: events.Progress) -> None:
    Gimp.progress_update((event.call + 1) / event.calls if event.calls else 0.0)


def _look_for_bridge(event: events.Event) -> None:
    """A session goes on trying for ever; a script is told."""
    if isinstance(event, events.Disconnected) and event.code in NO_BRIDGE_CODES:
        raise BridgeError(event.sentence, code=event.code)
    if isinstance(event, events.EngineDown) and not event.will_retry:
        raise BridgeError(event.sentence)
