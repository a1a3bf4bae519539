"""The toy latent model on a hub of this machine, for tests of downloads through the bridge and its editors."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge_server.client import launch
from tests.engine import standin_hub, toys
from tests.engine.standin_hub import REVISION, StandIn

CATALOGUE = Path(__file__).parents[1] / "engine" / "models" / "catalogue.json"
TOY, GATED = "toy-words", "toy-gated"
LICENCE = "Toy Licence 1.0"
REPOSITORY = "some/toy-words"
SIZE = sum(path.stat().st_size for path in toys.FOLDER.rglob("*") if path.is_file())


def entries() -> list[dict[str, object]]:
    """The shipped catalogue, and the toy twice, once for accounts that accepted its licence."""
    common = {"licence": LICENCE, "repo": REPOSITORY, "revision": REVISION, "layout": "sd"}
    return [
        *json.loads(CATALOGUE.read_text(encoding="utf-8")),
        {"id": TOY, "title": "By words, a toy", "download_mb": 4, **common},
        {"id": GATED, "title": "By words, a toy behind a gate", "gated": True, **common},
    ]


@contextlib.contextmanager
def running() -> Iterator[StandIn]:
    """The hub; processes that are started meanwhile know it and its catalogue by their environment."""
    with tempfile.TemporaryDirectory(prefix="toy-hub-") as folder, standin_hub.running() as hub:
        for path in toys.FOLDER.rglob("*"):
            if path.is_file():
                hub.files[path.relative_to(toys.FOLDER).as_posix()] = path.read_bytes()
        listed = Path(folder) / "catalogue.json"
        listed.write_text(json.dumps(entries()), encoding="utf-8")
        with environment(
            REPAINT_BRIDGE_CATALOGUE=str(listed),
            HF_ENDPOINT=hub.endpoint,
            REPAINT_BRIDGE_TOKEN_HOST=f"127.0.0.1:{hub.port}",
            HF_HUB_OFFLINE="0",
            HF_HOME=str(Path(folder) / "hf"),
            NO_PROXY="127.0.0.1,localhost",
        ):
            yield hub


def models() -> Path:
    """Where the bridge puts what is downloaded."""
    return launch.user_folders().data / "models"


@contextlib.contextmanager
def as_before(desk: Any, hub: StandIn, reset: str) -> Iterator[None]:
    """A desk of either editor; afterwards nothing of the toy is left.

    Args:
        reset: run in the editor: its options as they were.
    """
    yield
    hub.pace = 0.0
    hub.statuses.clear()
    desk.host.run("flow.stop_download()\nNone")
    desk.host.wait("flow.downloads.now is None")
    desk.choose()
    desk.host.run(f"{reset}\nNone")
    shutil.rmtree(models(), ignore_errors=True)
    desk.host.run("flow.session.download('no/such', '')\nNone")  # after a refusal the bridge looks again
    desk.host.wait(f"not flow.model({TOY!r}).installed", what="the bridge knows that it is gone")


VARIABLES = ("REPAINT_BRIDGE_CATALOGUE", "REPAINT_BRIDGE_TOKEN_HOST", "HF_ENDPOINT", "HF_HOME", "NO_PROXY")
"""What an editor of the tests hands on, beside HF_HUB_OFFLINE."""


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
