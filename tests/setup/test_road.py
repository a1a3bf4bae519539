"""The whole road with real uv: a folder of wheels to an environment that starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bridge_server.client import launch, setup
from tests.setup.kits import HERE, SmallKit


def run(kit: SmallKit, source: Path | None = None) -> setup.Shown:
    """Plan and set up; how it ended."""
    one = setup.SetUp(kit.folder, setup.plan(kit.folder, source), source)
    one.start()
    one.join(60)
    shown = one.shown()
    assert shown.state != "running", shown
    return shown


def test_from_a_folder_of_wheels_to_an_engine(home: Path, tmp_path: Path) -> None:
    kit = SmallKit(tmp_path)
    assert setup.found(kit.folder) == setup.Found("missing", "The engine is not set up yet: click Set up.")
    plan = setup.plan(kit.folder, kit.wheels)
    assert (plan.problem, plan.flavour, plan.download) == ("", "cpu", 0)
    assert plan.python.startswith(f"Python {HERE}.")
    shown = run(kit, kit.wheels)
    assert (shown.state, shown.sentence) == ("done", "The engine is set up.")
    assert [(step.label, step.state) for step in shown.steps] == [
        ("Check the packages", "done"),
        ("Install the packages", "done"),
        ("Try a small fill", "done"),
        ("Make it the engine", "done"),
    ]
    assert shown.steps[0].done == shown.steps[0].total > 10_000_000
    assert setup.found(kit.folder) == setup.Found("ready")
    recipe = launch.read_launch_file()
    said = subprocess.run([recipe.interpreter, *recipe.arguments], capture_output=True, text=True, check=True, cwd=home)
    assert said.stdout == "serve\n"
    assert setup.broken_parts(plan.folder) == []
    assert not (home / "cache" / "wheels").exists()
