"""The whole road with real uv: wheels to an environment that starts, whatever comes in between."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import launch, setup
from bridge_server.client.errors import BridgeError
from bridge_server.client.link import find_or_start
from bridge_server.client.setup import environments, fetch, running, web
from bridge_server.client.setup.programs import interpreter_in
from tests.bridge.home import until
from tests.setup.index import Index, serving
from tests.setup.kits import HERE, UV, SmallKit, wheel

STEPS = ["Download the packages", "Install the packages", "Try a small fill", "Make it the engine"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    monkeypatch.setattr(web, "PAUSE", 0.01)


@pytest.fixture
def kit(tmp_path: Path) -> SmallKit:
    return SmallKit(tmp_path / "one")


@pytest.fixture
def index(kit: SmallKit) -> Iterator[Index]:
    with serving(kit.wheels) as one:
        kit.lock["index"] = one.address
        kit.write()
        yield one


def begin(kit: SmallKit, source: Path | None = None) -> setup.SetUp:
    one = setup.SetUp(kit.folder, setup.plan(kit.folder, source), source)
    one.start()
    return one


def run(kit: SmallKit, source: Path | None = None) -> setup.Shown:
    """Plan and set up; how it ended."""
    one = begin(kit, source)
    one.join(60)
    shown = one.shown()
    assert shown.state != "running", shown
    return shown


def good(kit: SmallKit, source: Path | None = None) -> None:
    shown = run(kit, source)
    assert shown.state == "done", (shown, launch.user_folders().state.joinpath("logs/setup.log").read_text())
    assert setup.found(kit.folder) == setup.Found("ready")


def program(kit: SmallKit) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.setup.program", str(kit.folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def until_step(shown: setup.SetUp, label: str) -> None:
    until(lambda: any(step.label == label and step.state == "running" for step in shown.shown().steps), label)


def test_from_a_folder_of_wheels_to_an_engine(home: Path, kit: SmallKit) -> None:
    assert setup.found(kit.folder) == setup.Found("missing", "The engine is not set up yet: click Set up.")
    plan = setup.plan(kit.folder, kit.wheels)
    assert (plan.problem, plan.flavour, plan.download) == ("", "cpu", 0)
    assert plan.python.startswith(f"Python {HERE}.")
    before = sorted(kit.wheels.iterdir())
    shown = run(kit, kit.wheels)
    assert (shown.state, shown.sentence) == ("done", "The engine is set up.")
    assert [step.label for step in shown.steps] == ["Check the packages", *STEPS[1:]]
    assert {step.state for step in shown.steps} == {"done"}
    assert shown.steps[0].done == shown.steps[0].total > 10_000_000
    assert setup.found(kit.folder) == setup.Found("ready")
    recipe = launch.read_launch_file()
    said = subprocess.run([recipe.interpreter, *recipe.arguments], capture_output=True, text=True, check=True, cwd=home)
    assert said.stdout == "serve\n"
    assert setup.broken_parts(plan.folder) == []
    assert not (home / "cache" / "wheels").exists()
    assert sorted(kit.wheels.iterdir()) == before
    (kit.wheels / "numpy-2.0-py3-none-any.whl").unlink()
    assert setup.plan(kit.folder, kit.wheels).problem == ""  # nothing of it is needed any more


def test_a_folder_that_lacks_something(kit: SmallKit) -> None:
    numpy = kit.wheels / "numpy-2.0-py3-none-any.whl"
    content = numpy.read_bytes()
    numpy.write_bytes(content[:-1] + b"!")
    assert run(kit, kit.wheels).sentence.startswith(f"{numpy.name} from {kit.wheels} is not the file")
    numpy.unlink()
    assert setup.plan(kit.folder, kit.wheels).problem == (
        f"The folder {kit.wheels} lacks {numpy.name}: make it again with “installer.py package --offline”, or choose "
        "another folder."
    )


def test_uv_is_looked_at_before_it_is_run(kit: SmallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes it in the source folder, after the packages were checked."""
    whole = fetch.fetch
    name = kit.lock["uv"]["files"][0]["name"]

    def swapped(*arguments: Any) -> None:
        whole(*arguments)
        wheel(kit.wheels, "uv", "1.0", {f"uv-1.0.data/scripts/{UV}": b"#!/bin/sh\ntouch ../../harm\n"})

    monkeypatch.setattr(fetch, "fetch", swapped)
    assert run(kit, kit.wheels).sentence.startswith(f"{name} from {kit.wheels} is not the file")


