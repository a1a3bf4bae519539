"""Learn this texture: fine-tune a texture model on the known pixels of one picture.

Crops of the known part are noised and the network learns to undo it, as in :mod:`engine.learning.train`, from the
weights it has. Unknown pixels (selected or more than half transparent) never count: their colour is wiped before
anything looks at the picture, crops avoid them where they can, and the loss leaves them out. A tenth of the known
pixels is held out too; their loss decides which weights are handed over, and ends learning early when it only rises.

A time budget cannot give the same weights twice. What *is* determined, on one machine with one number of threads, is
the result of a number of steps: the rate is constant, weights are averaged over the last part of the way, and every
random number is a function of the step. So a result can be had again by its number of steps, and what was learned
within a budget is kept in :mod:`engine.learning.learned` and reused for the same known pixels, model and budget.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from engine import canvas, devices
from engine.canvas import smooth_fill
from engine.errors import BadInput, EngineError
from engine.learning import learned
from engine.learning.learned import Facts, Learned
from engine.learning.objective import noised
from engine.models import Model, digest, folders, unet
from engine.version import __version__

log = logging.getLogger(__name__)

SECONDS = (5, 600)
"""Shortest and longest budget."""
REACH = 512
"""Picture pixels around the hole from which is learned; the fill itself sees less."""
MAX_SIDE = 2048
"""Longest side of a picture that is learned as a whole; of larger ones the middle is taken."""
CROPS = ((64, 4), (96, 2))
"""Sides of the crops and how many of them make a batch; they take turns."""
SMALLEST = 32
"""Side of the crops where nothing larger is known."""
LEAST_KNOWN = 1024
"""Fewer known pixels than this teach nothing."""
PLACES = 128
"""Crops may hold unknown pixels where fewer places than this would be wholly known."""
LEARNING_RATE = 3e-4
WARMUP = 10
AVERAGED = 5.0
"""γ of the averaging weights n^γ (Karras et al. 2024, arXiv 2312.02696, Eq. 1)."""
BLOCKS = 4
"""Places that are held out, together a tenth of the known pixels."""
LOOKS = 3
"""Timesteps at which each of them is judged."""
FIRST_LOOK = 16
"""Steps before the first look at the held-out places; later ones are as far apart, or two fifths of the way."""
ETA = 0.75
"""η of a model that has learned, see :attr:`engine.models.Model.eta`."""
PATIENCE = 3
"""Looks at the held-out part without a better loss, after which learning ends."""


@dataclass(frozen=True)
class Learning:
    """Progress of learning.

    Attributes:
        done: share of the budget, 0 … 1.
        seconds: since the beginning.
        seconds_left: until the end of the budget; learning may end before.
        loss: mean squared error on the known pixels, a running mean; of the held-out part in the last event.
        step: optimiser steps so far.
    """

    done: float
    seconds: float
    seconds_left: float
    loss: float
    step: int


def check(seconds: float | None, model: Model) -> None:
    """Raise BadInput unless this model can learn within this budget."""
    if seconds is not None and not SECONDS[0] <= seconds <= SECONDS[1]:
        raise BadInput(
            "bad_learn", f"The time for learning must be {SECONDS[0]} to {SECONDS[1]} seconds, not {seconds:g}."
        )
    if not model.geometry.any_scale or model.info.folder is None or model.labels:
        raise BadInput(
            "cannot_learn",
            f"The model {model.info.title} cannot learn a texture; choose a texture model or switch learning off.",
        )


def learn(
    image: np.ndarray,
    unknown: np.ndarray,
    light: canvas.Light,
    model: Model,
    seconds: float | None,
    steps: int | None = None,
    scale: float = 1.0,
) -> Generator[Learning, None, Learned]:
    """Weights adapted to the known pixels of a picture, from the cache where that has been done before.

    Stop iterating to cancel: nothing is left behind.

    Args:
        image: (H, W, 4), as of :class:`engine.run.job.Job`.
        unknown: (H, W) bool; transparent pixels are unknown in any case. It may be empty.
        light: the way of the picture's values to the network.
        seconds: the budget, 5 … 600, everything included; None with ``steps``.
        steps: learn for so many optimiser steps instead, however long it takes.
        scale: model pixels per picture pixel.

    Raises:
        BadInput: another kind of model, a budget out of range, or too few known pixels.
    """
    began = time.monotonic()
    check(seconds, model)
    pixels, known = known_part(image, unknown, light, scale)
    network, name, found = _look_up(pixels, known, model, seconds, steps)
    if found is None:
        found = yield from _learn(Crops(pixels, known), network, model, began, seconds, steps)
        learned.put(name, found)
    facts = found.facts
    log.info("learned in %d steps: held-out loss %.4f, before %.4f", facts.steps, facts.loss, facts.loss_before)
    yield Learning(1.0, time.monotonic() - began, 0.0, facts.loss, facts.steps)
    return found


def recall(
    image: np.ndarray, unknown: np.ndarray, light: canvas.Light, model: Model, seconds: float, scale: float = 1.0
) -> Learned | None:
    """What :func:`learn` learned before under the same circumstances, if it is still there."""
    check(seconds, model)
    return _look_up(*known_part(image, unknown, light, scale), model, seconds, None)[2]


def with_learned(model: Model, found: Learned) -> Model:
    """The model with learned weights in place of its own."""
    _, _, network = unet.read(model.info)
    network.load_state_dict(found.weights, assign=True)
    info = replace(model.info, learned=found.digest())
    predict = unet.predictor(network.requires_grad_(False), model.device)
    return replace(model, info=info, predict=predict, eta=ETA, anchor=0.0)


def write_model(model: Model, found: Learned, out: Path, **facts: Any) -> None:
    """Write a model with learned weights as a folder of its own, all or nothing; ``facts`` go into its record.

    Raises:
        EngineError: ``not_written``.
    """
    base = model.info.folder
    assert base is not None
    try:
        with folders.staging(out) as folder:
            shutil.copytree(
                base, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md", "*.png", "corpus.json")
            )
            place = folders.part_folder(folder, "unet")
            config = json.loads((place / "config.json").read_text(encoding="utf-8"))
            config |= {"eta": ETA, "anchor": 0.0}
            (place / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
            (place / folders.WEIGHTS).unlink()
            save_file(found.weights, place / folders.WEIGHTS, metadata={"format": "pt"})
            folders.record_origin(folder, licence=model.info.licence, **facts)
    except (OSError, SafetensorError) as error:
        raise EngineError(
            "not_written", f"The model {out.name} was not written; choose a folder with enough space.", repr(error)
        ) from error


def known_part(
    image: np.ndarray, unknown: np.ndarray, light: canvas.Light, scale: float = 1.0, least: int = LEAST_KNOWN
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a picture to learn from: pixels (H, W, 3) float32, encoded, and known (H, W) bool.

    Unknown pixels are 0.

    Raises:
        BadInput: fewer than ``least`` known pixels.
    """
    height, width = unknown.shape
    if unknown.any():
        hole, reach = canvas.bounds(unknown), round(REACH / scale)
        left, top = max(0, hole.x - reach), max(0, hole.y - reach)
        right, bottom = min(width, hole.x + hole.width + reach), min(height, hole.y + hole.height + reach)
    else:
        left, top = max(0, (width - MAX_SIDE) // 2), max(0, (height - MAX_SIDE) // 2)
        right, bottom = min(width, left + MAX_SIDE), min(height, top + MAX_SIDE)
    box = canvas.Box(left, top, right - left, bottom - top)
    size = (max(1, round(box.height * scale)), max(1, round(box.width * scale)))
    part = image[box.slices]
    wiped = unknown[box.slices] | ~canvas.solid(part)
    part = np.where(wiped[..., None], part.dtype.type(0), part)
    if size != wiped.shape:  # what scaling mixes with the wiped pixels is not known either
        wiped = cv2.dilate(wiped.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    whole = canvas.Plan(canvas.Box(0, 0, box.width, box.height), size, size, ())
    y, keep = canvas.model_input(part, wiped.astype(np.uint8), whole, light)
    known = keep[0, 0].numpy() > 0
    if known.sum() < least:
        raise BadInput("too_little_known", "There is too little of the picture left to learn from; select less of it.")
    return np.ascontiguousarray(y[0].permute(1, 2, 0).numpy()), known


def _look_up(
    pixels: np.ndarray, known: np.ndarray, model: Model, seconds: float | None, steps: int | None
) -> tuple[Any, str, Learned | None]:
    """The network as it is, the name of what is to be learned, and that itself if it is in the cache."""
    _, _, network = unet.read(model.info)
    budget = f"{steps} steps" if steps is not None else f"{seconds:g} s"
    name = learned.key(pixels, known, digest(model.info), budget, model.device.type, __version__)
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    return network, name, learned.get(name, shapes)


# ------------------------------------------------------------------------------------------------- what is looked at


class Crops:
    """Where crops may be taken from, and the part that is held out.

    Args:
        pixels: (H, W, 3) float32 in [−1, 1], 0 where unknown.
        known: (H, W) bool.
    """

    def __init__(self, pixels: np.ndarray, known: np.ndarray) -> None:
        below, right = (max(0, SMALLEST - side) for side in known.shape)
        pixels = np.pad(pixels, [(0, below), (0, right), (0, 0)])
        known = np.pad(known, [(0, below), (0, right)])
        self._blocks = _held_out(known)
        self.judged = np.zeros_like(known)
        for block in self._blocks:
            self.judged[block.slices] = known[block.slices]
        self.known = known & ~self.judged
        self.pixels = pixels
        self._filled = smooth_fill(pixels, self.known)
        self._shapes = [(side, count, places) for side, count in CROPS if len(places := _places(self.known, side))]
        if not self._shapes:
            self._shapes = [(SMALLEST, 8, _places(self.known, SMALLEST))]
        if not len(self._shapes[0][2]):
            raise BadInput(
                "too_little_known",
                "What is left of the picture lies in pieces too small to learn from; select less of it.",
            )

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x_0 (B, 3, S, S) with unknown pixels filled smoothly from known ones, and what counts (B, 1, S, S)."""
        side, count, places = self._shapes[step % len(self._shapes)]
        rng = np.random.default_rng([step, 0])
        chosen = places[rng.integers(len(places), size=count)]
        return _cut(self._filled, self.known, chosen, side)

    def held_out(self) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`batch`: the surroundings of each place that is held out; that place itself counts."""
        height, width = self.known.shape
        side = max(SMALLEST, min(64, height // 8 * 8, width // 8 * 8))
        corners = [
            (
                min(max(0, block.y + block.height // 2 - side // 2), height - side),
                min(max(0, block.x + block.width // 2 - side // 2), width - side),
            )
            for block in self._blocks
        ]
        shown = np.where(self.judged[..., None], self.pixels, self._filled)
        return _cut(shown, self.judged, np.array(corners), side)


def _cut(source: np.ndarray, counted: np.ndarray, places: np.ndarray, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    x0 = np.stack([source[y : y + side, x : x + side] for y, x in places]).transpose(0, 3, 1, 2)
    counts = np.stack([counted[y : y + side, x : x + side] for y, x in places])[:, None]
    return torch.from_numpy(np.ascontiguousarray(x0)), torch.from_numpy(counts.astype(np.float32))


def _sums(flags: np.ndarray, side: int) -> np.ndarray:
    """How many flags are set in each square of that side, by its top left corner."""
    total = cv2.integral(flags.astype(np.uint8)).astype(np.int64)
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def _places(known: np.ndarray, side: int) -> np.ndarray:
    """(N, 2) top left corners of the squares to look at: wholly known where there are enough of these, else at least
    half known; none where there are none."""
    if min(known.shape) < side:
        return np.zeros((0, 2), np.int64)
    sums = _sums(known, side)
    for share in (1.0, 0.9, 0.75, 0.5):
        places = np.argwhere(sums >= share * side * side)
        if len(places) >= PLACES:
            break
    return places


def _held_out(known: np.ndarray) -> list[canvas.Box]:
    """Squares that make up about a tenth of the known pixels, wholly known where that can be, far from the hole and
    from each other."""
    side = int(np.clip(math.sqrt(known.sum() / 10 / BLOCKS) // 4 * 4, 8, 32))
    sums = _sums(known, side)
    y, x = np.mgrid[: sums.shape[0], : sums.shape[1]]
    rows, columns = np.nonzero(~known)
    centre = (rows.mean(), columns.mean()) if len(rows) else (known.shape[0], known.shape[1])
    distance = np.hypot(y + side / 2 - centre[0], x + side / 2 - centre[1])
    blocks = []
    for _ in range(BLOCKS):
        best = np.where(sums == sums.max(), distance, -1.0)
        top, left = (int(place) for place in np.unravel_index(best.argmax(), best.shape))
        blocks.append(canvas.Box(left, top, side, side))
        distance = np.minimum(distance, np.hypot(y - top, x - left))
    return blocks


# ------------------------------------------------------------------------------------------------------- how it learns


class _Student:
    """The network in training, its average, and the loss."""

    def __init__(self, network: Any, model: Model) -> None:
        self.model, self.step = model, 0
        self.network = network.to(model.device).float().to(memory_format=torch.channels_last)
        self.network.requires_grad_(True)
        self.parameters: list[torch.Tensor] = list(self.network.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
        self.averaged = [parameter.detach().clone() for parameter in self.parameters]
        self.alpha_bar = torch.from_numpy(model.alpha_bar).float()
        self.bfloat16 = devices.inference_dtype(model.device) == torch.bfloat16

    def loss(self, x0: torch.Tensor, counts: torch.Tensor, seed: int) -> torch.Tensor:
        """Mean squared error of the network's output over the pixels that count."""
        device, batch = self.model.device, noised(x0, self.alpha_bar, [seed], prediction=self.model.prediction)
        x = batch.x.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            output = self.network(x, batch.timesteps.to(device)).sample[:, :3]
        target, counts = batch.target.to(device), counts.to(device)
        return ((output.float() - target) ** 2 * counts).sum() / (3 * counts.sum()).clamp_min(1)

    def advance(self, x0: torch.Tensor, counts: torch.Tensor) -> float:
        """One optimiser step; returns its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (self.step + 1) / WARMUP)
        loss = self.loss(x0, counts, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(self.averaged, self.parameters, 1 - (1 - 1 / self.step) ** (AVERAGED + 1))
        return float(loss.detach())

    @torch.no_grad()
    def judge(self, x0: torch.Tensor, counts: torch.Tensor, looks: int = LOOKS) -> float:
        """Loss of the averaged weights with fixed noise at timesteps over the whole range."""
        present = [parameter.detach().clone() for parameter in self.parameters]
        torch._foreach_copy_(self.parameters, self.averaged)
        repeated = (x0.repeat(looks, 1, 1, 1), counts.repeat(looks, 1, 1, 1))
        loss = float(self.loss(*repeated, 2**32))
        torch._foreach_copy_(self.parameters, present)
        return loss

    def halves(self) -> dict[str, torch.Tensor]:
        """The averaged weights as they are stored."""
        names = [name for name, _ in self.network.named_parameters()]
        state = dict(self.network.state_dict())
        state |= dict(zip(names, self.averaged, strict=True))
        return {name: tensor.detach().cpu().half().contiguous().clone() for name, tensor in state.items()}


def _learn(
    crops: Crops, network: Any, model: Model, began: float, seconds: float | None, steps: int | None
) -> Generator[Learning, None, Learned]:
    """Learn until the budget is used up, ``steps`` are done, or the held-out loss only rises."""
    student = _Student(network, model)
    judged = crops.held_out()
    now = time.monotonic()
    first = best = student.judge(*judged)
    judging = time.monotonic() - now
    weights, taken, worse, look_at = student.halves(), 0, 0, FIRST_LOOK
    running, longest = math.nan, 0.0
    while True:
        now = time.monotonic()
        passed = now - began
        share = student.step / steps if steps is not None else passed / (seconds or math.inf)
        left = passed / share - passed if share else math.inf
        if seconds is not None:
            left = seconds - passed
        over = student.step >= steps if steps is not None else left < judging + longest / 2
        if over or student.step >= look_at:
            look_at = student.step + max(FIRST_LOOK, student.step * 2 // 5)
            loss = student.judge(*judged)
            judging = 0.5 * judging + 0.5 * (time.monotonic() - now)
            worse += 1
            if loss < best:
                weights, taken, best, worse = student.halves(), student.step, loss, 0
            log.debug("step %d: held-out loss %.4f", student.step, loss)
            if over or worse >= PATIENCE:
                break
            continue
        yield Learning(min(1.0, share), passed, max(0.0, left), running, student.step)
        now = time.monotonic()
        loss = student.advance(*crops.batch(student.step))
        running = loss if math.isnan(running) else 0.9 * running + 0.1 * loss
        longest = max(0.9 * longest, time.monotonic() - now)
    if not taken:
        log.warning("nothing could be learned from this picture that the model did not know")
    return Learned(weights, Facts(taken, first, best, time.monotonic() - began))
