"""The options that say how a mask is read, of every command that takes one."""

from __future__ import annotations

import argparse

import numpy as np

from engine.files import maskfile


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--invert-mask",
        action=argparse.BooleanOptionalAction,
        help="black counts instead of white; --no-invert-mask: white, even where that is nearly everything",
    )
    parser.add_argument("--mask-channel", choices=maskfile.CHANNELS, default="auto", help="which channel counts")
    parser.add_argument("--mask-threshold", type=int, metavar="N", help="values from N on count wholly, others do not")


def read(arguments: argparse.Namespace, page: int = 0) -> np.ndarray:
    """(H, W) uint8; see :func:`engine.files.maskfile.read`. A mask with one page goes with every page of a picture."""
    return maskfile.read(arguments.mask, arguments.mask_channel, arguments.mask_threshold, arguments.invert_mask, page)
