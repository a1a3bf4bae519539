"""What the engine computes on: the CPU, or what :mod:`torch.accelerator` offers."""

from __future__ import annotations

import os
import sys

import cv2
import torch

from engine.errors import BadInput

KINDS = ("cpu", "cuda", "xpu", "mps")
"""``cuda`` is an NVIDIA GPU, or one of AMD's with torch's build for ROCm; ``xpu`` Intel's, ``mps`` Apple's."""


def available() -> tuple[str, ...]:
    """Kinds of devices here, the best first; the last is ``cpu``."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return (found.type, "cpu") if found is not None and found.type in KINDS else ("cpu",)


def chosen(kind: str | None = None) -> torch.device:
    """The device of that kind, the best if None.

    Raises:
        BadInput: ``no_device``.
    """
    here = available()
    if kind is not None and kind not in here:
        raise BadInput("no_device", f"The device {kind!r} is not available here; use {' or '.join(here)}.")
    return torch.device(kind or here[0])


def use_threads(number: int) -> None:
    """Compute with so many threads of the processor from here on, in the calling thread.

    Networks add up in another order with another number of threads, which changes last digits and with them pixels.
    """
    torch.set_num_threads(number)
    cv2.setNumThreads(number)
    if "numba" not in sys.modules:  # it takes half a second to be loaded, and not every model needs it
        os.environ["NUMBA_NUM_THREADS"] = str(number)
        return
    import numba

    numba.set_num_threads(min(number, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


def inference_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it (CUDA since Ampere, CPUs with AVX-512 BF16 or AMX), else float32.

    On a CPU without these instructions bfloat16 is emulated and slower than float32. Apple's GPUs take float32.
    """
    if device.type in ("cuda", "xpu"):
        module = torch.cuda if device.type == "cuda" else torch.xpu
        return torch.bfloat16 if module.is_bf16_supported(including_emulation=False) else torch.float32
    flags = (torch.cpu._is_avx512_bf16_supported, torch.cpu._is_amx_tile_supported)
    return torch.bfloat16 if device.type == "cpu" and any(flag() for flag in flags) else torch.float32
