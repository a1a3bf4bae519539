"""Where the parts of a latent model go, decided by a forecast before anything is moved.

The forecast adds the weights and the largest activations of one evaluation; attention itself takes no quadratic memory
(torch's scaled dot products). Measured on one network only, so it leaves room.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from engine.errors import EngineError

log = logging.getLogger(__name__)

MIB = 2**20
NO_MEMORY = ("can't allocate memory", "could not create a primitive")
"""What torch's allocator on the CPU and oneDNN say when memory ends."""
RESERVE = 600 * MIB
"""Bytes of a CUDA device that stay free: its context, and what other programs show on the screen."""
VAE_BYTES_PER_PIXEL = 6000
"""Activations of a Stable Diffusion autoencoder's decoder in float32, per pixel."""
CELL_BYTES = 1100
"""Activations of a diffusion network per latent cell and channel of its first level, a pair of prompts, 16 bit."""


@dataclass(frozen=True)
class Placement:
    """How a model runs on a CUDA device.

    Attributes:
        beside: text encoders and autoencoder are on the device as well; otherwise they work on the CPU.
        streamed: the network's weights lie on the CPU and each layer is sent over when its turn comes.
        paired: both prompts of a guidance pair go through the network together.
    """

    beside: bool
    streamed: bool
    paired: bool


LEAST = Placement(False, True, False)


def placement(free: int, network: int, others: int, cells: int, width: int, pixels: int) -> Placement:
    """The fastest placement that is expected to fit.

    Args:
        free: bytes of the device.
        network, others: bytes of the weights of the network, and of text encoders and autoencoder.
        cells: latent cells of one network call.
        width: channels of the network's first level.
        pixels: of what the autoencoder takes at once.
    """
    work = CELL_BYTES * cells * width
    decode = VAE_BYTES_PER_PIXEL * pixels
    for needed, chosen in (
        (network + others + max(work, decode), Placement(True, False, True)),
        (network + work, Placement(False, False, True)),
        (network + work // 2, Placement(False, False, False)),
    ):
        if needed + RESERVE <= free:
            return chosen
    log.warning(
        "the network's %d MiB do not fit into %d MiB: it is sent over layer by layer", network // MIB, free // MIB
    )
    return LEAST


def exhausted(error: BaseException) -> bool:
    """Whether an exception says that memory ended: on CUDA, in torch's allocator on the CPU, or in oneDNN."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and any(words in said for words in NO_MEMORY)


@contextmanager
def within_memory(model: str = "") -> Iterator[None]:
    """A lack of memory becomes a sentence, also where a model's file seems damaged for it.

    ``model``: the title of the one that is loaded or tried; else a selection is painted.
    """
    try:
        yield
    except EngineError as error:
        if error.code == "model_corrupt" and error.__cause__ is not None and exhausted(error.__cause__):
            raise out_of_memory(error.details, model) from error
        raise
    except (MemoryError, RuntimeError) as error:
        if exhausted(error):
            raise out_of_memory(str(error), model) from error
        raise


def out_of_memory(details: str, model: str = "") -> EngineError:
    """What to raise where memory does not suffice: for that model, or for a selection."""
    sentence = "There is not enough memory for this selection; select a smaller region or paint fewer variants."
    if model:
        sentence = f"There is not enough memory for the model {model}; close other programs or choose a smaller model."
    return EngineError("out_of_memory", sentence, details)


def weight_bytes(module: torch.nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())