def test_uv_does_not_hear_settings_that_break_it(kit: SmallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("VENV_SEED", "1"), ("CONSTRAINT", "/no/file"), ("OVERRIDE", "/no/file")):
        monkeypatch.setenv("UV_" + name, value)
    monkeypatch.setenv("UV_LINK_MODE", "symlink")
    good(kit, kit.wheels)


def test_a_kit_that_is_not_whole(kit: SmallKit) -> None:
    said = "The plug-in's folder “kit” is incomplete: install the plug-in again from its zip."
    (kit.folder / kit.lock["project"]["files"][0]["name"]).write_bytes(b"PK")
    assert setup.plan(kit.folder).problem == said
    (kit.folder / "lock.json").unlink()
    assert setup.plan(kit.folder).problem == said
    assert setup.found(kit.folder).state == "missing"


def test_cancel_and_go_on(kit: SmallKit, index: Index) -> None:
    index.stop_after = 20_000_000
    one = begin(kit)
    assert index.hangs.wait(30)
    rest = sum(p.stat().st_size for p in kit.wheels.iterdir()) - 19_000_000
    until(lambda: setup.plan(kit.folder).download < rest, "what was sent is on the disk")
    began = time.monotonic()
    one.cancel()
    one.join(10)
    assert time.monotonic() - began < 3.0
    assert one.shown().state == "cancelled"
    assert setup.found(kit.folder).sentence == (
        "The set-up of the engine was begun and not finished; it continues where it stopped."
    )
    assert setup.plan(kit.folder).download < rest
    index.stop_after = -1
    one = begin(kit)
    until_step(one, STEPS[1])
    one.cancel()
    one.join(5)
    assert one.shown().state == "cancelled"
    good(kit)
    assert index.sent < 1.05 * sum(p.stat().st_size for p in kit.wheels.iterdir())


def test_cancel_while_it_is_tried(tmp_path: Path) -> None:
    asleep = tmp_path / "asleep"
    kit = SmallKit(tmp_path / "slow", project={"bridge_server/sleeps": str(asleep)})
    one = begin(kit, kit.wheels)
    until(asleep.exists, "its engine is tried")
    assert one.shown().steps[2].state == "running"
    began = time.monotonic()
    one.cancel()
    one.join(10)
    assert time.monotonic() - began < 5.0
    assert one.shown().state == "cancelled"
    assert [step.state for step in one.shown().steps] == ["done", "done", "waiting", "waiting"]
    assert environments.current() is None


