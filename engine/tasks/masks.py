"""The options that say how a mask is read, of every command that takes one."""

from __future__ import annotations

import argparse

import numpy as np

from engine.files import maskfile


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--invert-mask",
        action=argparse.BooleanOptionalAction,
        help="repaint the black part instead of the white; --no-invert-mask: the white one, even if it is nearly all",
    )
    parser.add_argument(
        "--mask-channel", choices=maskfile.CHANNELS, default="auto", help="which channel of the mask to use"
    )
    parser.add_argument(
        "--mask-threshold",
        type=int,
        metavar="N",
        help="repaint fully where the mask is at least N, and nothing elsewhere",
    )


def read(arguments: argparse.Namespace, page: int = 0) -> np.ndarray:
    """(H, W) uint8; see :func:`engine.files.maskfile.read`. A mask with one page goes with every page of a picture."""
    return maskfile.read(arguments.mask, arguments.mask_channel, arguments.mask_threshold, arguments.invert_mask, page)
