"""Guidance against resampling on the toy model: ``python -m tests.engine.toys.study OUT`` writes a table and a sheet.

Pictures are bare ground with a square hole in the middle; the prompt asks for a shape that is not there. What the
painted picture shows is told by the judge, how well it joins its surroundings by the seam jump (engine.bench.measures)
and by the error in the outermost rim of the hole against the ground that was there.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from engine import canvas
from engine.bench.measures import seam_jump
from engine.models import Model
from engine.sampling import schedule
from engine.sampling.corrector import sampler_of
from engine.sampling.guidance import Guide, Words, conditioned
from engine.sampling.noise import Noise
from engine.sampling.presets import PRESETS
from engine.sampling.sampler import RePaintSettings, Settings
from engine.sampling.schedule import Schedule
from tests.engine.toys import pictures, train

HOLE = (32, 96)
"""Rows and columns of the hole: eight cells a side."""
RIM = 6
"""Pixels of the hole next to its border, where the ground goes on whatever the prompt asks for."""


@dataclass(frozen=True)
class Way:
    """How a picture is painted."""

    name: str
    levels: Schedule
    settings: Settings

    @property
    def calls(self) -> int:
        return self.settings.calls(self.levels)


def plain(steps: int = 20) -> Way:
    """Masking without resampling, κ = 1."""
    return Way("plain masking", schedule.plain(steps), RePaintSettings(clip=False))


def resampled(samples: int, steps: int = 20, jump: int = 4) -> Way:
    return Way(f"resampled {samples} times", schedule.uniform(steps, jump, samples), RePaintSettings(clip=False))


def preset(name: str) -> Way:
    chosen = PRESETS[name]
    return Way(name, chosen.schedule, replace(chosen.settings.with_eta(None), clip=False))


def grounds(count: int, seed: int) -> tuple[np.ndarray, list[pictures.Scene]]:
    """Bare grounds, (B, 128, 128, 3) uint8, and a shape asked for in each."""
    rng = np.random.default_rng(seed)
    bare = [pictures.scene(rng, empty=1.0) for _ in range(count)]
    wanted = [pictures.scene(rng, empty=0.0) for _ in range(count)]
    return np.stack([pictures.draw(scene) for scene in bare]), wanted


def selection() -> np.ndarray:
    """(128, 128) uint8."""
    out = np.zeros((pictures.SIDE,) * 2, np.uint8)
    out[HOLE[0] : HOLE[1], HOLE[0] : HOLE[1]] = 255
    return out


@torch.inference_mode()
def paint(
    model: Model,
    known: np.ndarray,
    prompts: list[str],
    guidance: float,
    way: Way,
    seed: int,
    against: list[str] | None = None,
    held: bool = True,
) -> np.ndarray:
    """All pictures at once through space, guidance and sampler, pasted back: (B, 128, 128, 3) uint8.

    ``held``: guidance holds back, as it does by default."""
    assert model.read is not None
    hole = selection()
    y = torch.from_numpy(known.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    keep = torch.from_numpy((hole == 0).astype(np.float32))[None, None]
    entered = model.space.enter(y * keep, keep)
    guide = Guide(_together(model, prompts), _together(model, against or [""] * len(prompts)), guidance)
    if not held:
        guide = replace(guide, rescale=0.0, rim=0.0)
    asked = partial(_each, model), guide, entered.keep, entered.beside
    network = conditioned(*asked, model.alpha_bar, model.prediction, lambda inner: inner)
    walk = sampler_of(way.settings)
    diffusion = model.diffusion(way.levels.steps, way.settings)
    noise = Noise([seed + row for row in range(len(known))])
    *_, last = walk(network, diffusion, way.levels, entered.y, entered.keep, noise, way.settings)
    painted = (model.space.leave(last.x, (y * keep, keep)).permute(0, 2, 3, 1).numpy() + 1) / 2
    box = canvas.Box(0, 0, pictures.SIDE, pictures.SIDE)
    return np.stack([canvas.composite(a, hole, b, box) for a, b in zip(known, painted, strict=True)])


def _together(model: Model, prompts: list[str]) -> Words:
    assert model.read is not None
    read = [model.read(prompt).embeddings for prompt in prompts]
    return Words({name: torch.cat([each[name] for each in read]) for name in read[0]})


def _each(model: Model, x: torch.Tensor, timestep: int, words: tuple[Words, ...]) -> torch.Tensor:
    """The model for a batch of which each row has a prompt of its own."""
    return model.predict(x, timestep, words)


@dataclass(frozen=True)
class Measured:
    """Over pictures.

    Attributes:
        colour, shape: share that shows what was asked for.
        seam: median jump across the border over parallel lines.
        rim: mean absolute error, 0 … 255, in the hole's rim against the ground that was there.
    """

    colour: float
    shape: float
    seam: float
    rim: float


def measure(painted: np.ndarray, truth: np.ndarray, wanted: list[pictures.Scene], judge: torch.nn.Module) -> Measured:
    seen = classify(painted, judge)
    asked = np.array([train.classes(scene) for scene in wanted])
    new = selection() > 0
    return Measured(
        float((seen[:, 0] == asked[:, 0]).mean()),
        float((seen[:, 1] == asked[:, 1]).mean()),
        float(np.median([seam_jump(each, new) for each in painted])),
        rim_error(painted, truth),
    )


def rim_error(painted: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error in the hole's rim, 0 … 255."""
    new = (selection() > 0).astype(np.uint8)
    rim = (new > 0) & ~(cv2.erode(new, np.ones((2 * RIM + 1,) * 2)) > 0)
    return float(np.abs(painted[:, rim].astype(float) - truth[:, rim]).mean())


