"""Krita and GIMP at the same time: one bridge, one worker, turn by turn, the same pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.driven import Display
from tests.krita.conftest import start_krita
from tests.krita.desk import Desk as KritaDesk
from tests.krita.host import chosen_krita
from tests.krita.host import missing_programs as missing_for_krita

from .desk import Desk
from .host import chosen_gimp


@pytest.fixture
def krita(work: Path, display: Display) -> Iterator[KritaDesk]:
    missing = missing_for_krita()
    if missing:
        sentence = f"Krita beside GIMP lacks: {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    root = chosen_krita().root
    if root is not None and root != chosen_gimp().root:
        pytest.skip("this Krita lies in another root file system than this GIMP")
    host = start_krita(work / "krita", display)
    desk = KritaDesk(host)
    host.wait("flow.connected and flow.engine == 'ready'", seconds=90, what="the engine is ready")
    yield desk
    host.stop()


def test_one_bridge_one_worker_turn_by_turn(desk: Desk, krita: KritaDesk) -> None:
    picture, image = krita.new(300, 200), desk.new(300, 200)
    krita.select(picture, 100, 60, 80, 60)
    desk.select(image, 100, 60, 80, 60)
    krita.choose("test/gaussian-slow", seed=7, variants=2)
    desk.choose("test/gaussian-slow", seed=7)
    before = desk.bridge()
    krita.press()
    krita.wait_preview()
    desk.press(image)
    desk.host.wait("flow.sentence == 'Waiting: 1 run before this one.'", what="GIMP says that it waits")
    both = desk.bridge()
    assert (both.pid, both.worker_pid) == (before.pid, before.worker_pid)
    assert both.queued == 1
    assert krita.wait_end().startswith("Done")
    krita.press()  # while GIMP's turn has come
    krita.host.wait("flow.busy")
    assert desk.wait_end().startswith("Done"), "the one who waited comes before the one who comes again"
    assert krita.host.run("flow.busy"), "the third job comes after the second"
    assert krita.wait_end().startswith("Done")
    after = desk.bridge()
    assert (after.pid, after.worker_pid) == (before.pid, before.worker_pid)
    krita.show_first()
    fill = desk.layer_pixels(image, "RePaint test/gaussian-slow · seed 7")
    assert np.array_equal(krita.pixels(picture)[60:120, 100:180, 2::-1], fill[..., :3]), "the same seed, the same fill"
