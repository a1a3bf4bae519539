"""The editor made of files with the real bridge and the real engine behind it: what a `Host` offers is all used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.maps import MapWish
from bridge_server.client.editor.model import Area, Extend, Settings, Tile, layer_name
from bridge_server.client.session import Session
from tests.bridge.home import Home, until
from tests.editor.files import FileHost
from tests.editor.folders import read

MODEL, SLOW = "test/gaussian", "test/gaussian-slow"
WIDTH, HEIGHT = 96, 72


class Desk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
        self.before[..., 3] = 255
        self.suffix = ".png"
        selection = np.zeros((HEIGHT, WIDTH), np.uint8)
        selection[20:40, 30:60] = 255
        Image.fromarray(self.before).save(folder / "picture.png")
        Image.fromarray(selection).save(folder / "selection.png")
        self.session = Session("files")
        self.session.start()
        self.flow = Flow(FileHost(folder), self.session)

    def start(self, model: str = MODEL, area: Area = None) -> None:
        self.flow.start(Settings(model, "fast", 5, options={"steps": 20}, area=area))

    def until(self, condition: Callable[[], object], what: str) -> None:
        def turn() -> object:
            self.flow.pump()
            self.flow.tick()
            while self.flow.has_steps:
                self.flow.step()
            return condition()

        until(turn, what)

    def end(self) -> None:
        self.until(lambda: not self.flow.busy, "the run ends")

    def layers(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(f"[0-9]*{self.suffix}"))

    def pixels(self, name: str = "picture") -> np.ndarray:
        path = (self.folder / name).with_suffix(self.suffix)
        return np.load(path) if self.suffix == ".npy" else np.array(Image.open(path))

    def make_deep(self, dtype: str) -> None:
        """The document's picture becomes a deep one, of floats with light above white."""
        (self.folder / "picture.png").unlink()
        self.suffix, scale = ".npy", 257 if dtype == "u2" else 3 / 255
        self.before = (self.before.astype(float) * scale).astype(dtype)
        self.before[..., 3] = 65535 if dtype == "u2" else 1
        np.save(self.folder / "picture.npy", self.before)


@pytest.fixture
def desk(home: Home, tmp_path: Path) -> Iterator[Desk]:
    del home
    one = Desk(tmp_path)
    yield one
    one.session.close()


def test_a_selection_is_repainted_in_a_layer_of_its_own(desk: Desk) -> None:
    desk.start()
    desk.end()
    assert not desk.flow.is_error, desk.flow.sentence
    assert desk.layers() == ["001 RePaint test-gaussian · seed 5.png"]
    layer = desk.pixels(desk.layers()[0])
    assert (layer[20:40, 30:60, 3] == 255).all()
    layer[20:40, 30:60] = 0
    assert not layer.any()
    assert np.array_equal(desk.pixels(), desk.before)


@pytest.mark.parametrize("dtype", ["u2", "f2", "f4"])
@pytest.mark.parametrize("area", [None, Extend(right=32)], ids=["selection", "extend"])
def test_a_deep_document_gets_a_deep_layer(desk: Desk, dtype: str, area: Area) -> None:
    desk.make_deep(dtype)
    desk.start(area=area)
    desk.end()
    assert not desk.flow.is_error, desk.flow.sentence
    layer = desk.pixels(desk.layers()[0])
    assert layer.dtype == desk.before.dtype
    part = layer[20:40, 30:60] if area is None else layer[:, WIDTH:]
    assert (part[..., 3] == desk.before[0, 0, 3]).all()
    assert len(np.unique(part[..., :3])) > 300
    if dtype != "u2":
        assert part[..., :3].max() > 1
    assert np.array_equal(desk.pixels()[:, :WIDTH], desk.before)


def test_a_cancelled_extension_leaves_the_canvas_as_it_was(desk: Desk) -> None:
    desk.start(SLOW, Extend(right=32, bottom=8))
    desk.until(lambda: desk.layers(), "the layer is there")
    assert desk.pixels().shape == (HEIGHT + 8, WIDTH + 32, 4)
    desk.flow.cancel()
    desk.end()
    assert desk.layers() == []
    assert np.array_equal(desk.pixels(), desk.before)