@torch.inference_mode()
def classify(shown: np.ndarray, judge: torch.nn.Module) -> np.ndarray:
    """(B, 2): colour and shape that the judge sees."""
    x = torch.from_numpy(shown.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    colour, shape = judge(F.avg_pool2d(x, 2)).split((len(pictures.COLOURS) + 1, len(pictures.SHAPES) + 1), 1)
    return torch.stack([colour.argmax(1), shape.argmax(1)], 1).numpy()


def accuracy(judge: torch.nn.Module, count: int = 300, seed: int = 991) -> tuple[float, float]:
    """How often the judge is right about colour and shape of pictures that nobody was trained on."""
    rng = np.random.default_rng(seed)
    scenes = [pictures.scene(rng) for _ in range(count)]
    seen = classify(np.stack([pictures.draw(scene) for scene in scenes]), judge)
    right = seen == np.array([train.classes(scene) for scene in scenes])
    return float(right[:, 0].mean()), float(right[:, 1].mean())


def prompt_of(scene: pictures.Scene) -> str:
    return f"a {scene.colour} {scene.shape}"


def main() -> None:
    from engine import api
    from tests.engine.toys import FOLDER

    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--scales", default="1,4,7.5")
    parser.add_argument("--grounds", type=int, default=77, help="seed of the pictures and of what is asked for")
    parser.add_argument("--seed", type=int, default=5, help="of the first picture's noise")
    arguments = parser.parse_args()
    model, judge = api.load_model(str(FOLDER), "cpu"), train.load_judge()
    known, wanted = grounds(arguments.pictures, arguments.grounds)
    prompts = [prompt_of(scene) for scene in wanted]
    right = accuracy(judge)
    bare = measure(known, known, wanted, judge)
    lines = [
        f"{arguments.pictures} pictures, one seed each. The judge is right about {right[0]:.0%} of colours and "
        f"{right[1]:.0%} of shapes of other pictures; of the pictures without a hole it says the asked colour in "
        f"{bare.colour:.0%} and the asked shape in {bare.shape:.0%}; their seam jump is {bare.seam:.2f}.",
        "",
        "| way | calls | guidance | colour asked | shape asked | seam jump | rim error |",
        "|---|---|---|---|---|---|---|",
    ]
    sheet = [known]
    for way in (plain(), resampled(2), resampled(5), preset("fast"), preset("quality")):
        scales = [float(text) for text in arguments.scales.split(",")]
        for scale, held in [(scale, held) for scale in scales for held in (True, False) if held or scale != 1]:
            began = time.process_time()
            painted = paint(model, known, prompts, scale, way, arguments.seed, held=held)
            found = measure(painted, known, wanted, judge)
            said = f"{scale:g}" if held else f"{scale:g}, not held back"
            lines.append(
                f"| {way.name} | {way.calls} | {said} | {found.colour:.0%} | {found.shape:.0%} "
                f"| {found.seam:.2f} | {found.rim:.1f} |"
            )
            print(lines[-1], f"{time.process_time() - began:.0f} s", flush=True)
            if scale in (1.0, 4.0) and held:
                sheet.append(painted)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "latent-table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [np.concatenate(list(row), axis=1) for row in sheet]
    sheet_picture = cv2.resize(np.concatenate(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(arguments.out / "latent-sheet.png"), sheet_picture[..., ::-1])


if __name__ == "__main__":
    main()
