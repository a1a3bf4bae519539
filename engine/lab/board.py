"""A cell's steps as TensorBoard's event files: the extra ``lab``, loaded only when asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import BadInput, EngineError
from engine.lab.experiment import Experiment, Result, Scene
from engine.lab.notebook import slug

FOLDER = "tensorboard"
PAUSE = 1.0
"""Least seconds between pictures: making them costs."""


class Board:
    """An :class:`engine.lab.running.Onlooker`: of each cell x̂_0, the seconds of each call and the cell's own curves
    while it runs, and its numbers at the end."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: in which they get one of their own.

        Raises:
            BadInput: ``no_tensorboard``.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            sentence = (
                "--tensorboard needs the package tensorboard; install it with "
                "'python -m pip install repaint-bridge[lab]', or leave the option out."
            )
            raise BadInput("no_tensorboard", sentence, repr(error)) from error
        self._folder, self._open = folder / FOLDER, SummaryWriter
        self._writer: Any = None
        self._last = self._pictured = 0.0

    def begin(self, experiment: Experiment, words: str, _done: int, _of: int) -> None:
        self.close()
        try:
            self._writer = self._open(str(self._folder / slug({experiment.name: words})), flush_secs=2)
        except OSError as error:
            sentence = f"{self._folder} cannot be written; choose another folder with --out."
            raise EngineError("not_written", sentence, repr(error)) from error
        self._last, self._pictured = time.monotonic(), 0.0

    def step(self, call: int, calls: int, look: Callable[[], Scene] | None, numbers: Mapping[str, float]) -> None:
        now, writer = time.monotonic(), self._writer
        writer.add_scalar("seconds of a call", now - self._last, call)
        for name, value in numbers.items():
            writer.add_scalar(name, value, call)
        if look is not None and (now - self._pictured > PAUSE or call == calls):
            writer.add_image("estimate", look().estimate, call, dataformats="HWC")
            self._pictured = now
        self._last = time.monotonic()

    def end(self, result: Result) -> None:
        for name, value in result.numbers.items():
            for number, each in enumerate(value if isinstance(value, list) else [value]):
                if each is not None:
                    self._writer.add_scalar(f"result/{name}", each, number)
        for name, picture in result.pictures.items():
            self._writer.add_image(f"result/{name}", picture, dataformats="HW" if picture.ndim == 2 else "HWC")
        self.close()

    def close(self) -> None:
        """End the file in work."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None
