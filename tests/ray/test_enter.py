"""What stands in the way of a cluster is one sentence that says what to do, asked of real clusters."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from engine import cluster
from engine.errors import EngineError
from tests.ray.cluster import ROOT, Nodes
from tests.ray.cluster import cluster as made


@pytest.fixture(scope="module")
def open_nodes(_namespace) -> Iterator[Nodes]:
    """Without a token."""
    _namespace.enter()
    with made(token=False) as nodes:
        _namespace.leave()
        yield nodes


def refused(address: str, without_token: bool = False) -> EngineError:
    with pytest.raises(EngineError) as found:
        cluster.enter(address, without_token)
    return found.value


def test_no_ray_and_an_old_one(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert "pip install" in refused("auto").sentence
    monkeypatch.setattr(metadata, "version", lambda _: "2.9.3")
    assert "2.9.3 is too old" in refused("auto").sentence


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize("speaks", [None, b"220 mail ready\r\n"])
def test_an_address_that_is_something_else(speaks: bytes | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 4.0)
    listening = socket.create_server(("127.0.0.1", 0))
    place = f"127.0.0.1:{listening.getsockname()[1]}"
    if speaks is None:
        listening.close()
    error = refused(place)
    listening.close()
    assert (error.code, place in error.sentence) == ("ray_nothing", True)


def test_a_cluster_that_lets_anybody_in_is_refused_unless_allowed(open_nodes: Nodes, loopback: None):  # noqa: ARG001
    error = refused(open_nodes.address)
    assert error.code == "ray_open"
    assert "RAY_AUTH_MODE=token" in error.sentence
    code = "import sys; from engine import cluster; print(cluster.enter(sys.argv[1], without_token=True))"
    command = [sys.executable, "-c", code, open_nodes.address]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip() == open_nodes.address


@pytest.mark.parametrize(
    "other", ["import ray; ray.__version__ = '2.59.9'", "import ray; sys.version_info = (3, 11, 99)"]
)
def test_another_ray_or_python_than_the_clusters(open_nodes: Nodes, loopback: None, other: str):  # noqa: ARG001
    """Ray itself compares what this process says of itself with what the cluster's head said."""
    code = f"""
import sys
{other}
from engine import cluster
from engine.errors import EngineError
try:
    cluster.enter(sys.argv[1], without_token=True)
except EngineError as error:
    print(error.code, error.sentence)
"""
    done = subprocess.run([sys.executable, "-c", code, open_nodes.address], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("ray_versions"), done.stderr
    assert "install the same ones" in done.stdout


def test_no_token_and_a_wrong_one(nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 32)
    error = refused(nodes.address)
    assert (error.code, "another token" in error.sentence) == ("ray_token", True)
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    error = refused(nodes.address)
    assert (error.code, "wants a token" in error.sentence) == ("ray_token", True)


def test_what_a_cluster_offers():
    def node(**resources: float) -> dict[str, object]:
        named = {"NodeManagerHostname": "n", "NodeManagerAddress": "a", "NodeID": str(resources)}
        return {"Alive": True, "Resources": resources, **named}

    def count(*nodes: dict[str, object], **share: float) -> int:
        return len(cluster.seats(nodes, cluster.Share(**share)))

    assert count(node(CPU=0.0), node(CPU=2.0), node(CPU=9.0)) == 0 + 1 + 2
    assert count(node(CPU=64.0), node(CPU=8.0, GPU=2.0), node(GPU=1.0)) == 3
    assert count(node(GPU=2.0), gpus=0.5) == 4
    assert count(node(GPU=3.0), gpus=2.0) == 1
    assert count({**node(CPU=4.0), "Alive": False}) == 0
