"""What a command on a picture reads: the picture with its pages, its colours as asked for, the mask that goes with it;
``-`` for standard input and output."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine import canvas
from engine.errors import BadInput
from engine.files import Picture, colours_of
from engine.untrusted import own_input

STREAM = Path("-")
HARDLY = 0.1
"""Of the pixels that are not selected: a smaller share of opaque ones is too small to paint from."""
LEAST_COVER = 0.1
"""Alpha from which on the colour of a pixel means something."""


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("image", type=Path, metavar="IN", help="a picture; - is standard input")
    command.add_argument("--page", metavar="N|all", help="of a file with several pages or frames")
    command.add_argument(
        "--profile", choices=("keep", "srgb"), default="keep",
        help="keep the picture's colour profile, or convert to sRGB first",
    )  # fmt: skip


@contextmanager
def streams(arguments: argparse.Namespace) -> Iterator[None]:
    """Files in place of standard input and output; what was written to the latter's is sent at the end."""
    given = [name for name in ("image", "mask") if getattr(arguments, name, None) == STREAM]
    arguments.streamed = arguments.out == STREAM
    if not given and not arguments.streamed:
        yield
        return
    if len(given) > 1:
        raise BadInput("bad_argument", "Standard input holds one file; name the picture or the mask.")
    with tempfile.TemporaryDirectory(prefix="repaint-") as folder:
        for name in given:
            path = Path(folder) / "standard-input"
            with open(path, "wb") as file:
                shutil.copyfileobj(own_input(), file)
            setattr(arguments, name, path)
        if arguments.streamed:
            arguments.out = Path(folder) / "standard-output"
        yield
        if arguments.streamed:
            (written,) = Path(folder).glob("standard-output*")
            sys.stdout.flush()
            sys.stdout.buffer.write(written.read_bytes())
            sys.stdout.buffer.flush()


def pages(arguments: argparse.Namespace, one: bool = False) -> list[int]:
    """The numbers, from 0, of the pages to work on; of ``one`` if there cannot be more.

    Raises:
        BadInput: there are several and none was chosen; no such page.
    """
    from engine.files import imagefile

    number, name = imagefile.look(arguments.image).pages, arguments.image.name
    if arguments.page is None:
        if number > 1:
            raise BadInput(
                "several_pages",
                f"{name} has {number} pages; add --page 1 for one of them{'' if one else ', or --page all for all'}.",
            )
        return [0]
    if arguments.page == "all" and not one:
        return list(range(number))
    if not arguments.page.isdecimal() or not 1 <= int(arguments.page) <= number:
        every = "" if one else "all or "
        raise BadInput("bad_page", f"--page must be {every}1 to {number} for {name}, not {arguments.page}.")
    return [int(arguments.page) - 1]


def read(arguments: argparse.Namespace, page: int) -> Picture:
    """A page, with its colours as asked for; says what of it is not kept."""
    from engine.files import colour, imagefile

    picture = imagefile.read(arguments.image, page)
    if arguments.profile == "srgb":
        picture = colour.as_srgb(picture)
    if arguments.out.suffix.lower() == ".gif":
        picture = replace(picture, palette=None if arguments.palette == "free" else colours_of(picture, 256))
    for note in picture.notes:
        print(f"note: {note}", file=sys.stderr)
    return picture


def for_engine(picture: Picture, selection: np.ndarray) -> np.ndarray:
    """What the engine sees, see :meth:`engine.files.Picture.rgba`. Only opaque pixels are known to it; where hardly any
    that is not selected is, those that cover at least a tenth count as such, and a sentence says so."""
    image = picture.rgba()
    if not picture.has_alpha:
        return image
    opaque = canvas.whole(image.dtype)
    free, covering = selection == 0, image[..., 3] >= LEAST_COVER * opaque
    known = canvas.opaque(image) & free
    if not (covering & free & ~known).any() or known.sum() >= HARDLY * free.sum():
        return image
    print("note: Hardly any pixel is opaque; those that cover at least a tenth count as known.", file=sys.stderr)
    image[..., 3] = np.where(covering, image.dtype.type(opaque), image[..., 3])
    return image
