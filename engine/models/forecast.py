"""How much main memory a run will take on the CPU, told before it begins: a formula with measured coefficients.

Peak resident memory of the whole process, steps with previews and kept states, shipped texture model in bfloat16 (MiB):

==================  ========  ========  ========
selected, sent      variants  measured  forecast
==================  ========  ========  ========
48², 256²           1         332       552
128², 256²          1         385       556
200², 400²          3         594       581
256², 512²          1         560       588
512², 1024²         1 / 4     653, 827  713, 809
900², 1800²         1         1077      1064
1024², 2828²        1         1259      1537
==================  ========  ========  ========

Holes deeper than 64 pixels begin with a draft made of the picture (:mod:`engine.run.drafts`), which takes what is said
of those below; smaller ones do not, so that the forecast says up to 220 MiB too much of them. In float32 (a processor
without bfloat16) 100 to 120 MiB more, forecast 144.

A 256 px network of 113.7 million parameters (the DDPM of church and cat pictures), in bfloat16: 1304 MiB after its
first call with all of diffusers loaded, which is no longer the case, forecast 1312 then.

Fills from the picture itself, without kept states, which add up to 15 % at 1024 px; "sent" is what the plug-ins send:

==================  ========  ==========  ========
selected, sent      variants  measured    forecast
==================  ========  ==========  ========
64², 464²           1 / 4     405, 465    414, 419
128², 640²          1 / 4     421, 498    431, 440
256², 1280²         1 / 4     497, 613    524, 562
512², 2560²         1 / 4     921, 1070   897, 1047
1024², 2828²        1         1299        1348
==================  ========  ==========  ========

Floats take hardly more than 8 bits, because patches are floats anyway: 615 instead of 599 MiB where 466² of 1400² are
selected. Of one variant, also where most of what is sent is painted, and of tiles, which are looked at as a whole,
:func:`of_run` says:

===============  ========  ========
selected, sent   measured  forecast
===============  ========  ========
300², 1000²      478       499
580², 640²       601       581
900², 1000²      855       836
512², 2560²      921       897
1024², 2828²     1299      1348
tile of 500²     461       457
tile of 640²     509       494
tile of 1000²    674       629
===============  ========  ========

With maps of three channels beside it, of a picture of 2048²; forecasts with 8 bytes a pixel for each file. Of a tile of
1000² a map adds 3 MiB:

===============  ====  ========  ========
selected, sent   maps  measured  forecast
===============  ====  ========  ========
256², 1280²         1       628       663
256², 1280²         3       855       877
512², 2048²         1       979      1045
512², 2048²         3      1487      1547
===============  ====  ========  ========

Of a latent model the autoencoder's decoder takes most, in float32: 3.3 KB a pixel at 512², 4.1 at 256² (of Stable
Diffusion's size, random weights). It sees at least one window of the network; beyond that it grows with what is sent up
to 1 megapixel, where it begins to work in tiles, so that for larger regions the forecast says too much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from engine.canvas import BATCH_AREA
from engine.devices import inference_dtype
from engine.errors import EngineError
from engine.models import lora, pipeline_folder
from engine.models.latent_space import TILED_FROM
from engine.models.model import ModelInfo
from engine.untrusted import MAX_JSON, parsed, read_json

LIBRARIES, FEW_LIBRARIES = 430 << 20, 330 << 20
"""Python, torch and the others, before any weights; with what a network of pixels needs of diffusers."""
WORK = {torch.bfloat16: 56, torch.float32: 128}
"""Bytes of activations per pixel of a network call and channel of the network's first level, by what it computes in."""
OCTAVES, OCTAVES_VARIANT = 400 << 20, 8
"""Bytes that the model without weights takes: at any size, and in place of :data:`VARIANT`."""
SEEN, SELECTED, TILE = 60, 490, 240
"""In place of :data:`PICTURE`: bytes per pixel sent and per selected pixel, and per pixel of a tile."""
MAP_SEEN, MAP_SELECTED = 36, 300
"""Bytes per pixel sent and per selected pixel for each map of three channels beside the picture; of a tile, whose peak
is elsewhere, none."""
DECODER = 4200
"""Bytes of the decoder's activations per pixel."""
PICTURE = 88
"""Bytes per pixel sent: the picture, the model's view of it, states, the layer."""
VARIANT = 32
"""The same for every further variant."""
DRAFT, DRAFT_SELECTED = 90 << 20, 320
"""Bytes more, in all and per selected pixel, of networks whose deep holes begin with a draft made of the picture."""


