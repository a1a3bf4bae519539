"""Ray for tests: real processes, in a network namespace that has nothing but loopback."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ray.cluster import ROOT, TOKEN, Loopback, Nodes, cluster


def _skip(reason: str) -> None:
    """Aloud; in CI it is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def _namespace() -> Loopback:
    if importlib.util.find_spec("ray") is None:
        _skip("Ray is not installed: installer.py test does that where there is a wheel of it for this Python")
    try:
        return Loopback()
    except (OSError, AttributeError) as error:
        _skip(f"Ray listens on loopback only in a network namespace, and this user may not make one: {error}")
        raise


@pytest.fixture
def loopback(_namespace: Loopback) -> Iterator[None]:
    """This thread, and what it starts, sees loopback and nothing else."""
    _namespace.enter()
    try:
        yield
    finally:
        _namespace.leave()


@pytest.fixture(scope="package")
def node_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nodes' own folders, with a model of the user's, called mine."""
    home = tmp_path_factory.mktemp("node")
    shutil.copytree(ROOT / "engine/weights/texture", home / "data/models/mine")
    return home


@pytest.fixture(scope="package")
def _nodes(_namespace: Loopback, node_home: Path) -> Iterator[Nodes]:
    _namespace.enter()
    with cluster() as nodes:
        for _ in range(2):
            nodes.add(env_vars={"REPAINT_BRIDGE_HOME": str(node_home)})
        _namespace.leave()
        yield nodes


@pytest.fixture
def nodes(loopback: None, _nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> Nodes:  # noqa: ARG001
    """A cluster with a token and two nodes of one processor each, beside a head without; left as it was."""
    for name, value in TOKEN.items():
        monkeypatch.setenv(name, value)
    return _nodes
