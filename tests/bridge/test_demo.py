"""README's first command, from where the environment is set up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bridge.home import ROOT


def _demo(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge_server.demo", "--out", str(out), *arguments]
    environment = {**os.environ, "REPAINT_BRIDGE_TEST_MODELS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_the_demonstration_repaints_its_photograph_by_every_named_model(tmp_path):
    done = _demo(tmp_path, "--model", "exemplar,test/gaussian")
    assert done.returncode == 0, done.stderr
    painted = re.search(r"exemplar: 3 × (\d+) steps", done.stdout)
    assert painted is not None, done.stdout
    assert int(painted[1]) > 75, "the coarsest octave's calls, and those of the finer ones"
    assert "test/gaussian: 1 × 300 steps" in done.stdout, "75 calls in each of four stages"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "input.png", "selection.png", "contact-sheet.png", "exemplar-previews.png", "test-gaussian-previews.png",
        "exemplar-1.png", "exemplar-2.png", "exemplar-3.png", "test-gaussian-1.png",
    }  # fmt: skip
    pictures = {name: np.array(Image.open(tmp_path / name)) for name in names}
    selected = pictures["selection.png"] > 0
    for name in ("exemplar-1.png", "exemplar-3.png", "test-gaussian-1.png"):
        changed = (pictures[name] != pictures["input.png"]).any(axis=2)
        assert not changed[~selected].any()
        assert changed[pictures["selection.png"] == 255].mean() > 0.9
    assert (pictures["exemplar-1.png"] != pictures["exemplar-3.png"]).any()


def test_an_unknown_model_is_one_sentence(tmp_path):
    done = _demo(tmp_path, "--model", "nosuch")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "not known here" in done.stderr
