"""An exact denoiser for a two-dimensional Gaussian prior, and the closed-form rows it must reproduce."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

COVARIANCE = np.array([[1.0, 0.9], [0.9, 1.0]])
DATA = Path(__file__).parent / "data"
ROWS = json.loads((DATA / "closed_form.json").read_text())["rows"]


def gaussian_network(model_alpha_bar: np.ndarray, prediction: str = "epsilon"):
    """ε̂, v̂, x̂_0 or a flow's ε̂ − x̂_0 of x_0 ~ N(0, COVARIANCE); the two coordinates stand in the last axis."""

    def network(x: torch.Tensor, timestep: int) -> torch.Tensor:
        a = float(model_alpha_bar[timestep])
        if prediction == "flow":
            x = x * (a**0.5 + (1 - a) ** 0.5)
        gain = np.sqrt(a) * COVARIANCE @ np.linalg.inv(a * COVARIANCE + (1 - a) * np.eye(2))
        x0_hat = x @ torch.from_numpy(gain.T).to(x.dtype)
        epsilon = (x - a**0.5 * x0_hat) / (1 - a) ** 0.5
        if prediction == "sample":
            return x0_hat
        if prediction == "flow":
            return epsilon - x0_hat
        return epsilon if prediction == "epsilon" else a**0.5 * epsilon - (1 - a) ** 0.5 * x0_hat

    return network
