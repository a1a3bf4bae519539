"""The trainer: it learns, resumes exactly, rests and stops when told, and exports what diffusers loads."""

from __future__ import annotations

import csv
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.data.build import build
from engine.data.sources import Candidate, Source
from engine.errors import BadInput
from engine.learning.objective import noised
from engine.learning.train import Config, Trainer, alpha_bars, batch_shape, build_model, load_config
from engine.sampling.diffusion import Diffusion

TINY = Config(channels=(8, 8, 16), attention=1, groups=4, head=8, batch=2, warmup=2, ema=0.9)

FAST = replace(TINY, learning_rate=1e-2, batch=2, ema=0.7)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")

    def candidates(_cache):
        for seed in range(24):
            yield Candidate("made", "1", f"seed{seed}", "GPL-3.0-or-later", "procedural", seed=seed)

    manifest = build(folder, progress=lambda _line: None, sources=[Source("made", candidates)])
    assert manifest.training()
    assert manifest.held_out()
    return folder


def quiet(_line: str) -> None:
    pass


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_noising_is_exact_and_its_targets_fit() -> None:
    x0 = torch.linspace(-1, 1, 4 * 3 * 64).reshape(4, 3, 8, 8)
    one, again = (noised(x0, alpha_bars(), (0, 5), skew=1.0) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(vars(one).values(), vars(again).values(), strict=True))
    a = one.alpha_bar
    torch.testing.assert_close(a.sqrt() * one.x - (1 - a).sqrt() * one.target, x0, atol=1e-5, rtol=0)
    torch.testing.assert_close(a.flatten(), alpha_bars()[one.timesteps])
    quarters = sorted(int(t) * 4 // 1000 for t in one.timesteps)
    assert quarters == [0, 1, 2, 3], "the timesteps of a batch are spread over the whole range"


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_what_a_network_is_trained_on_is_what_the_sampler_takes(prediction) -> None:
    x0 = torch.linspace(-1, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)
    batch = noised(x0, alpha_bars(), [7], prediction=prediction)
    diffusion = Diffusion(alpha_bars().double().numpy(), 1000, prediction)
    for row, level in enumerate(batch.timesteps.tolist()):
        one = slice(row, row + 1)
        estimate = diffusion.estimate(lambda _x, _t, one=one: batch.target[one], batch.x[one], level, clip=False)
        torch.testing.assert_close(estimate.x0_hat, x0[one], atol=2e-4, rtol=0)


def test_every_step_costs_about_the_same_and_sizes_take_turns() -> None:
    shapes = [batch_shape(step, 32) for step in range(16)]
    assert {size for _, size in shapes} == {64, 128, 256}
    assert all(count * size * size == 32 * 64 * 64 for count, size in shapes)
    assert {size for _, size in (batch_shape(step, 8) for step in range(16))} == {64, 128}
    for batch in (1, 2, 8, 32):
        assert min(batch_shape(step, batch)[0] for step in range(16)) >= 2, "a batch holds low and high noise"


def test_the_shipped_network_takes_every_size_and_stays_small() -> None:
    model = build_model(Config())
    assert sum(p.numel() for p in model.parameters()) < 8e6
    for height, width in ((64, 64), (72, 136), (128, 128)):
        with torch.inference_mode():
            assert model(torch.zeros(1, 3, height, width), 10).sample.shape == (1, 3, height, width)


def test_stopped_and_resumed_is_the_same_as_uninterrupted(corpus: Path, tmp_path: Path) -> None:
    whole = Trainer(corpus, tmp_path / "whole", TINY, device="cpu")
    assert whole.run(steps=6, report=quiet) == "done"
    first = Trainer(corpus, tmp_path / "parts", TINY, device="cpu")
    for _ in range(3):
        first.step(first.state.step / 6)
    first.save()
    second = Trainer(corpus, tmp_path / "parts", TINY, device="cpu")
    assert second.restore()
    assert second.state.step == 3
    second.run(steps=6, report=quiet)
    assert same_weights(whole.state.model, second.state.model)
    assert same_weights(whole.state.averaged, second.state.averaged)
    assert whole.state.samples == second.state.samples == 6 * TINY.batch
    assert not same_weights(whole.state.model, whole.state.averaged)


def test_processes_that_cut_crops_change_nothing(corpus: Path, tmp_path: Path) -> None:
    alone = Trainer(corpus, tmp_path / "alone", TINY, device="cpu")
    helped = Trainer(corpus, tmp_path / "helped", TINY, device="cpu", workers=2)
    for trainer in (alone, helped):
        trainer.run(steps=5, report=quiet)
    assert same_weights(alone.state.model, helped.state.model)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for the CPU takes a C++ compiler")
def test_a_compiled_network_learns_the_same(corpus: Path, tmp_path: Path) -> None:
    small = replace(TINY, channels=(8,), attention=0)
    plain = Trainer(corpus, tmp_path / "plain", small, device="cpu")
    compiled = Trainer(corpus, tmp_path / "compiled", small, device="cpu", compiled=True)
    for _ in range(2):
        torch.testing.assert_close(compiled.step(), plain.step(), rtol=1e-4, atol=0)
    compiled.save()
    assert Trainer(corpus, tmp_path / "compiled", small, device="cpu").restore(), "the names are the network's own"


def test_it_learns_and_logs(corpus: Path, tmp_path: Path) -> None:
    trainer = Trainer(corpus, tmp_path, FAST, device="cpu")
    before = trainer.judge(2)
    trainer.run(steps=24, log_every=8, report=quiet)
    after = trainer.judge(2)
    assert after[0] < 0.9 * before[0]
    with (tmp_path / "log.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {8, 16, 24} <= {int(row["step"]) for row in rows}, "and where it was judged or saved meanwhile"
    assert all(0 < float(row["loss"]) < 10 for row in rows)
    assert load_config(tmp_path) == FAST


def test_the_learning_rate_rises_stays_and_falls(corpus: Path, tmp_path: Path) -> None:
    trainer = Trainer(corpus, tmp_path, TINY, device="cpu")
    assert trainer.learning_rate(0.0) == pytest.approx(TINY.learning_rate / 2)
    trainer.state.step = 100
    assert trainer.learning_rate(0.5) == pytest.approx(TINY.learning_rate)
    assert trainer.learning_rate(0.8) < TINY.learning_rate
    assert trainer.learning_rate(1.0) == pytest.approx(TINY.learning_rate / 20)


def test_it_rests_while_pause_is_there(corpus: Path, tmp_path: Path) -> None:
    trainer = Trainer(corpus, tmp_path, TINY, device="cpu")
    (tmp_path / "PAUSE").touch()
    said: queue.Queue[str] = queue.Queue()
    thread = threading.Thread(target=lambda: trainer.run(steps=2, report=said.put))
    thread.start()
    assert said.get(timeout=60) == "resting: PAUSE is there"
    thread.join(0.3)  # it looks five times a second
    assert trainer.state.step == 0
    assert said.empty()
    (tmp_path / "PAUSE").unlink()
    thread.join(60)
    assert said.get(timeout=0) == "going on"
    assert trainer.state.step == 2
    assert trainer.state.seconds < 60


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize(("workers", "number"), [(0, signal.SIGTERM), (2, signal.SIGTERM), (2, signal.SIGINT)])
def test_a_signal_ends_a_run_with_a_checkpoint(corpus: Path, tmp_path: Path, workers: int, number: int) -> None:
    """Sent to the whole group, as by Ctrl+C on a terminal: to the processes that cut crops, too."""
    (tmp_path / "config.json").write_text(json.dumps(asdict(TINY)))  # a small network
    code = (
        "import argparse, engine; from engine.commands import train as c; p = argparse.ArgumentParser();"
        "c.add_arguments(p); c.main(p.parse_args())"
    )
    arguments = ["--data", corpus, "--out", tmp_path, "--steps", "1000000", "--resume", "--threads", "1"]
    arguments += ["--workers", workers, "--save-every", "0.01", "--device", "cpu"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        assert "step" in process.stdout.readline()
        os.killpg(process.pid, number)
        rest, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "stopped" in rest
    trainer = Trainer(corpus, tmp_path, load_config(tmp_path) or TINY, device="cpu")
    assert trainer.restore()
    assert trainer.state.step >= 1


def test_export_loads_in_diffusers_with_the_averaged_weights(corpus: Path, tmp_path: Path) -> None:
    from diffusers import DDPMScheduler, UNet2DModel

    from engine.learning.export import export

    trainer = Trainer(corpus, tmp_path / "run", TINY, device="cpu")
    trainer.run(steps=3, report=quiet)
    out = tmp_path / "model"
    export(tmp_path / "run", corpus, out, levels=2)
    loaded = UNet2DModel.from_pretrained(out / "unet").float().eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = trainer.state.averaged(x, 500).sample, loaded(x, 500).sample
    torch.testing.assert_close(ours, theirs, atol=5e-3, rtol=0)
    scheduler = DDPMScheduler.from_pretrained(out / "scheduler")
    assert scheduler.config.prediction_type == "v_prediction"
    np.testing.assert_allclose(scheduler.alphas_cumprod.numpy(), alpha_bars().numpy(), rtol=1e-5)
    assert json.loads((out / "model_index.json").read_text())["unet"] == ["diffusers", "UNet2DModel"]
    card = (out / "MODEL_CARD.md").read_text()
    assert "Known limits" in card
    pictures = {name: np.asarray(Image.open(out / name)) for name in re.findall(r"\((\w+\.png)\)", card)}
    assert pictures.keys() == {"samples.png", "losses.png"}
    assert pictures["samples.png"].shape == (256, 640, 3)
    assert all(picture.std() > 5 for picture in pictures.values())
    assert "| made | 1 | GPL-3.0-or-later | procedural |" in card
    assert "seed0" in (out / "corpus.json").read_text()


def test_losses_are_drawn_of_any_log() -> None:
    from engine.learning.export import draw_losses

    line = {"samples": "100", "loss": "nan", "held_out_loss": "0.5"}
    empty, one = (np.asarray(draw_losses(log)) for log in ([], [line]))
    assert empty.shape == one.shape
    assert (empty != one).any()


def test_a_run_can_begin_with_the_weights_of_a_model(corpus: Path, tmp_path: Path) -> None:
    from engine.learning.export import export

    first = Trainer(corpus, tmp_path / "first", TINY, device="cpu")
    first.run(steps=3, report=quiet)
    export(tmp_path / "first", corpus, tmp_path / "model", levels=2)
    second = Trainer(corpus, tmp_path / "second", TINY, device="cpu", start=tmp_path / "model")
    for ours, theirs in zip(second.state.averaged.parameters(), first.state.averaged.parameters(), strict=True):
        assert torch.equal(ours, theirs.half().float())
    assert same_weights(second.state.model, second.state.averaged)
    assert second.state.step == 0
    other = replace(TINY, channels=(8, 8, 24))
    for folder, config in ((tmp_path / "model", other), (tmp_path / "nothing", TINY)):
        with pytest.raises(BadInput, match="no network like"):
            Trainer(corpus, tmp_path / "third", config, device="cpu", start=folder)


def test_unusable_arguments_are_said_in_a_sentence(tmp_path: Path) -> None:
    import argparse

    from engine.commands import train as train_command

    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    with pytest.raises(BadInput, match="how long"):
        train_command.main(parser.parse_args(["--out", str(tmp_path)]))
    with pytest.raises(BadInput, match="no corpus"):
        train_command.main(parser.parse_args(["--out", str(tmp_path), "--data", str(tmp_path), "--steps", "1"]))
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(BadInput, match="holds a run"):
        train_command.main(parser.parse_args(["--out", str(tmp_path), "--data", str(tmp_path), "--steps", "1"]))
