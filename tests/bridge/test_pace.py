"""Where many workers are at work each of them says less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge_server import work
from bridge_server.client import messages
from bridge_server.pool.progress import pace
from bridge_server.worker.line import Line, Request
from bridge_server.worker.run import Pace, Run
from bridge_server.worker.shelf import Shelf
from engine import api
from tests.bridge.home import FAST, PLAIN_RUN, request


@pytest.mark.parametrize(("busy", "seconds"), [(1, 0.05), (20, 0.05), (200, 0.5), (1000, 2.5)])
def test_the_pace_of_so_many_workers(busy: int, seconds: float) -> None:
    assert pace(busy) == seconds


class _Ear(Line):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[Any] = []

    def say(self, message: Any, payload: Any = None) -> None:
        del payload
        self.said.append(message)


@pytest.mark.parametrize("seconds", [0.0, 1000.0])
def test_a_worker_keeps_to_it_and_tells_all_steps_in_the_end(tmp_path: Path, seconds: float) -> None:
    what = request(FAST, side=24, options=PLAIN_RUN)
    asked = Request(work.Start("job", what.order(), 0, 1, (), None, seconds))
    asked.data["pixels"][:], asked.data["selection"][:] = what.pixels, what.selection
    ear = _Ear()
    Run(asked, ear, Shelf(tmp_path / "steps", tmp_path / "spool"), lambda _: None).paint(api.load_model(FAST))
    progress = [message.call for message in ear.said if isinstance(message, messages.Progress)]
    steps = [message.steps for message in ear.said if isinstance(message, messages.Steps)]
    assert progress == ([1, 50] if seconds else list(range(1, 51)))
    assert len(steps[-1]) > 20
    assert (len(steps) == 1) == bool(seconds)


def test_the_time_of_a_unit_follows_the_last_calls_and_counts_large_ones_more() -> None:
    pace, now = Pace(), 100.0
    assert pace.seconds == 0
    for units, seconds in [(1, 0.0), (1, 3.0), *20 * [(1, 0.1)]]:  # the first one is slow
        now += seconds
        pace.step(now, units)
    assert 0.1 < pace.seconds < 0.15 + 3.0 * 0.9**20
    for units, seconds in [(100, 20.0), (1, 0.4)]:  # a hiccup of a small call
        now += seconds
        pace.step(now, units)
    assert pace.seconds == pytest.approx(0.2, rel=0.02)
