"""The layers of `files`: each is one file as large as its document."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import numpy as np

from bridge_server.client.editor.model import CLOSED, GONE, THERE, Picture, Target
from tests.editor.folders import picture_of, read, slices, write


class FileLayer:
    """A `Layer`. ``deselected``: what comes back as the selection with its removal."""

    def __init__(self, target: Target, path: Path, deselected: bytes = b"") -> None:
        self.target, self.path, self.deselected = target, path, deselected

    def state(self) -> str:
        if picture_of(self.path.parent) is None:
            return CLOSED
        return THERE if self.path.exists() else GONE

    def paint(self, picture: Picture) -> Generator[None, None, float]:
        yield
        began = time.monotonic()
        if self.state() != THERE:
            return 0.0
        write(self.path, self._with(picture, np.zeros_like(read(self.path))))
        return time.monotonic() - began

    def holds(self, picture: Picture) -> Generator[None, None, bool]:
        yield
        if self.state() != THERE:
            return False
        there = read(self.path)
        return np.array_equal(there, self._with(picture, there.copy()))

    def _with(self, picture: Picture, pixels: np.ndarray) -> np.ndarray:
        """The pixels, in the picture's place its own."""
        for place in self.target.on_canvas(picture):
            data = picture.cut(self.target.inside(place), self.target.depth)
            pixels[slices(place)] = np.frombuffer(data, pixels.dtype).reshape(place.height, place.width, 4)
        return pixels

    def clear(self) -> None:
        if self.state() == THERE:
            write(self.path, np.zeros_like(read(self.path)))

    def rename(self, name: str) -> None:
        if self.state() == THERE:
            name = f"{self.path.name[:3]} {name.replace('/', '-')}{self.path.suffix}"
            self.path = self.path.rename(self.path.with_name(name))

    def set_visible(self, visible: bool) -> None:
        """A hidden layer's file can be read by nobody."""
        if self.state() == THERE:
            self.path.chmod(0o600 if visible else 0)

    def remove(self) -> None:
        if self.state() == THERE:
            self.path.unlink()
            selection = self.path.parent / "selection.png"
            if self.deselected and not selection.exists():
                selection.write_bytes(self.deselected)
