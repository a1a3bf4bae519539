"""The command ``python -m engine data``."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.data import default_folder
from engine.errors import EngineError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``python -m engine data``."""
    parser.add_argument("action", choices=["build"], help="build: gather (or finish gathering) the corpus")
    parser.add_argument("--out", type=Path, default=None, help="folder for the corpus (default: the user's cache)")
    parser.add_argument("--limit-mib", type=float, default=None, help="keep no more than so many MiB of pictures")


def main(args: argparse.Namespace) -> None:
    """Build the corpus and say what is in it.

    Raises:
        EngineError: nothing could be gathered on this machine.
    """
    from engine.data import build

    manifest = build.build(args.out or default_folder(), limit_mib=args.limit_mib)
    if not manifest.pictures:
        raise EngineError("no_pictures", "No pictures could be gathered on this machine.")
    for row in manifest.summary():
        print("{source} {version}  {licence}  {kind}: {trained} to train on, {held_out} held out".format(**row))