def test_a_tile_is_painted_along_its_borders_only(desk: Desk) -> None:
    desk.start(area=Tile("x", 16))
    desk.end()
    marked = desk.pixels(desk.layers()[0])[..., 3]
    assert (marked[:, :8] == 255).all()
    assert (marked[:, -8:] == 255).all()
    assert not marked[:, 8:-8].any()


def test_a_layer_that_is_removed_ends_its_run(desk: Desk) -> None:
    desk.start(SLOW)
    desk.until(lambda: "first_preview" in desk.flow.run.timings, "a preview")
    (desk.folder / desk.layers()[0]).unlink()
    desk.end()
    assert desk.flow.is_error
    assert "layer is gone" in desk.flow.sentence
    assert desk.layers() == []


# ---- maps ----
MAPS = (MapWish("height.map.npy", "height"), MapWish("roughness.map.png", "roughness", weight=200))


def add_maps(desk: Desk) -> None:
    """Two maps that are linear functions of the picture's green, one of 16 bits."""
    desk.before[..., :3] = 60 + desk.before[..., :3] // 3
    Image.fromarray(desk.before).save(desk.folder / "picture.png")
    green = desk.before[..., 1:2].astype(int)
    height = np.repeat(257 * green, 4, axis=2).astype(np.uint16)
    roughness = np.repeat(255 - green, 4, axis=2).astype(np.uint8)
    height[..., 3], roughness[..., 3] = 65535, 255
    np.save(desk.folder / "height.map.npy", height)
    Image.fromarray(roughness).save(desk.folder / "roughness.map.png")


def functions_hold(desk: Desk) -> None:
    """In the layers of the newest run, but for the rounding of both sides."""
    run = desk.flow.runs[-1]
    name = layer_name(run, run.variants[run.shown])
    colour, height, roughness = (
        read(next(desk.folder.glob(f"[0-9]* {name}{end}.*"))).astype(float) for end in ("", " · height", " · roughness")
    )
    painted = colour[..., 3] == 255
    assert painted.any()
    assert colour[painted][:, 1].std() > 5
    assert (np.abs(height - 257 * colour)[painted][:, 1] <= 257 / 2 + 1).all()
    assert (np.abs(roughness + colour - 255)[painted][:, 1] <= 1).all()


@pytest.mark.parametrize("area", [None, Extend(left=16, bottom=8), Tile("x", 16)], ids=["selection", "extend", "tile"])
def test_maps_that_are_functions_of_the_colour_stay_these_functions(desk: Desk, area: Area) -> None:
    add_maps(desk)
    desk.flow.start(Settings("exemplar", "fast", 5, 1, "layer", area=area, maps=MAPS))
    desk.end()
    assert not desk.flow.is_error, desk.flow.sentence
    assert len(list(desk.folder.glob("[0-9]*"))) == 3
    functions_hold(desk)


@pytest.mark.slow
def test_more_variants_and_branches_have_the_maps_too(desk: Desk) -> None:
    add_maps(desk)
    desk.flow.start(Settings("exemplar", "fast", 5, 1, "layer", maps=MAPS))
    desk.end()
    run = desk.flow.runs[0]
    desk.flow.more_variants(run, 1)
    desk.end()
    assert not desk.flow.is_error, desk.flow.sentence
    functions_hold(desk)
    desk.until(lambda: run.variants[0].steps, "steps to branch from")
    desk.flow.branch(run, 0, run.variants[0].steps[0].call, "harmonise", 1, 9)
    desk.end()
    assert not desk.flow.is_error, desk.flow.sentence
    functions_hold(desk)
    assert len(list(desk.folder.glob("[0-9]*"))) == 3, "all in the same layers"


def test_pictures_on_disk_come_back_with_their_maps(desk: Desk) -> None:
    add_maps(desk)
    desk.session.close()
    desk.session = Session("files", history=True)
    desk.session.start()
    desk.flow = Flow(FileHost(desk.folder), desk.session)
    desk.flow.start(Settings("exemplar", "fast", 5, 2, "layer", maps=MAPS))
    desk.end()
    run = desk.flow.runs[0]
    other = 1 - run.shown
    run.variants[other].picture = None  # memory was short
    desk.flow.choose(run, other)
    desk.until(lambda: run.series.shown == (run.number, other), "the other one is fetched")
    assert run.shown == other
    functions_hold(desk)
