"""The memory forecast against the real peak of a process that does the run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine import forecast
from engine.models import catalogue

ROOT = Path(__file__).parents[2]
# Not getrusage's ru_maxrss: that begins with the peak of the process that started this one.
RUN = """
import sys
import numpy as np
from engine import api
side, total, variants = map(int, sys.argv[1:])
model = api.load_model("texture", "cpu")
image = np.random.default_rng(0).integers(0, 256, (total, total, 4), dtype=np.uint8)
image[..., 3] = 255
selection = np.zeros((total, total), np.uint8)
start = (total - side) // 2
selection[start : start + side, start : start + side] = 255
options = {"steps": 2, "jump_length": 2, "jump_samples": 1}
job = api.Job(image, selection, model="texture", seed=1, variants=variants, **options)
for event in api.run(job, model):
    if isinstance(event, api.Step):
        event.preview(), event.keep()
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux only")
@pytest.mark.parametrize(("side", "total", "variants"), [(200, 400, 3)])
def test_the_shipped_model_takes_what_was_forecast(side: int, total: int, variants: int) -> None:
    command = [sys.executable, "-c", RUN, str(side), str(total), str(variants)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    peak = int(done.stdout) * 1024
    [texture] = [info for info in catalogue() if info.id == "texture"]
    need = forecast.need(texture)
    assert need is not None
    assert 0.7 * need.total(total * total, variants) < peak < 1.1 * need.total(total * total, variants)


def test_nothing_is_told_of_models_that_are_not_here() -> None:
    assert forecast.need(next(info for info in catalogue() if not info.installed)) is None
    assert forecast.Need(100, 10, 1).total(7, 3) == 100 + 7 * 12