@pytest.mark.slow
def test_killed_at_any_moment(kit: SmallKit, index: Index) -> None:
    """Each round is killed a little later, until one gets through."""
    delays = random.Random(24)
    for number in range(40):
        child = program(kit)
        assert child.stdout is not None
        label = STEPS[min(number // 3, 3)]
        for line in child.stdout:
            if line.strip() == label or line.startswith("done"):
                break
        time.sleep(delays.random() * 0.4)
        child.kill()
        child.wait()
        if number >= 11 or setup.found(kit.folder).state == "ready":
            break
        assert setup.found(kit.folder).state == "missing"
    good(kit)
    assert setup.broken_parts(setup.plan(kit.folder).folder) == []
    assert index.sent < 1.3 * sum(p.stat().st_size for p in kit.wheels.iterdir())


def test_two_at_once(kit: SmallKit, index: Index) -> None:
    children = [program(kit) for _ in range(2)]
    told = [child.communicate(timeout=60)[0] for child in children]
    assert [each.splitlines()[-1] for each in told] == ["done The engine is set up."] * 2, told
    assert sum("Another program is setting" in each or STEPS[1] in each for each in told) == 2
    assert index.sent < 1.05 * sum(p.stat().st_size for p in kit.wheels.iterdir())


def test_the_second_shows_the_first_ones_progress(kit: SmallKit, index: Index) -> None:
    index.stop_after = 1_000_000
    first, second = begin(kit), begin(kit)
    until(lambda: second.shown().steps and second.shown().steps[0].done >= 500_000, "the first one's progress", 10)
    second.cancel()
    second.join(5)
    assert second.shown().state == "cancelled"
    assert first.shown().state == "running"
    first.cancel()
    first.join(5)


@pytest.mark.slow
def test_an_update_leaves_what_works(
    home: Path, kit: SmallKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(kit, kit.wheels)
    old = setup.plan(kit.folder).folder
    bad = SmallKit(tmp_path / "bad", "1.1", project={"bridge_server/fails": "x"})
    assert setup.found(bad.folder) == setup.Found(
        "old", "The engine's version is 1.0, and 1.1 came with this plug-in: click Update."
    )
    shown = run(bad, bad.wheels)
    assert shown.state == "failed"
    assert shown.sentence == (
        "The engine was installed but does not work (The small picture could not be painted): look at the log, then "
        "try again."
    )
    assert environments.current() == old
    assert setup.found(kit.folder) == setup.Found("ready")
    running.tidy(old)  # a set-up is unfinished: nothing may go
    assert len(list(environments.engines().iterdir())) == 2
    new = SmallKit(tmp_path / "new", "1.2")
    good(new, new.wheels)
    assert setup.found(kit.folder) == setup.Found("ready"), "an older plug-in takes the newer engine"
    current = environments.current()
    assert current is not None
    assert current.name.startswith("1.2-")
    assert old.is_dir()
    running.tidy(old)  # the old bridge, if it still runs
    assert old.is_dir()
    (home / "cache" / "wheels").mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sys, "prefix", str(current))
    running.after_good_start()
    for thread in threading.enumerate():
        if thread.name == "repaint-tidy":
            thread.join()
    assert list(environments.engines().iterdir()) == [current]
    assert not list((home / "cache").iterdir())


@pytest.mark.slow
def test_repair_fetches_what_is_broken(kit: SmallKit, index: Index) -> None:
    good(kit)
    folder = setup.plan(kit.folder).folder
    packages = environments.site_packages(folder)
    assert packages is not None
    running.tidy(folder)

    shutil.rmtree(packages / "numpy")
    assert setup.found(kit.folder) == setup.Found("broken", "Parts of the engine are missing (numpy): click Repair.")
    assert setup.broken_parts(folder) == ["The package numpy is incomplete: click Repair."]
    index.asked.clear()
    good(kit)
    files = [path for path, _ in index.asked if path.startswith("/files/")]
    assert sorted(path.rsplit("/", 1)[1].split("-")[0] for path in files) == ["numpy", "uv"]

    for path in (packages / "zope.tiny-1.0.dist-info", packages / "zope"):
        shutil.rmtree(path)
    assert "zope-tiny" in setup.found(kit.folder).sentence
    good(kit)

    weights = packages / "engine" / "weights" / "model.bin"
    weights.write_bytes(weights.read_bytes()[:100])
    assert setup.found(kit.folder) == setup.Found(
        "broken", "A file of the model is incomplete (engine/weights/model.bin): click Repair."
    )
    good(kit)
    weights.write_bytes(bytes(weights.stat().st_size))  # the same size
    assert setup.found(kit.folder).state == "ready"
    assert setup.broken_parts(folder) == [
        "The model's file engine/weights/model.bin is not what it should be: click Repair."
    ]

    good(kit)
    record = next(packages.glob("numpy-*.dist-info/RECORD"))
    for harm in (record.unlink, lambda: record.write_bytes(b"\xff\x00,a,b\n"), lambda: record.write_text("x,y,z\n")):
        harm()
        assert setup.broken_parts(folder) == ["The package numpy is incomplete: click Repair."]
        good(kit)

    interpreter = interpreter_in(folder)
    interpreter.unlink()
    if os.name == "posix":
        interpreter.symlink_to("/nowhere/python3")
    assert setup.found(kit.folder) == setup.Found("broken", "The Python that the engine needs is gone: click Repair.")
    assert setup.broken_parts(folder) == ["The Python that the engine needs is gone: click Repair."]
    good(kit)
    assert setup.broken_parts(folder) == []

    (folder / "stamp.json").unlink()
    assert setup.found(kit.folder).state == "broken"
    good(kit)
    shutil.rmtree(folder)
    assert setup.found(kit.folder).sentence == f"The folder of the engine is gone ({folder}): click Set up."
    good(kit)


@pytest.mark.usefixtures("index")
@pytest.mark.slow
def test_killed_during_a_repair(kit: SmallKit) -> None:
    good(kit)
    folder = setup.plan(kit.folder).folder
    packages = environments.site_packages(folder)
    assert packages is not None
    for number in range(5):
        shutil.rmtree(packages / "torch")
        (packages / "engine" / "weights" / "model.bin").write_bytes(b"")
        child = program(kit)
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == STEPS[1]:
                break
        time.sleep(0.08 * number)
        child.kill()
        child.wait()
        (packages / "torch").mkdir(exist_ok=True)  # what is only half there, too
        assert setup.found(kit.folder).state in ("broken", "ready")
        good(kit)
        assert setup.broken_parts(folder) == []


def test_an_engine_that_does_not_start_is_offered_for_repair(kit: SmallKit) -> None:
    good(kit, kit.wheels)
    interpreter = launch.read_launch_file().interpreter
    launch.note_trouble(interpreter, "no module named zmq")
    assert setup.found(kit.folder) == setup.Found(
        "broken", "The engine does not start (no module named zmq): click Repair."
    )
    good(kit, kit.wheels)
    launch.note_trouble(sys.executable, "not one of ours")
    assert not launch.trouble_file(sys.executable).exists()
    with pytest.raises(BridgeError):  # the stand-in says its arguments and ends, as if told to stop
        find_or_start("x", "x")
    assert setup.found(kit.folder) == setup.Found("ready")
    [program] = environments.engines().glob("*/lib/python*/site-packages/bridge_server/__main__.py")
    program.write_text("raise SystemExit(3)")
    with pytest.raises(BridgeError):
        find_or_start("x", "x")
    assert setup.found(kit.folder).sentence == "The engine does not start (exit status 3): click Repair."


def test_what_cannot_be_seen_is_made_anew(kit: SmallKit) -> None:
    """A package with other bytes of the same size: the trial fails once, then everything is installed again."""
    good(kit, kit.wheels)
    packages = environments.site_packages(setup.plan(kit.folder).folder)
    assert packages is not None
    torch = packages / "torch" / "__init__.py"
    torch.write_text("!" * torch.stat().st_size)
    shutil.rmtree(torch.parent / "__pycache__")  # which would pass for it, written within the same second
    shown = run(kit, kit.wheels)
    assert shown.sentence == (
        "The engine was installed but does not work (SyntaxError: invalid syntax): look at the log, then try again."
    )
    assert setup.found(kit.folder) == setup.Found("broken", "The engine is incomplete: click Repair.")
    good(kit, kit.wheels)


@pytest.mark.skipif(os.name != "posix", reason="Windows has locks everywhere")
def test_a_disk_without_locks(kit: SmallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert "does not support file locks" in run(kit, kit.wheels).sentence


def test_a_plan_raises_nothing(kit: SmallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.lock["packages"][0]["marker"] = "no marker"
    kit.write()
    assert setup.plan(kit.folder).problem.startswith("The plug-in's folder “kit” is incomplete")

    def refuse(place: str) -> None:
        raise OSError(errno.EIO, "Input/output error", place)

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    assert setup.plan(kit.folder).problem.startswith("Set-up was stopped by an error: try once more")


def test_use_an_engine_that_is_there(kit: SmallKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(kit, kit.wheels)
    folder = setup.plan(kit.folder).folder
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path / "other"))
    with pytest.raises(BridgeError) as raised:
        setup.use(tmp_path)
    assert raised.value.sentence.startswith(f"There is no engine in {tmp_path}: choose the project's folder")
    setup.use(folder)
    assert setup.found(kit.folder) == setup.Found("ready")
    packages = environments.site_packages(folder)
    assert packages is not None
    (packages / "bridge_server" / "fails").write_text("")
    with pytest.raises(BridgeError) as raised:
        setup.use(folder)
    assert raised.value.sentence == (
        f"The engine in {folder} does not work (The small picture could not be painted): look at the log, then try "
        "again."
    )


def test_the_progress_file_is_read_by_anybody(kit: SmallKit, index: Index) -> None:
    index.stop_after = 100
    one = begin(kit)
    until_step(one, STEPS[0])
    path = launch.user_folders().data / "setup.json"
    until(path.exists, "the progress file")
    told = json.loads(path.read_text())
    assert [step["label"] for step in told["steps"]] == STEPS
    one.cancel()
    one.join(5)
