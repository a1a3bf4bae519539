"""All packages of this machine's set-up, kept for the tests beside the editors of tests/hosts.py: some 450 MB, fetched
once, by pip's and uv's own settings."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import setup
from bridge_server.client.errors import BridgeError
from bridge_server.client.setup import fetch
from bridge_server.client.setup.kit import PROJECT, Kit

from .hosts import Editor, cannot_lend, hosts_cache

DOWNLOADED = os.environ.get("REPAINT_BRIDGE_TEST_DOWNLOADS") == "1"
"""Whether a real Krita downloads all packages for itself, as ``--hosts all`` has it, instead of taking that folder."""


def own_settings() -> dict[str, str]:
    """pip's settings of whoever runs the tests, for an editor with another home."""
    mine = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    file = Path.home() / ".config/pip/pip.conf"
    return {"PIP_CONFIG_FILE": str(file), **mine} if file.is_file() else mine


def all_wheels(kit: Path) -> Path:
    """The folder with what the kit asks for on this machine; skips where there is no network."""
    plan = setup.plan(kit)
    read = Kit(kit)
    folder = hosts_cache() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [read.uv(plan.target), *(wheel for wheel in plan.wheels if wheel.project != PROJECT)]
    try:
        with open(hosts_cache() / "wheels.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fetch.fetch(wanted, folder, True, read.index, lambda _: None, lambda: False)
    except BridgeError as error:
        pytest.skip(error.sentence)
    names = {wheel.name for wheel in wanted}
    for path in folder.iterdir():
        if path.name not in names:  # of an older lock file
            path.unlink()
    return folder


def lend(folder: Path, place: Path) -> Path:
    """The same files in a folder that an editor in a root file system sees, too."""
    shutil.copytree(folder, place, copy_function=_link)
    return place


def lend_python(editor: Editor, environment: dict[str, str]) -> dict[Path, Path]:
    """What an editor in a root file system is to be lent (`Editor.within`) so that its plug-in finds the Python of the
    tests, for which the engine's build is small. It comes last in the environment's PATH: the first one there is what
    editors take for their own."""
    if editor.root is None:
        return {}
    if reason := cannot_lend():
        pytest.skip(reason)
    here = Path(sys.base_prefix)
    place = here if here != Path("/usr") else Path("/opt/python")
    environment["PATH"] += f":{place}/bin"
    return {here: place}


def _link(source: str, target: str) -> Any:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def remember(host: Any, page: str) -> None:
    """Has the page's steps noted as they are shown, inside an editor."""
    host.run(f"""
seen = []
def note_steps():
    text = {page}.shown().steps
    if text and (not seen or seen[-1] != text): seen.append(text)
driver.watchers["seen"] = note_steps
None
""")
