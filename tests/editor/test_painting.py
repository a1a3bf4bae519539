"""Pictures on their way into a layer: which are painted, in which order, and how often new ones are asked for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from bridge_server.client.editor.model import CLOSED, THERE, Picture, Run, Settings, Target, Variant
from bridge_server.client.editor.painting import FASTEST_PREVIEWS, FIRST_INTERVAL, Painter, PreviewRate
from bridge_server.client.geometry import Box

BOX = Box(0, 0, 1, 1)


class SlowLayer:
    """Takes three steps for each picture."""

    def __init__(self) -> None:
        self.painted: list[bytes] = []
        self.now = THERE

    def state(self) -> str:
        return self.now

    def paint(self, picture: Picture) -> Generator[None, None, float]:
        yield
        yield
        self.painted.append(picture.rgba)
        return 0.25


class Easel:
    def __init__(self) -> None:
        self.lost: list[str] = []
        self.told: list[float] = []
        self.painter = Painter(lambda _, state: self.lost.append(state), lambda _, seconds: self.told.append(seconds))
        self.run = Run(1, Settings("m", "fast", 7, 2), Target("d", "", BOX, BOX), None, [Variant(0, 7), Variant(1, 8)])
        self.layer = self.run.series.layer = SlowLayer()

    def show(self, shade: int, index: int = 0, then: Any = None) -> None:
        variant = self.run.variants[index]
        variant.picture, variant.version = Picture(1, 1, bytes([shade]) * 4, BOX), variant.version + 1
        self.painter.show(self.run, variant, then)

    def finish(self) -> None:
        while self.painter.busy:
            self.painter.step()


@pytest.fixture
def easel() -> Easel:
    return Easel()


def shades(easel: Easel) -> list[int]:
    return [rgba[0] for rgba in easel.layer.painted]


def test_one_that_is_begun_is_finished_and_of_those_that_wait_the_newest_is_painted(easel: Easel) -> None:
    for shade in (1, 2, 3, 4):
        easel.show(shade)
    easel.finish()
    assert shades(easel) == [1, 4]
    easel.show(5)
    easel.painter.step()
    easel.show(6, index=1)
    easel.finish()
    assert shades(easel)[2:] == [5, 6]
    assert easel.told == [0.25] * len(easel.layer.painted)


def test_what_follows_comes_after_the_last_picture(easel: Easel) -> None:
    seen: list[list[int]] = []

    def then() -> Generator[None, None, None]:
        seen.append(shades(easel))
        yield

    easel.show(1, then=then)
    easel.show(2, index=1)
    easel.finish()
    assert seen == [shades(easel)]
    assert shades(easel)[-1] == 2


def test_a_picture_that_stands_there_is_not_painted_again(easel: Easel) -> None:
    easel.show(1)
    easel.finish()
    easel.painter.show(easel.run, easel.run.variants[0])
    easel.finish()
    assert shades(easel) == [1]


def test_a_layer_that_goes_meanwhile_is_told(easel: Easel) -> None:
    easel.show(1)
    easel.layer.now = CLOSED
    easel.finish()
    assert (easel.lost, easel.told) == ([CLOSED], [])


def test_stopping_forgets_all_of_it(easel: Easel) -> None:
    easel.show(1, then=lambda: pytest.fail("it was stopped"))
    easel.painter.stop()
    assert not easel.painter.busy
    assert easel.layer.painted == []


def test_previews_take_a_tenth_of_the_time_and_one_slow_showing_does_not_count() -> None:
    asked: list[float] = []
    rate = PreviewRate(asked.append)
    rate.begin("d")
    rate.refreshed(9.0)
    assert asked == [FIRST_INTERVAL], "the second preview is not waited for so long"
    for _ in range(3):
        rate.refreshed(0.2)
    assert asked[-1] == 2.0
    rate.refreshed(9.0)
    assert asked[-1] == 2.0
    rate.begin("another document")
    for _ in range(3):
        rate.refreshed(0.001)
    assert asked[-1] == FASTEST_PREVIEWS


def test_a_rate_that_hardly_changes_is_not_told() -> None:
    asked: list[float] = []
    rate = PreviewRate(asked.append)
    rate.begin("d")
    for seconds in (0.04, 0.041, 0.039, 0.042):
        rate.refreshed(seconds)
    assert asked == [pytest.approx(0.4)]
