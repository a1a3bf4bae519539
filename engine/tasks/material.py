"""The options that say where the fill's material comes from: another picture, or a part of one."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from engine import canvas
from engine.errors import BadInput
from engine.files import Picture, imagefile, maskfile

HALF = 128
"""Values of a mask from here on count."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source", type=Path, metavar="PICTURE", help="copy everything that is painted from this picture"
    )
    parser.add_argument(
        "--source-mask",
        type=Path,
        metavar="MASK",
        help="use only the white part, of --source or else of the picture itself",
    )
    parser.add_argument("--invert-source-mask", action="store_true", help="use only the black part")
    parser.add_argument(
        "--source-share",
        type=int,
        default=100,
        metavar="PERCENT",
        help="how much comes from the source; the rest is from around",
    )
    parser.add_argument(
        "--share-mask", type=Path, metavar="MASK",
        help="of the size of the result: white = the full share, black = nothing from the source",
    )  # fmt: skip


def check(arguments: argparse.Namespace, size: tuple[int, ...]) -> None:
    """What can be told from the files' headers; ``size``: (height, width) of the result. Raises BadInput."""
    if arguments.source_mask is None:
        if arguments.invert_source_mask:
            raise BadInput("bad_argument", "--invert-source-mask needs a mask; add --source-mask MASK.")
    else:
        of, mask = arguments.source or arguments.image, arguments.source_mask
        _check_sizes(mask.name, imagefile.size(mask), of.name, imagefile.size(of))
    if arguments.source is not None and imagefile.look(arguments.source).pages > 1:
        name = arguments.source.name
        raise BadInput("bad_source", f"{name} has several pages; save the one to take from by itself.")
    if arguments.share_mask is not None:
        if arguments.source is None and arguments.source_mask is None:
            sentence = "--share-mask mixes two materials; add --source PICTURE or --source-mask MASK."
            raise BadInput("bad_argument", sentence)
        _check_sizes(arguments.share_mask.name, imagefile.size(arguments.share_mask), "the result", size)


def _check_sizes(name: str, size: tuple[int, ...], of: str, wanted: tuple[int, ...]) -> None:
    if size != wanted:
        (rows, columns), (height, width) = size, wanted
        raise BadInput(
            "size_mismatch",
            f"{name} is {columns} × {rows} pixels but {of} is {width} × {height}; make both the same size.",
        )


def shares(arguments: argparse.Namespace) -> np.ndarray | None:
    """(H, W) uint8 as :class:`engine.run.Job` takes it; None where no mask of shares is named."""
    return None if arguments.share_mask is None else maskfile.read(arguments.share_mask, invert=False)


def read(arguments: argparse.Namespace, picture: Picture, selection: np.ndarray | None = None) -> np.ndarray | None:
    """(h, w, 4) as :class:`engine.run.Job` takes it, in the picture's depth and colours; None where no source is named.

    Args:
        picture: the one that is painted on.
        selection: of it, (H, W), where it is its own source; what is selected is none.

    Raises:
        BadInput: no picture, or colours that cannot be brought into the picture's.
    """
    if arguments.source is None and arguments.source_mask is None:
        return None
    own = arguments.source is None
    pixels = picture.rgba() if own else _alike(imagefile.read(arguments.source), picture, arguments.source.name)
    usable = np.ones(pixels.shape[:2], bool)
    if arguments.source_mask is not None:
        usable = maskfile.read(arguments.source_mask, invert=arguments.invert_source_mask) >= HALF
    if own and selection is not None:
        if usable.any() and not usable[selection == 0].any():
            raise BadInput(
                "bad_source", "What may be used lies entirely inside the selection; mark something outside it."
            )
        usable &= selection == 0
    pixels[~usable, 3] = 0
    return pixels


def _alike(source: Picture, picture: Picture, name: str) -> np.ndarray:
    """(h, w, 4) of a source in another picture's depth, profile and, where that is gray, gray."""
    from engine.files import colour

    rgba, into = source.rgba(), _profile(picture)
    channels, dtype = (3 if source.pixels.shape[2] >= 3 else 1), picture.seen
    if rgba.dtype == dtype and _profile(source) == into:
        return rgba
    if None in (colour.space(_profile(source)), colour.space(into)):
        raise BadInput("bad_source", f"The colours of {name} cannot be converted; save it in the picture's profile.")
    unit = rgba.astype(np.float32) / canvas.whole(rgba.dtype)
    colours, alpha = unit[..., :channels], unit[..., 3:]
    if _profile(source) != into:
        colours = colour.convert(np.ascontiguousarray(colours), _profile(source), into)
    values = np.concatenate([np.broadcast_to(colours, (*colours.shape[:2], 3)), alpha], axis=2)
    if dtype.kind == "u":
        most = canvas.whole(dtype)
        return np.rint(np.nan_to_num(values).clip(0, 1) * most).astype(dtype)
    return values.astype(dtype)


def _profile(picture: Picture) -> bytes:
    """That of a picture, or what it is taken for."""
    from engine.files import colour

    if picture.icc_profile is not None:
        return picture.icc_profile
    gamma = 1.0 if picture.pixels.dtype.kind == "f" else None
    if picture.pixels.shape[2] < 3:
        return colour.gray(gamma)
    return colour.srgb() if gamma is None else colour.rgb(gamma)
