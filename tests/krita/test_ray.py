"""A real Krita paints through workers in a Ray cluster, and cannot tell. All of it stands in a network namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from bridge_server.client.link import find_or_start
from tests.desk import write_launch_file
from tests.ray.cluster import TOKEN, Nodes
from tests.ray.conftest import _namespace, _nodes, loopback, node_home, nodes  # noqa: F401 - fixtures

from .conftest import start_krita
from .desk import Desk
from .host import Display
from .test_pool import pictures

SOCKETS = Path("/tmp/.X11-unix")
"""Of X servers. Their abstract ones, by which a Krita in a root file system finds them, are not in the namespace."""


def test_krita_paints_through_ray_without_knowing_it(
    display: Display,
    nodes: Nodes,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path / "home"))
    bridge_command(["ray", nodes.address, "--ray-cpus", "1"])
    write_launch_file()
    find_or_start("tests", "tests").close()
    host = start_krita(tmp_path / "krita", display, {SOCKETS: SOCKETS}, **TOKEN)
    try:
        desk = Desk(host)
        host.wait("flow.connected and flow.engine == 'ready'", seconds=120, what="the engine is ready")
        log = launch.user_folders().state / "logs" / "bridge.log"
        assert "of ray 0, process" in log.read_text()
        assert "of local" not in log.read_text()
        document = desk.new(400, 300)
        desk.choose("test/gaussian-slow", seed=21, variants=3)
        desk.select(document, 100, 100, 80, 60)
        desk.press()
        desk.wait_preview(90)
        assert desk.wait_end(120).startswith("Done")
        through_ray = pictures(desk, document)
        assert len(set(through_ray)) == 3

        bridge_command(["ray", "off"])
        bridge_command(["stop"])
        find_or_start("tests", "tests").close()
        host.wait("flow.connected and flow.engine == 'ready'", seconds=120, what="the engine of this computer is ready")
        assert desk.repaint().startswith("Done")
        assert pictures(desk, document) == through_ray
        host.stop()
    finally:
        host.kill()
        bridge_command(["stop"])
