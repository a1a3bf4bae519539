"""A run for scripts, in any editor: reads, waits for the end, puts one layer into the document. No window, no preview.

What an option may be is said by `fields`; it is called as on the command line.
"""

from __future__ import annotations

import random
from typing import Any, Callable, Generator, List, Optional

from bridge_server.client import events
from bridge_server.client.errors import BridgeError
from bridge_server.client.run_job import WAIT_SECONDS, in_steps
from bridge_server.client.session import Session

from . import sentences
from .fields import FIELDS
from .flow import request
from .host import Host, Layer
from .machine import NO_BRIDGE_CODES
from .model import MAX_SEED, Area, Capture, Picture, Refused, Run, Settings, Variant, layer_name
from .words import tr

OWN = ("model", "preset", "source", "feather")  # of `Settings` itself; all others are sent as they are


def settings(area: Area, seed: Optional[int] = None, **options: Any) -> Settings:
    """What a run is told with these options; missing ones have the window's defaults. ``seed`` None: one is drawn.
    Raises `Refused`: an option cannot have that value."""
    seed = random.SystemRandom().randrange(MAX_SEED + 1) if seed is None else checked("seed", seed)
    own = {name: checked(name, options.pop(name, FIELDS[name].default)) for name in OWN if name != "model"}
    model = options.pop("model", "texture" if options.get("learn") else FIELDS["model"].default)
    for name in options:
        if name in FIELDS:
            checked(name, options[name])
    return Settings(checked("model", model), own.pop("preset"), seed, options=options, area=area, **own)


def checked(field: str, value: Any, name: str = "") -> Any:
    """The value of a field, called ``name`` in scripts. Raises `Refused`."""
    try:
        return FIELDS[field].check(value)
    except ValueError:
        raise Refused(tr(sentences.BAD_OPTION).format(name=name or field, value=repr(value))) from None


def steps(
    host: Host, session: Session, wanted: Settings, on_progress: Callable[[events.Progress], None] = lambda _: None
) -> Generator[float, None, Layer]:
    """Does it on the document in front of ``host`` and returns the new layer; yields the seconds to wait before going
    on. ``session``: is started here; whoever made it closes it.

    Raises `Refused` and BridgeError, each with its sentence; the document is then as before, also if this is closed.
    """
    reader = host.capture(wanted)
    while (capture := next(reader)) is None:
        yield 0.0
    session.start()
    layer: Optional[Layer] = None
    done = False
    try:
        result = yield from _painted(session, capture, wanted, on_progress)
        variant = Variant(0, result.seed, picture=Picture.of(result))
        layer = host.add_layer(capture.target, layer_name(Run(0, wanted, capture.target, None, []), variant))
        yield 0.0  # the editor hears of a new layer later
        assert variant.picture is not None
        yield from _pauses(layer.paint(variant.picture))
        if not (yield from _pauses(layer.holds(variant.picture))):
            raise Refused(sentences.NOT_TAKEN)
        done = True
        return layer
    finally:
        if not done:
            if layer is not None:
                layer.remove()
            host.withdraw(capture.target)


def _painted(
    session: Session, capture: Capture, wanted: Settings, on_progress: Callable[[events.Progress], None]
) -> Generator[float, None, events.Result]:
    job = in_steps(session, request(capture, wanted), on_progress, on_event=_look_for_bridge)
    try:
        while True:
            next(job)
            yield WAIT_SECONDS
    except StopIteration as end:
        results: List[events.Result] = end.value
        return results[0]
    finally:
        job.close()


def _pauses(work: Generator[None, None, Any]) -> Generator[float, None, Any]:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        yield 0.0


def _look_for_bridge(event: events.Event) -> None:
    """A session goes on trying for ever; a script is told."""
    if isinstance(event, events.Disconnected) and event.code in NO_BRIDGE_CODES:
        raise BridgeError(event.sentence, code=event.code)
    if isinstance(event, events.EngineDown) and not event.will_retry:
        raise BridgeError(event.sentence)
