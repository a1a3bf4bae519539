"""Train the embedded texture model: an unconditional DDPM on diffusers' ``UNet2DModel``, v-prediction.

A run is a folder: ``config.json``, ``checkpoint.pt`` (replaced in one step), ``log.csv``. Every random number is a
function of the seed and the step, so a run that was stopped goes on exactly as if it had not been. While a file
``PAUSE`` lies in the folder the run rests; SIGTERM and Ctrl+C end it with a checkpoint.

The network runs in bfloat16 where the device computes in it (weights, averages and the loss stay float32); on CUDA it
is compiled, too, and processes beside the trainer cut the crops.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from engine import devices
from engine.data import Crops, Manifest, write_atomic
from engine.errors import BadInput
from engine.learning.objective import SKEW, noised
from engine.models import folders, network_class
from engine.sampling import linear_alpha_bar

TIMESTEPS = 1000
BETA_START, BETA_END = 1e-4, 0.02
LOG_FIELDS = ("step", "samples", "seconds", "learning_rate", "loss", "held_out_loss", "held_out_x0_loss")


SIDES = (64, 128, 64, 128, 64, 256, 64, 128)
"""Sides of the crops, one after the other. Many small pictures make a steadier gradient, large ones teach what lies
far apart. What no step has seen goes wrong: without large pictures the network exaggerates their brightness by a few
per cent at every call, and holes come out as dark or bright patches."""


@dataclass(frozen=True)
class Config:
    """Everything that defines a run but its length and its data.

    Attributes:
        channels: of the U-Net's levels; each level halves the side.
        attention: how many of the levels, counted from the lowest, have self-attention.
        batch: pictures of 64² pixels per step, see :func:`batch_shape`.
        learning_rate: peak; warmed up over ``warmup`` steps, constant, then falling as a cosine from ``decay_from``
            of the run's length to a twentieth.
        ema: decay of the averaged weights, which are the ones that are exported.
        skew: of the timesteps, see :func:`engine.learning.objective.noised`.
    """

    channels: tuple[int, ...] = (32, 64, 128, 192)
    attention: int = 2
    layers: int = 1
    groups: int = 8
    head: int = 32
    batch: int = 8
    learning_rate: float = 6e-4
    warmup: int = 200
    decay_from: float = 0.6
    ema: float = 0.999
    skew: float = SKEW
    seed: int = 0


@dataclass
class State:
    """What a checkpoint holds."""

    model: torch.nn.Module
    averaged: torch.nn.Module
    optimizer: torch.optim.AdamW
    step: int = 0
    samples: int = 0
    seconds: float = 0.0


def build_model(config: Config) -> torch.nn.Module:
    """A ``UNet2DModel``: convolutions at all levels, self-attention at the lowest; any size in multiples of 8."""
    attending, plain = config.attention, len(config.channels) - config.attention
    return network_class.unet_2d()(
        sample_size=64,
        in_channels=3,
        out_channels=3,
        layers_per_block=config.layers,
        block_out_channels=config.channels,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * attending,
        up_block_types=("AttnUpBlock2D",) * attending + ("UpBlock2D",) * plain,
        attention_head_dim=config.head,
        norm_num_groups=config.groups,
    )


def alpha_bars() -> torch.Tensor:
    """ᾱ of the 1000 training timesteps, float32."""
    return torch.from_numpy(linear_alpha_bar(TIMESTEPS, BETA_START, BETA_END)).float()


def batch_shape(step: int, batch: int) -> tuple[int, int]:
    """How many pictures of which side a step trains on: as many pixels in every step, and at least two pictures."""
    side = SIDES[step % len(SIDES)]
    while 2 * side * side > batch * 4096:
        side //= 2
    return batch * 4096 // side**2, side


class _Batches(Dataset[torch.Tensor]):
    """The batch of every step, by its number: (B, 3, side, side) in [−1, 1]."""

    def __init__(self, crops: Crops, batch: int) -> None:
        self._crops, self._batch = crops, batch

    def __getitem__(self, step: int) -> torch.Tensor:
        return torch.from_numpy(self._crops.batch(step, *batch_shape(step, self._batch)))


class Trainer:
    """One run in one folder.

    Args:
        data: the corpus.
        out: the run's folder.
        device: CUDA where there is one.
        workers: processes that cut crops; the trainer's own where it is 0. Default: 0, on CUDA one per further
            processor. It changes no number.
        compiled: compile the network; default: on CUDA, where Triton is installed.
        start: a model folder in diffusers layout whose weights a new run begins with; default: random ones.

    Raises:
        BadInput: ``start`` holds no weights, or those of another network than ``config`` describes.
    """

    def __init__(
        self,
        data: Path,
        out: Path,
        config: Config,
        *,
        device: str | None = None,
        workers: int | None = None,
        compiled: bool | None = None,
        start: Path | None = None,
    ) -> None:
        self.out, self.config = out, config
        out.mkdir(parents=True, exist_ok=True)
        self.device = devices.chosen(device)
        torch.manual_seed(config.seed)
        model = build_model(config)
        if start is not None:
            _take_over(model, start)
        averaged = build_model(config)
        averaged.load_state_dict(model.state_dict())
        for network in (model, averaged):
            network.to(device=self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        cuda = self.device.type == "cuda"
        torch.backends.cudnn.benchmark |= cuda
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=cuda
        )
        if compiled is None:
            compiled = cuda and find_spec("triton") is not None
        self._bfloat16 = devices.inference_dtype(self.device) == torch.bfloat16
        self._network = torch.compile(model, dynamic=False) if compiled else model
        self._workers = (max(1, (os.cpu_count() or 2) - 1) if cuda else 0) if workers is None else workers
        self._coming: Iterator[torch.Tensor] | None = None
        self.state = State(model, averaged.requires_grad_(False), optimizer)
        write_atomic(out / "config.json", json.dumps(asdict(config), indent=1))
        manifest = Manifest.load(data)
        self.crops = Crops.of(manifest, held_out=False, seed=config.seed)
        self.judged = Crops.of(manifest, held_out=True, seed=12345)
        self.stopping = threading.Event()

    def restore(self) -> bool:
        """Go on from ``checkpoint.pt`` if there is one."""
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return False
        saved = torch.load(path, map_location=self.device, weights_only=True)
        self.state.model.load_state_dict(saved["model"])
        self.state.averaged.load_state_dict(saved["averaged"])
        self.state.optimizer.load_state_dict(saved["optimizer"])
        self.state.step, self.state.samples = saved["step"], saved["samples"]
        self.state.seconds = saved["seconds"]
        return True

    def save(self) -> None:
        """Replace ``checkpoint.pt`` in one step."""
        part = self.out / "checkpoint.pt.part"
        torch.save(
            {
                "model": self.state.model.state_dict(),
                "averaged": self.state.averaged.state_dict(),
                "optimizer": self.state.optimizer.state_dict(),
                "step": self.state.step,
                "samples": self.state.samples,
                "seconds": self.state.seconds,
            },
            part,
        )
        part.replace(self.out / "checkpoint.pt")

    def learning_rate(self, progress: float) -> float:
        """The rate at ``progress`` in [0, 1] of the run's length."""
        config = self.config
        warm = min(1.0, (self.state.step + 1) / max(1, config.warmup))
        late = min(1.0, max(0.0, (progress - config.decay_from) / max(1e-9, 1 - config.decay_from)))
        return config.learning_rate * warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * late)))

    def step(self, progress: float = 0.0) -> torch.Tensor:
        """One optimiser step; returns its loss, a scalar on the device."""
        state, config = self.state, self.config
        x0 = self._next_batch().to(self.device, non_blocking=True)
        count, _, size, _ = x0.shape
        batch = noised(x0, alpha_bars(), (config.seed, state.step), config.skew)
        for group in state.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            output = self._run(self._network, batch.x, batch.timesteps)
        loss = torch.nn.functional.mse_loss(output.float(), batch.target)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
        state.optimizer.step()
        state.step += 1
        state.samples += count * size * size // 4096
        decay = min(config.ema, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            ours: list[torch.Tensor] = list(state.averaged.parameters())
            theirs: list[torch.Tensor] = list(state.model.parameters())
            torch._foreach_lerp_(ours, theirs, 1 - decay)
        return loss.detach()

    def _next_batch(self) -> torch.Tensor:
        """The batch of the present step, from the loader, which begins at the first step that it is asked for."""
        if self._coming is None:
            steps: Any = itertools.count(self.state.step)
            self._coming = iter(
                DataLoader(
                    _Batches(self.crops, self.config.batch),
                    batch_size=None,
                    sampler=steps,
                    num_workers=self._workers,
                    pin_memory=self.device.type == "cuda",
                    worker_init_fn=_begin_worker if self._workers else None,
                )
            )
        return next(self._coming)

    def _run(self, network: Any, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return network(x.to(memory_format=torch.channels_last), timesteps).sample

    @torch.no_grad()
    def judge(self, batches: int = 8) -> tuple[float, float]:
        """Mean losses (v, x_0) of the averaged weights on fixed held-out crops, noise and timesteps."""
        losses = []
        for number in range(batches):
            x0 = torch.from_numpy(self.judged.batch(number, 8, 64))
            batch = noised(x0, alpha_bars(), (12345, number), skew=1.0)
            x, a = batch.x, batch.alpha_bar
            v = self._run(self.state.averaged, x.to(self.device), batch.timesteps.to(self.device)).float().cpu()
            x0_hat = (a.sqrt() * x - (1 - a).sqrt() * v).clamp(-1, 1)
            losses.append((float(((v - batch.target) ** 2).mean()), float(((x0_hat - x0) ** 2).mean())))
        v_loss, x0_loss = np.mean(losses, axis=0)
        return float(v_loss), float(x0_loss)

    def run(
        self,
        *,
        steps: int | None = None,
        minutes: float | None = None,
        save_every: float = 180.0,
        log_every: int = 100,
        report: Callable[[str], None] = print,
    ) -> str:
        """Train until ``steps`` steps or ``minutes`` minutes of work are done, or until stopped.

        Args:
            save_every: seconds between checkpoints (each also judges the averaged weights).
            log_every: steps between lines of the log.

        Returns:
            ``done`` or ``stopped``.
        """
        if steps is None and minutes is None:
            raise ValueError("give steps or minutes")
        state, saved_at = self.state, self.state.seconds
        recent: list[torch.Tensor] = []
        last = float("nan")
        ended = "done"
        while True:
            shares = [state.step / steps] if steps else []
            shares += [state.seconds / (60 * minutes)] if minutes else []
            progress = max(shares)
            if progress >= 1 or self.stopping.is_set():
                ended = "done" if progress >= 1 else "stopped"
                break
            self._rest(report)
            started = time.monotonic()
            recent.append(self.step(progress))
            state.seconds += time.monotonic() - started
            due = state.seconds - saved_at >= save_every
            if state.step % log_every == 0 or due:
                judged = self.judge() if due else None
                last, recent = float(torch.stack(recent).mean()), []
                self._log(last, progress, judged, report)
            if due:
                self.save()
                saved_at = state.seconds
        self.save()
        self._log(float(torch.stack(recent).mean()) if recent else last, progress, self.judge(), report)
        return ended

    def _rest(self, report: Callable[[str], None]) -> None:
        """Wait while ``PAUSE`` lies in the run's folder (such time does not count)."""
        pause = self.out / "PAUSE"
        if pause.exists() and not self.stopping.is_set():
            report("resting: PAUSE is there")
            while pause.exists() and not self.stopping.wait(0.2):
                pass
            report("going on")

    def _log(
        self, loss: float, progress: float, judged: tuple[float, float] | None, report: Callable[[str], None]
    ) -> None:
        state, path = self.state, self.out / "log.csv"
        values = [
            state.step,
            state.samples,
            f"{state.seconds:.1f}",
            f"{self.learning_rate(progress):.3g}",
            f"{loss:.5f}",
        ]
        values += [f"{value:.5f}" for value in judged] if judged else ["", ""]
        new = not path.exists()
        with path.open("a", newline="") as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(LOG_FIELDS)
            writer.writerow(values)
        report("  ".join(f"{name} {value}" for name, value in zip(LOG_FIELDS, values, strict=True) if value != ""))


def _take_over(model: torch.nn.Module, folder: Path) -> None:
    """Load the weights of an exported model into ``model``."""
    try:
        model.load_state_dict(load_file(folders.part_folder(folder, "unet") / folders.WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise BadInput(
            "bad_start", f"{folder} holds no network like the one to be trained; choose another model folder."
        ) from error


def _begin_worker(_worker: int) -> None:
    """One thread; and what ends a run reaches its whole process group, but it is the trainer that ends its workers."""
    cv2.setNumThreads(0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def load_config(out: Path) -> Config | None:
    """The configuration of the run in ``out``, if there is one."""
    path = out / "config.json"
    if not path.is_file():
        return None
    data: dict[str, Any] = json.loads(path.read_text())
    return Config(**{**data, "channels": tuple(data["channels"])})


def stop_on_signals(trainer: Trainer) -> Callable[[], None]:
    """Make SIGTERM and Ctrl+C end the run with a checkpoint; returns what puts the old handlers back."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        trainer.stopping.set()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    return restore
