"""The memory forecast against the real peak of a process that does the run."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.devices import inference_dtype
from engine.models import catalogue, find, forecast, load
from tests.engine.toys import FOLDER as TOY

ROOT = Path(__file__).parents[2]
# Not getrusage's ru_maxrss: that begins with the peak of the process that started this one.
RUN = """
import sys
import numpy as np
from engine import api
from engine.exemplar import pyramid
from engine.models import forecast
pyramid.LADDER = tuple((sigma, 3) for sigma, _ in pyramid.LADDER)  # each call takes as much as the one before
pyramid.FINE = pyramid.FINE[0], 3
name, (side, total, variants) = sys.argv[1], map(int, sys.argv[2:])
model = api.load_model(name, "cpu")
image = np.random.default_rng(0).integers(0, 256, (total, total, 4), dtype=np.uint8)
image[..., 3] = 255
selection = np.zeros((total, total), np.uint8)
start = (total - side) // 2
selection[start : start + side, start : start + side] = 255
options = {"steps": 2, "jump_length": 2, "jump_samples": 1}
job = api.Job(image, selection, model=model.info.id, seed=1, variants=variants, **options)
for event in api.run(job, model):
    if isinstance(event, api.Step):
        event.preview(), event.keep()
peak = int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
need = forecast.need(model.info)
print(peak, need.total(total * total, side * side, variants))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux only")
@pytest.mark.parametrize(
    ("name", "side", "total", "variants"),
    [
        ("texture", 200, 400, 3),
        (str(TOY), 100, 128, 1),
        (str(TOY), 300, 700, 1),
        ("exemplar", 64, 464, 1),
        ("exemplar", 256, 1280, 4),
        ("exemplar", 512, 2560, 1),
        ("exemplar", 1024, 2828, 1),
        ("exemplar", 900, 1000, 1),
    ],
)
def test_models_take_what_was_forecast(name: str, side: int, total: int, variants: int) -> None:
    command = [sys.executable, "-c", RUN, name, str(side), str(total), str(variants)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    peak, expected = map(int, done.stdout.split())  # both in the number type of that process
    if name == str(TOY):  # its autoencoder has a tenth of the channels that the forecast is made for
        assert 0.2 * expected < peak < 1.1 * expected
    elif name == "exemplar":
        assert 0.75 * expected < peak < 1.25 * expected
    else:
        assert 0.7 * expected < peak < 1.1 * expected


def test_a_latent_model_needs_its_weights_as_they_are_in_memory(tmp_path: Path) -> None:
    """Elements times the bytes of their type there, the autoencoder in float32, and one window's decoding."""
    model = load(str(TOY), "cpu")
    need = forecast.need(model.info)
    assert need is not None
    state = {part: load_file(next((TOY / part).glob("*.safetensors"))) for part in ("unet", "text_encoder", "vae")}
    elements = {part: sum(tensor.numel() for tensor in tensors.values()) for part, tensors in state.items()}
    each = inference_dtype(model.device).itemsize
    weights = each * (elements["unet"] + elements["text_encoder"]) + 4 * elements["vae"]
    assert need.fixed == forecast.LIBRARIES + weights + forecast.DECODER * 128 * 128
    # From 128² up to one megapixel the decoder sees all of it.
    grown = need.total(1024 * 1024, 5) - need.fixed - forecast.PICTURE * 1024 * 1024
    assert grown == pytest.approx(forecast.DECODER * (1024 * 1024 - 128 * 128), rel=0.001)
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "model_index.json").write_text((TOY / "model_index.json").read_text())
    assert forecast.need(replace(model.info, folder=tmp_path / "half")) is None


def test_nothing_is_told_of_models_that_are_not_here() -> None:
    assert forecast.need(next(info for info in catalogue() if not info.installed)) is None
    assert forecast.Need(100, 10, 1).total(7, 5, 3) == 100 + 7 * 12
    assert forecast.Need(100, 10, 1, 20, 30).total(7, 5, 3) == 100 + 7 * 12 + 5 * 20
    assert forecast.Need(100, 10, 1, 20, 30).total(7, 5, 3, is_tile=True) == 100 + 7 * 32


def test_who_knows_what_is_selected_is_told_more_closely() -> None:
    """Every row of the table, as it was measured, within a tenth; the texture network's need stays as it is."""
    rows = re.findall(r"^(\d+)², (\d+)² +(\d+) +(\d+)$", str(forecast.__doc__).partition(":func:`of_run`")[2], re.M)
    assert len(rows) == 5
    for selected, sent, measured, said in (map(int, row) for row in rows):
        told = forecast.of_run(find("exemplar"), sent**2, selected**2, False)
        assert told is not None
        assert told >> 20 == pytest.approx(said, abs=1)
        assert said == pytest.approx(measured, rel=0.1)
    assert forecast.of_run(find("exemplar"), 500**2, 500 * 48, True) == (400 << 20) + 240 * 500**2
    assert forecast.of_run(find("exemplar"), 500**2, 500 * 48, True, maps=3) == (400 << 20) + 240 * 500**2
    network = forecast.need(find("texture"))
    assert network is not None
    assert forecast.of_run(find("texture"), 1000, 10, False, 2) == network.total(1000, 10, 2)


def test_maps_beside_a_picture_count() -> None:
    """Every row of the table, whose pictures were 2048² and read from files."""
    table = str(forecast.__doc__).partition("With maps")[2]
    rows = re.findall(r"^(\d+)², (\d+)² +(\d) +(\d+) +(\d+)$", table, re.M)
    assert len(rows) == 4
    for selected, sent, maps, measured, said in (map(int, row) for row in rows):
        told = forecast.of_run(find("exemplar"), sent**2, selected**2, False, maps=maps)
        assert told is not None
        files = 8 * (1 + maps) * 2048**2
        assert (told + files) >> 20 == pytest.approx(said, abs=1)
        assert said == pytest.approx(measured, rel=0.1)
