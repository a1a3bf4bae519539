"""A full disk while downloading, while unpacking and while switching; a folder that can only be read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.client import launch, setup
from bridge_server.client.setup import plans
from tests.setup.index import Index, serving
from tests.setup.kits import SmallKit
from tests.setup.test_road import good, run

FULL = "The disk is full: make room on the disk of {}, then try again; it goes on where it stopped."


class Volume:
    """A folder of the home that is a disk of its own."""

    def __init__(self, folder: Path, options: str) -> None:
        self.folder = launch.private_folder(folder)
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no right to mount a tmpfs here")
        folder.chmod(0o700)

    def fill(self, room: int) -> None:
        free = os.statvfs(self.folder)
        with open(self.folder / "ballast", "wb") as file:
            file.write(bytes(max(0, free.f_bavail * free.f_bsize - room)))

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def volumes() -> Iterator[list[Volume]]:
    made: list[Volume] = []
    yield made
    for one in made:
        subprocess.run(["umount", "-l", str(one.folder)], check=True)


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallKit]:
    """Its plan does not see that the disk is small; 60 MB are unpacked from a few kB."""
    one = SmallKit(tmp_path / "one", ballast=60_000_000)
    monkeypatch.setattr(plans, "SPARE", -(1 << 40))
    with serving(one.wheels) as index:
        one.lock["index"] = index.address
        one.write()
        yield one


def test_while_downloading(kit: SmallKit, home: Path, volumes: list[Volume]) -> None:
    cache = home / "cache"
    volumes.append(Volume(cache, "size=300m"))
    volumes[0].fill(5_000_000)
    shown = run(kit)
    assert shown.sentence == FULL.format(cache / "wheels")
    assert [step.state for step in shown.steps][:2] == ["failed", "waiting"]
    volumes[0].free()
    good(kit)


def test_while_unpacking(kit: SmallKit, home: Path, volumes: list[Volume]) -> None:
    data = home / "data"
    volumes.append(Volume(data, "size=300m"))
    volumes[0].fill(20_000_000)
    shown = run(kit)
    assert shown.sentence == FULL.format(data / "engines")
    assert [step.state for step in shown.steps][:2] == ["done", "failed"]
    assert setup.found(kit.folder).state == "missing"
    volumes[0].free()
    good(kit)


def test_while_switching(kit: SmallKit, home: Path, volumes: list[Volume]) -> None:
    config = home / "config"
    volumes.append(Volume(config, "size=1m"))
    volumes[0].fill(0)
    shown = run(kit)
    assert shown.sentence.startswith("The disk is full: make room on the disk of ")
    assert [step.state for step in shown.steps] == ["done", "done", "done", "failed"]
    volumes[0].free()
    good(kit)


def test_a_plan_that_needs_more_than_there_is(kit: SmallKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "SPARE", 1 << 50)
    assert setup.plan(kit.folder).problem.startswith("There is too little room on the disk: 11258")
    assert run(kit).state == "failed"


@pytest.mark.parametrize("part", ["data", "cache", "config", "state"])
def test_a_folder_that_can_only_be_read(kit: SmallKit, home: Path, volumes: list[Volume], part: str) -> None:
    volumes.append(Volume(home / part, "size=300m"))
    subprocess.run(["mount", "-o", "remount,ro", str(home / part)], check=True)
    shown = run(kit)
    assert shown.state == "failed"
    assert shown.sentence.startswith(f"RePaint may not write to {home / part}")
    assert shown.sentence.endswith("make it writable for yourself, then try again.")
    assert setup.plan(kit.folder).problem == shown.sentence, "it is told before the click"
    subprocess.run(["mount", "-o", "remount,rw", str(home / part)], check=True)
    good(kit)


def test_a_kit_in_a_folder_that_can_only_be_read(kit: SmallKit, tmp_path: Path, volumes: list[Volume]) -> None:
    volumes.append(Volume(tmp_path / "plug-in", "size=300m"))
    shutil.copytree(kit.folder, tmp_path / "plug-in" / "kit")
    subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "plug-in")], check=True)
    kit.folder = tmp_path / "plug-in" / "kit"
    good(kit)


def test_an_index_is_not_needed_twice(kit: SmallKit, tmp_path: Path) -> None:
    """What a failed set-up has brought is there for the next one."""
    with serving(tmp_path / "none") as none:
        assert isinstance(none, Index)
        good(kit)
        kit.lock["index"] = none.address
        kit.write()
        good(kit)
        assert none.asked == []
