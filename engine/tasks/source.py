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

from engine.errors import BadInput
from engine.files import Picture, colours_of
from engine.tasks.results import News
from engine.untrusted import own_input

STREAM = Path("-")


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--page", metavar="N|all", help="which page or frame of a file with several")
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


def read(arguments: argparse.Namespace, page: int, news: News) -> Picture:
    """A page, with its colours as asked for; says what of it is not kept."""
    from engine.files import colour, imagefile

    picture = imagefile.read(arguments.image, page)
    if arguments.profile == "srgb":
        picture = colour.as_srgb(picture)
    if arguments.out.suffix.lower() == ".gif":
        picture = replace(picture, palette=None if arguments.palette == "free" else colours_of(picture, 256))
    for note in picture.notes:
        news.note(note)
    return picture
