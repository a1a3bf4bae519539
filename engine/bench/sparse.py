"""What many small places cost: twenty spots and a wire with the default model, in a small and in a large picture, and
beside them the same places one by one."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import torch

from engine import api
from engine.bench.cost import measured, resident_mib

SIZES = ((1600, 1200), (6000, 4000))
SPOTS = 20
ALONE = 4
"""Of the spots, so many are also painted one by one; all of them are said to take that much longer."""


def measure(device: torch.device) -> list[dict[str, Any]]:
    """Processor seconds and memory, MiB, of each case, and of its places one by one."""
    model = api.load_model("exemplar", device.type)
    api.warm_up(model)
    out = []
    for width, height in SIZES:
        image = _picture(width, height)
        spots = [_spot(width, height, number) for number in range(SPOTS)]
        alone = sum(_cost(image, spot, model, device)["seconds"] for spot in spots[:ALONE]) * SPOTS / ALONE
        together = _cost(image, np.maximum.reduce(spots), model, device)
        out.append({"title": f"{SPOTS} spots in {width} × {height}", "alone": alone, **together})
        wire = np.zeros((height, width), np.uint8)
        cv2.line(wire, (width // 50, height // 12), (width - width // 50, height - height // 12), 255, 5)
        title = f"a wire across {width} × {height}"
        out.append({"title": title, "alone": None, **_cost(image, wire, model, device)})
    return out


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The result as lines of Markdown."""
    lines = ["| the default model | pixels | processor s | one by one | MiB |", "|---|---|---|---|---|"]
    for row in rows:
        alone = "–" if row["alone"] is None else f"{row['alone']:.1f}"
        peak = "–" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
        lines.append(f"| {row['title']} | {row['pixels']} | {row['seconds']:.1f} | {alone} | {peak} |")
    return lines


def _cost(image: np.ndarray, selection: np.ndarray, model: api.Model, device: torch.device) -> dict[str, Any]:
    before, began = resident_mib(), time.process_time()
    with measured(device) as cost:
        for _ in api.run(api.Job(image, selection, model="exemplar", seed=1), model):
            pass
    beyond = before if device.type == "cpu" else 0.0
    peak = None if cost.peak_mib is None or beyond is None else max(0.0, cost.peak_mib - beyond)
    return {"pixels": np.count_nonzero(selection), "seconds": time.process_time() - began, "peak_mib": peak}


def _picture(width: int, height: int) -> np.ndarray:
    """Noise on soft clouds: (height, width, 4) uint8."""
    random = np.random.default_rng(0)
    clouds = cv2.resize(random.normal(128, 40, (height // 50, width // 50, 3)), (width, height))
    noisy = clouds + random.normal(0, 12, (height, width, 1))
    return np.dstack([noisy.clip(0, 255).astype(np.uint8), np.full((height, width), 255, np.uint8)])


def _spot(width: int, height: int, number: int) -> np.ndarray:
    """The spots lie in five columns and four rows, not quite regularly."""
    selection = np.zeros((height, width), np.uint8)
    x, y = (2 * (number % 5) + 1) * width // 10, (2 * (number // 5) + 1) * height // 8
    cv2.circle(selection, (x + 7 * number % 31, y + 11 * number % 37), 6 + number % 8, 255, -1)
    return selection
