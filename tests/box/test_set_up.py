"""A computer for which another one paints: the bridge alone is set up, by real packages, and a box lets it in."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge_server.client import events, setup
from bridge_server.client.run_job import run
from bridge_server.client.session import Session
from bridge_server.client.setup import environments
from bridge_server.client.setup.kit import BOX
from tests.box.road import Box, command, fingerprints
from tests.bridge.home import SLOW, request, until
from tests.wheels import all_wheels

pytestmark = pytest.mark.usefixtures("own_home")


def set_up(kit: Path, wheels: Path, line: str = "") -> setup.Shown:
    one = setup.SetUp(kit, setup.plan(kit, wheels, box=line), wheels)
    one.start()
    one.join(120)
    return one.shown()


def test_the_bridge_alone_is_set_up_and_another_computer_paints(packaged: Path, tmp_path: Path) -> None:
    kit = packaged / "kit"
    wheels = all_wheels(kit)
    box = Box(home=tmp_path / "box")
    session = Session("test")
    try:
        line = f"repaint-bridge connect {box.address} {box.key}\n"
        plan = setup.plan(kit, box=line)
        assert (plan.problem, plan.flavour, plan.device) == ("", BOX, f"The machine {box.address} does the work")
        assert plan.download < 40e6, "uv and pyzmq"
        shown = set_up(kit, wheels, line)
        assert (shown.state, "does not let this computer in yet" in shown.sentence) == ("failed", True), shown
        assert setup.found(kit).state == "missing"
        [mine] = fingerprints(shown.sentence)[:1]
        assert command("allow", mine, home=box.home).returncode == 0
        shown = set_up(kit, wheels, line)
        assert (shown.state, shown.steps[-2].label) == ("done", "Connect to the other machine"), shown
        assert setup.found(kit) == setup.Found("ready")
        current = environments.current()
        assert current is not None
        names = {name for name, _ in environments.recorded(current)}
        assert names == {"pyzmq", "repaint-bridge"}
        session.start()
        seen: list[events.Event] = []
        [result] = run(session, request(SLOW), on_event=seen.append, timeout=60.0)
        assert any(result.rgba)
        model = next(
            each for event in seen if isinstance(event, events.Connected) for each in event.models if each.download
        )
        session.download(model.id, model.licence)
        told = until(lambda: [each for each in session.poll() if isinstance(each, events.Downloaded)], "an answer")
        assert (
            told[0].sentence == f"Another machine paints for this computer: type “repaint models get {model.id}” there."
        )
        assert setup.plan(kit, wheels).box == box.address, "an update stays so"
        assert command("doctor").returncode == 0
        command("disconnect")
        assert setup.found(kit).sentence.startswith("No other machine is connected any more")
        assert setup.plan(kit, wheels).flavour != BOX
    finally:
        session.close()
        command("stop")
        box.close()


@pytest.mark.parametrize("line", ["", "connect", "a:1", "a:1 key", "a " + "b" * 52, "a:1234567 " + "b" * 52])
def test_another_line(packaged: Path, line: str) -> None:
    problem = setup.plan(packaged / "kit", box=line or " ").problem
    assert problem.startswith("This is not the line of another machine")