@dataclass(frozen=True)
class Need:
    """Bytes: ``fixed`` once the model is loaded and works, ``per_pixel`` sent, ``per_variant`` and pixel beyond the
    first; ``per_selected`` pixel more; of a tile ``per_tile`` in place of both, if it is not 0."""

    fixed: int
    per_pixel: int
    per_variant: int
    per_selected: int = 0
    per_tile: int = 0

    def total(self, pixels: int, selected: int, variants: int = 1, is_tile: bool = False) -> int:
        """Bytes of a run with so many pixels sent (width × height of the box around the selection) and selected."""
        once = pixels * self.per_pixel + selected * self.per_selected
        if is_tile and self.per_tile:
            once = pixels * self.per_tile
        return self.fixed + once + pixels * self.per_variant * (variants - 1)


def need(info: ModelInfo) -> Need | None:
    """What runs of this model need; None if its files are not here or do not tell."""
    if not info.installed:
        return None
    if info.folder is None:
        return Need(OCTAVES, SEEN, OCTAVES_VARIANT, SELECTED, TILE)
    if info.family == "latent":
        return _latent(info)
    weights = sum(path.stat().st_size for path in info.folder.rglob("*.safetensors"))
    if not weights:
        return None
    try:
        config = read_json(info.folder / "unet" / "config.json")
        channels, side = int(config["block_out_channels"][0]), int(config.get("sample_size") or 64)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    drafted = bool(config.get("any_scale"))
    dtype = inference_dtype(torch.device("cpu"))
    fixed = FEW_LIBRARIES + weights + WORK[dtype] * channels * (BATCH_AREA if drafted else side * side)
    return Need(fixed + DRAFT * drafted, PICTURE, VARIANT, DRAFT_SELECTED * drafted)


def of_run(info: ModelInfo, pixels: int, selected: int, is_tile: bool, variants: int = 1, maps: int = 0) -> int | None:
    """Bytes of a run with so many pixels sent and selected, and so many maps beside the picture; None as
    :func:`need`."""
    found = need(info)
    if found is None:
        return None
    beside = 0 if is_tile else maps * (MAP_SEEN * pixels + MAP_SELECTED * selected)
    return found.total(pixels, selected, variants, is_tile) + beside


def _latent(info: ModelInfo) -> Need | None:
    """Weights as they are in memory, and the autoencoder's work; the network's own is far less (95 MiB at Stable
    Diffusion's size and 512²) and comes before it."""
    try:
        base, _ = lora.base_of(info)
        kind, _ = pipeline_folder.kind_of(base)
        made = pipeline_folder.KINDS[kind]
        bytes_each = inference_dtype(torch.device("cpu")).itemsize
        parts = (made.network, *(encoder for encoder, _ in made.encoders))
        weights = bytes_each * sum(_elements(base, part) for part in parts) + 4 * _elements(base, "vae")
        configs = [pipeline_folder.config_of(base, part) for part in (made.network, "vae")]
        side = int(configs[0]["sample_size"]) * 2 ** (len(configs[1]["block_out_channels"]) - 1)
    except (EngineError, OSError, ValueError, KeyError, TypeError):
        return None
    more = DECODER * max(0, TILED_FROM - side * side) // TILED_FROM
    return Need(LIBRARIES + weights + DECODER * side * side, PICTURE + more, VARIANT)


def _elements(info: ModelInfo, part: str) -> int:
    """Numbers in a part's weight files, as their headers say; those in half precision where there are both."""
    place = pipeline_folder.place_of(info, part)
    files = [path for path in place.glob("*.safetensors") if ".fp16." not in path.name]
    total = 0
    for path in files or place.glob("*.safetensors"):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > MAX_JSON:
                raise ValueError(f"{path} has a header of {length} bytes")
            header = parsed(file.read(length))
        total += sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
    return total
