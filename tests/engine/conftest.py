"""Networks compute in float32 on every machine here: tests compare them with float32, and bfloat16 is chosen by the
processor (:func:`engine.devices.inference_dtype`)."""

from __future__ import annotations

import torch

from tests.engine.hub_help import network, standin  # noqa: F401 - fixtures
from tests.engine.lab_help import trial  # noqa: F401 - a fixture

torch.cpu._is_avx512_bf16_supported = lambda: False
torch.cpu._is_amx_tile_supported = lambda: False
