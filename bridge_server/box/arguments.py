"""What the box's commands take; needs no package, for the rest of ``repaint-bridge`` needs none."""

from __future__ import annotations

import argparse

NAMES = ("serve-workers", "allow", "forbid", "connect", "disconnect")


def add_arguments(name: str, command: argparse.ArgumentParser) -> None:
    """What each of the commands takes."""
    if name == "serve-workers":
        command.add_argument(
            "--listen",
            required=True,
            metavar="HOST:PORT",
            help="where to listen; 0.0.0.0: on all networks of this computer",
        )
        command.add_argument("--workers", type=int, metavar="N", help="how many (default: one for each GPU, or one)")
        command.add_argument("--warm", default="exemplar", help="model to load at the start")
    elif name == "connect":
        command.add_argument("address", metavar="HOST:PORT")
        command.add_argument("--workers", type=int, default=0, metavar="N", help="use at most this many of its workers")
        command.add_argument("key", nargs="?", default="", help="the key that “serve-workers” shows on the box")
    elif name in ("allow", "forbid"):
        text = "fingerprint or key of the computer; without it, all are listed" if name == "allow" else "or its key"
        command.add_argument("who", nargs="?" if name == "allow" else None, metavar="FINGERPRINT", help=text)
