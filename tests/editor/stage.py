"""A flow between the editor made of files and a bridge that is played by lists, with a clock that the test moves."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bridge_server.client import events
from bridge_server.client.editor import flow as flow_module
from bridge_server.client.editor import model
from bridge_server.client.editor.host import Identity, Layer
from tests.editor.file_layer import FileLayer
from tests.editor.files import FileHost

SIZE = 4
RGBA = [bytes([shade]) * (SIZE * SIZE * 4) for shade in range(10)]


class Box:
    """A field's widget that is a variable."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value

    def fill(self, entries: Any) -> None:
        self.entries = [value for value, _, _ in entries]

    def on_change(self, work: Any) -> None:
        pass


class WatchedLayer(FileLayer):
    """A file layer that notes what was painted, and takes it or not as the test says."""

    def __init__(self, layer: FileLayer) -> None:
        super().__init__(layer.target, layer.path, layer.deselected)
        self.painted: list[bytes] = []
        self.visible = True
        self.refresh = 0.5
        self.takes = True

    @property
    def name(self) -> str:
        return self.path.stem[4:]

    def undo(self) -> None:
        self.path.unlink()

    def close_document(self) -> None:
        (self.path.parent / "picture.png").unlink()

    def paint(self, picture: model.Picture) -> Generator[None, None, float]:
        there = yield from super().paint(picture)
        if there:
            self.painted.append(picture.rgba)
        return self.refresh

    def holds(self, picture: model.Picture) -> Generator[None, None, bool]:
        held = yield from super().holds(picture)
        return held and self.takes

    def clear(self) -> None:
        super().clear()
        self.painted.append(b"")

    def set_visible(self, visible: bool) -> None:
        super().set_visible(visible)
        self.visible = visible


class WatchedHost(FileHost):
    """Its document is 4 × 4 pixels, of which the middle is selected."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        super().__init__(Path(self._temporary.name))
        Image.fromarray(np.zeros((SIZE, SIZE, 4), np.uint8)).save(self.folder / "picture.png")
        selection = np.zeros((SIZE, SIZE), np.uint8)
        selection[1:3, 1:3] = 255
        Image.fromarray(selection).save(self.folder / "selection.png")
        self.layers: list[WatchedLayer] = []
        self.document = Identity(str(self.folder), "key", "/pictures/a.png")

    def identity(self) -> Identity | None:
        return self.document

    def capture(self, settings: model.Settings) -> Iterator[model.Capture | None]:
        for found in super().capture(settings):
            target = replace(found.target, key=self.document.key, path=self.document.path) if found else None
            yield replace(found, target=target) if found else None

    def add_layer(self, target: model.Target, name: str, above_active: bool = False, deselect: bool = False) -> Layer:
        return super().add_layer(replace(target, document=str(self.folder)), name, above_active, deselect)

    def _add(self, *more: Any) -> WatchedLayer:
        self.layers.append(WatchedLayer(super()._add(*more)))
        return self.layers[-1]


class PaperSession:
    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.calls: list[str] = []
        self.requests: list[Any] = []

    def poll(self) -> list[Any]:
        waiting, self.waiting = self.waiting, []
        return waiting

    def submit(self, request: Any) -> str:
        self.calls.append("submit")
        self.requests.append(request)
        return f"job{len(self.requests)}"

    def branch(self, request: Any) -> str:
        self.calls.append("branch")
        self.requests.append(request)
        return f"job{len(self.requests)}"

    def keep(self, job: str, variants: Any) -> None:
        self.calls.append(f"keep {job} {list(variants)}")

    def look(self, job: str, variant: int, call: int) -> None:
        self.calls.append(f"look {job} {variant} {call}")

    def fetch(self, job: str) -> None:
        self.calls.append(f"fetch {job}")

    def resume(self, job: str) -> None:
        self.calls.append(f"resume {job}")

    def release(self, job: str) -> None:
        self.calls.append(f"release {job}")

    def discard(self, job: str) -> None:
        self.calls.append(f"discard {job}")

    def cancel(self, _job: str) -> None:
        self.calls.append("cancel")

    def restart_engine(self) -> None:
        self.calls.append("restart")

    def restart_bridge(self) -> None:
        self.calls.append("restart bridge")

    def set_preview_interval(self, seconds: float) -> None:
        self.calls.append(f"interval {seconds}")


class Stage:
    """A flow, its two sides and a clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.host, self.session = WatchedHost(), PaperSession()
        self.flow = flow_module.Flow(self.host, self.session, lambda: self.now)

    def start(self, variants: int = 1) -> None:
        self.flow.start(model.Settings("texture", "fast", 7, variants))
        self.steps()

    def steps(self) -> None:
        while self.flow.has_steps:
            self.flow.step()

    def tell(self, *news: Any) -> None:
        self.session.waiting.extend(news)
        self.flow.pump()
        self.steps()

    def running(self, variants: int = 1) -> WatchedLayer:
        self.start(variants)
        self.tell(events.Accepted("job1", 0, 10))
        return self.host.layers[0]


def preview(variant: int, shade: int, call: int = 1) -> events.Preview:
    return events.Preview("job1", variant, call, 0, 0, SIZE, SIZE, "u8", RGBA[shade])


def result(variant: int, shade: int) -> events.Result:
    return events.Result(
        "job1", variant, 7 + variant, 0, 0, SIZE, SIZE, "texture", 1.0, 0, False, "u8", rgba=RGBA[shade]
    )


def finished_run(stage: Stage, job: str, shade: int = 1, variants: int = 1) -> Any:
    """A run with all its results, and steps at the calls 3 and 6 of its first variant."""
    stage.start(variants)
    stage.tell(events.Accepted(job, 0, 10))
    for variant in range(variants):
        pixels = RGBA[shade + variant]
        stage.tell(
            events.Result(job, variant, 7 + variant, 0, 0, SIZE, SIZE, "texture", 1.0, 10, False, "u8", rgba=pixels)
        )
    steps = tuple(events.Step(call, 10 - call, 13 - call, 15 - call) for call in (3, 6))
    stage.tell(events.Steps(job, 0, steps), events.Done(job, 5.0 * variants))
    return stage.flow.runs[-1]
