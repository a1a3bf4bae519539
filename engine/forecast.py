"""How much main memory a run will take on the CPU, told before it begins: a formula with measured coefficients.

Peak resident memory of the whole process, steps with previews and kept states, shipped texture model (MiB):

==================  ========  ========  ========
selected, sent      variants  measured  forecast
==================  ========  ========  ========
48², 256²           1         486       526
128², 256²          1         515       526
256², 512²          1 / 4     531, 562  543, 567
512², 1024²         1 / 4     583, 684  609, 705
900², 1800²         1         779       793
==================  ========  ========  ========

and a 256 px network of 113.7 million parameters (the DDPM of church and cat pictures): 1304 MiB after its first call
with the libraries, forecast 1312.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from engine.canvas import BATCH_AREA
from engine.models import ModelInfo
from engine.models.memory import VAE_BYTES_PER_PIXEL

LIBRARIES = 430 << 20
"""Python, torch and the others, before any weights."""
WORK = 56
"""Bytes of activations per pixel of a network call and channel of the network's first level, float32."""
EXEMPLAR = 64 << 20
"""Patches of the picture that are compared at a time, of the model without weights (measured 474 MiB for 128² in 256²,
489 for 256² in 512²)."""
PICTURE = 88
"""Bytes per pixel sent: the picture, the model's view of it, states, the layer."""
VARIANT = 32
"""The same for every further variant."""


@dataclass(frozen=True)
class Need:
    """Bytes: ``fixed`` once the model is loaded and works, ``per_pixel`` sent, ``per_variant`` and pixel beyond the
    first."""

    fixed: int
    per_pixel: int
    per_variant: int

    def total(self, pixels: int, variants: int = 1) -> int:
        """Of a run with so many pixels sent (width × height of the box around the selection)."""
        return self.fixed + pixels * (self.per_pixel + self.per_variant * (variants - 1))


def need(info: ModelInfo) -> Need | None:
    """What runs of this model need; None if its files are not here or do not tell."""
    if not info.installed:
        return None
    if info.folder is None:
        return Need(LIBRARIES + EXEMPLAR, PICTURE, VARIANT)
    weights = sum(path.stat().st_size for path in info.folder.rglob("*.safetensors"))
    if not weights:
        return None
    if info.takes_prompt:
        return Need(LIBRARIES + weights, PICTURE + VAE_BYTES_PER_PIXEL, VARIANT)
    try:
        config = json.loads((info.folder / "unet" / "config.json").read_text(encoding="utf-8"))
        channels, side = int(config["block_out_channels"][0]), int(config.get("sample_size") or 64)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    area = BATCH_AREA if config.get("any_scale") else side * side
    return Need(LIBRARIES + weights + WORK * channels * area, PICTURE, VARIANT)
