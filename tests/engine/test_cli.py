"""``python -m engine`` as a user runs it: real processes, real files, exit codes and sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.commands import cli

GAUSSIAN = ["--model", "test/gaussian", "--steps", "6", "--jump-length", "2", "--jump-samples", "2"]


@pytest.fixture
def files(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (90, 100, 3), dtype=np.uint8)).save(tmp_path / "in.png")
    mask = np.zeros((90, 100), np.uint8)
    mask[30:60, 40:70] = 255
    mask[28:30, 40:70] = 90
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def _inpaint(files: Path, *more: str) -> int:
    base = ["inpaint", str(files / "in.png"), "--mask", str(files / "mask.png"), "-o", str(files / "out.png")]
    return cli.main([*base, *GAUSSIAN, *more])


def test_inpaint_as_a_process(files):
    base = ["inpaint", "in.png", "--mask", "mask.png", "-o", "out.png", "--json", "--seed", "5", *GAUSSIAN]
    done = subprocess.run(
        [sys.executable, "-m", "engine", *base], cwd=files, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report["calls"] == 10
    assert report["seed"] == 5
    assert report["model"] == "test/gaussian"
    assert report["device"] in ("cpu", "cuda")
    assert report["seconds"] > 0
    assert report["peak_memory_mib"] > 20
    before, after = (np.asarray(Image.open(files / name)) for name in ("in.png", "out.png"))
    mask = np.asarray(Image.open(files / "mask.png"))
    assert np.array_equal(before[mask == 0], after[mask == 0])
    assert not np.array_equal(before[mask == 255], after[mask == 255])


def test_variants_get_numbered_files_and_reported_seeds(files, capsys):
    assert _inpaint(files, "--variants", "2", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    seeds = [variant["seed"] for variant in report["variants"]]
    assert seeds[1] == seeds[0] + 1
    assert (files / "out-1.png").is_file()
    assert (files / "out-2.png").is_file()
    first = (files / "out-1.png").read_bytes()
    assert _inpaint(files, "--seed", str(seeds[0])) == 0
    assert (files / "out.png").read_bytes() == first


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16"])
def test_every_kind_of_png(files, mode):
    rng = np.random.default_rng(1)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65536, (90, 100)).astype(np.uint16))
    elif mode == "RGBA":
        image = Image.fromarray(rng.integers(0, 256, (90, 100, 4), dtype=np.uint8))
    else:
        image = Image.open(files / "in.png").convert(mode)
    image.save(files / "in.png")
    assert _inpaint(files) == 0
    out = Image.open(files / "out.png")
    assert out.mode == {"P": "RGB"}.get(mode, mode)
    before = np.asarray(image.convert("RGB") if mode == "P" else image)
    mask = np.asarray(Image.open(files / "mask.png"))
    assert np.array_equal(before[mask == 0], np.asarray(out)[mask == 0])


def test_hand_written_schedule_and_previews(files, capsys):
    (files / "mine.json").write_text("[3, 2, 1, 2, 1, 0, -1]")
    previews = files / "previews"
    assert _inpaint(files, "--schedule", str(files / "mine.json"), "--previews", str(previews), "--json") == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 5
    assert len(list(previews.glob("*.png"))) == 5


def test_repaint_preset_counts_its_calls(files, capsys):
    base = ["inpaint", str(files / "in.png"), "--mask", str(files / "mask.png"), "-o", str(files / "out.png")]
    assert cli.main([*base, "--model", "test/gaussian", "--preset", "fast", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 75


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--steps", "1"], "number of steps"),
        (["--seed", "-3"], "seed"),
        (["--variants", "0"], "variants"),
        (["--schedule", "never"], "schedule"),
        (["--schedule", "gone.json"], "There is no file gone.json"),
        (["--model", "nothing"], "no model named"),
        (["--device", "cuda"], "not available"),
    ],
)
def test_bad_arguments_exit_2_with_one_sentence(files, capsys, arguments, says):
    import torch

    if "--device" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert _inpaint(files, *arguments) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not (files / "out.png").exists()


def test_bad_files_exit_2(files, capsys):
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(files / "mask.png")
    assert _inpaint(files) == 2
    assert "10 × 10" in capsys.readouterr().err
    Image.fromarray(np.zeros((90, 100), np.uint8)).save(files / "mask.png")
    assert _inpaint(files) == 2
    assert "Nothing is selected" in capsys.readouterr().err
    (files / "in.png").write_bytes(b"not a picture")
    assert _inpaint(files) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_models_list(capsys):
    assert cli.main(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in listed[:2]] == ["exemplar", "texture"]
    assert {"id", "title", "family", "licence", "installed"} <= set(listed[0])
    assert cli.main(["models", "list"]) == 0
    assert "test/gaussian" in capsys.readouterr().out


def test_a_reader_who_has_enough_is_no_failure():
    """As in “models list | head -1”: the pipe is closed before all is written."""
    code = (
        "import os, sys; from engine.commands import cli; os.close(0); r, w = os.pipe(); os.dup2(w, 1);"
        " os.close(w); os.close(r)"
    )
    code += "; status = cli.main(['models', 'list', '--json']); sys.stdout.flush(); sys.exit(status)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
