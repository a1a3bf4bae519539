"""The forecast of a run's memory: the engine's numbers as a sentence, and a word when they are too much."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge_server.client.editor import memory
from bridge_server.client.events import Model


def model(**fields: int) -> Model:
    return Model("m", "M", "f", "l", True, False, False, **fields)


def test_a_forecast_grows_with_pixels_and_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_mib", lambda: 1000.0)
    known = model(memory_mib=500, pixel_bytes=100, variant_bytes=50)
    assert memory.forecast(known, 1 << 20, 9, 1) == "Memory needed for the selection: about 600 MiB."
    assert memory.forecast(known, 1 << 20, 9, 3) == "Memory needed for the selection: about 700 MiB."
    painted = model(memory_mib=500, pixel_bytes=100, selected_bytes=400, tile_bytes=300)
    assert memory.forecast(painted, 1 << 20, 1 << 18, 1) == "Memory needed for the selection: about 700 MiB."
    assert painted.needed_mib(1 << 20, 1 << 18, is_tile=True) == 300
    with_maps = model(memory_mib=500, pixel_bytes=100, tile_bytes=300, map_bytes=10, map_selected_bytes=40)
    assert with_maps.needed_mib(1 << 20, 1 << 18, maps=2) == 100 + 2 * (10 + 10)
    assert with_maps.needed_mib(1 << 20, 1 << 18, is_tile=True, maps=2) == 300
    assert memory.forecast(with_maps, 1 << 20, 1 << 18, 1, 2) == "Memory needed for the selection: about 640 MiB."
    much = memory.forecast(known, 11 << 20, 9, 1)
    assert much == "Memory needed for the selection: about 1600 MiB. " + (
        "Only 1000 MiB are free: select less, or paint fewer variants."
    )
    assert memory.forecast(model(), 1 << 20, 9, 1) is None
    assert memory.forecast(known, 0, 0, 1) is None


def test_free_memory_is_the_systems_own(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       2048 kB\nMemAvailable:    1536 kB\n")
    assert memory.free_mib(str(file)) == 1.5
    file.write_text("MemAvailable: much\n")
    assert memory.free_mib(str(file)) is None
    assert memory.free_mib(str(tmp_path / "nothing")) is None
    if sys.platform == "linux":
        assert (memory.free_mib() or 0) > 0
