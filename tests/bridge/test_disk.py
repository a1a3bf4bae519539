"""A full disk: a clear error, nothing corrupt, and it works again when space returns.

Two real ways: a tmpfs without space (needs the right to mount), and a limit on the size of files, set on the running
bridge.
"""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bridge_server.__main__ import main
from bridge_server.client import events, launch, link, messages
from bridge_server.client.errors import CannotStart
from tests.bridge.home import ENDS, PLAIN_RUN, SLOW, Ear, Home, request, submit, until
from tests.promises import Tried, many

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")


class Limit:
    """No file of the bridge may grow beyond some bytes (EFBIG)."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def fill(self, room: int) -> None:
        resource.prlimit(self._home.bridge_pid(), resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

    def free(self) -> None:
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self._home.bridge_pid(), resource.RLIMIT_FSIZE, unlimited)

    def close(self) -> None:
        pass


class Volume:
    """The state folder is a small tmpfs (ENOSPC)."""

    def __init__(self, home: Home) -> None:
        self._folder = launch.private_folder(home.state)
        options = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", str(self._folder)]
        done = subprocess.run(options, capture_output=True, check=False) if shutil.which("mount") else None
        if done is None or done.returncode:
            pytest.skip("no right to mount a tmpfs here")
        self._ballast = self._folder / "ballast"

    def fill(self, room: int) -> None:
        free = os.statvfs(self._folder)
        size = free.f_bavail * free.f_bsize - room
        with open(self._ballast, "wb") as file:
            file.write(bytes(max(0, size)))

    def free(self) -> None:
        self._ballast.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self._folder)], check=True)


@pytest.fixture(params=[Limit, Volume])
def full(home: Home, request: pytest.FixtureRequest) -> Iterator[Limit | Volume]:
    one = request.param(home)
    yield one
    home.close()
    one.close()


def journal_is_whole(home: Home) -> bool:
    copy = home.path / "copy.sqlite"
    for suffix in ("", "-wal"):
        source = home.state / f"journal.sqlite{suffix}"
        if source.exists():
            shutil.copy(source, f"{copy}{suffix}")
    base = sqlite3.connect(copy)
    try:
        return bool(base.execute("PRAGMA integrity_check").fetchone()[0] == "ok")
    finally:
        base.close()


@pytest.mark.promise(9)
def test_at_the_submit_in_the_journal_and_at_the_result(home: Home, full: Limit | Volume) -> None:
    home.ready()
    watched = home.session()
    small = request(side=64)
    undisturbed = watched.run(small)

    # at the submit: there is no room for the pixels
    full.fill(4096)
    end = watched.end(watched.session.submit(request(side=256)))
    assert isinstance(end, events.Failed)
    assert end.code == "disk_full"
    assert "disk is full" in end.sentence
    assert home.status().queued == 0
    full.free()
    assert watched.run(small)[0].rgba == undisturbed[0].rgba

    # at the result: the pixels went in, then the space went away
    job = watched.session.submit(request(SLOW, side=256, options=PLAIN_RUN))
    watched.wait(job, events.Progress, count=2)
    full.fill(8192)
    end = watched.end(job)
    assert isinstance(end, events.Failed)
    assert end.code == "disk_full"
    until(lambda: home.status().engine == "ready", "an idle engine")
    full.free()
    assert watched.run(small)[0].rgba == undisturbed[0].rgba

    # in the journal: the uploads are complete, the row cannot be written
    ear = Ear(home.link("journal"))
    what = request(side=16)
    for blob, data in (("pj", what.pixels), ("sj", what.selection)):
        ear.link.send(messages.Blob(blob, len(data), 0), data)
    ear.link.ask(messages.Ping(1), messages.Pong)
    full.fill(1 if isinstance(full, Limit) else 0)
    ear.link.send(messages.Submit("j", replace(what.order(), tag="x" * 900), "pj", "sj"))
    ear.wait(lambda: ear.of("j", *ENDS), "the end")
    assert ear.of("j", *ENDS)[0].code == "disk_full"
    assert not (home.state / "spool" / "j").exists()
    full.free()
    submit(ear.link, "k", what)
    ear.wait(lambda: ear.of("k", *ENDS), "the end")
    assert isinstance(ear.of("k", *ENDS)[0], messages.Done)

    watched.check_ends()
    assert journal_is_whole(home)
    home.kill()
    until(lambda: len(watched.all(events.Connected)) > 1 and home.status(), "another bridge on the same journal")
    assert not list(Path(home.state).glob("*.broken*"))


@pytest.mark.promise(9)
def test_wherever_the_disk_is_full(home: Home, full: Limit | Volume, tried: Tried) -> None:
    """Room for a little more each time: what does not fit is another file, or another part of one."""
    home.ready()
    watched = home.session()
    small = request(side=64)
    undisturbed = watched.run(small)
    rooms = [0, 512, 4096, 1 << 14, 20_000, 1 << 15, 1 << 16, 100_000, 1 << 17, 200_000, 1 << 18, 1 << 20]
    for number in tried.rounds(2, len(rooms)):
        full.fill(max(1, rooms[number * (len(rooms) // many(2, len(rooms)))]))
        job = watched.session.submit(request(side=160, seed=number))
        end = watched.end(job)
        assert isinstance(end, events.Done) or end.code == "disk_full", end
        full.free()
        assert watched.run(small)[0].rgba == undisturbed[0].rgba
        assert journal_is_whole(home)
    watched.check_ends()
    assert not list(Path(home.state).glob("*.broken*"))


@pytest.fixture
def locked(home: Home) -> Iterator[Callable[[bool], None]]:
    """Makes the state folder read-only and writable again: a mount of itself over itself."""
    folder = str(launch.private_folder(home.state))
    mounted = 0

    def lock(on: bool) -> None:
        nonlocal mounted
        if not on:
            subprocess.run(["umount", "-l", folder], check=True)
            mounted -= 1
            return
        done = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, check=False)
        if done.returncode:
            pytest.skip("no right to mount here")
        mounted += 1
        command = ["mount", "-o", "remount,bind,ro", folder]
        until(
            lambda: not subprocess.run(command, capture_output=True, check=False).returncode,
            "a moment in which nothing is being written there",
        )

    yield lock
    while mounted:
        lock(False)


@pytest.mark.promise(9)
def test_a_folder_that_can_only_be_read(
    home: Home, locked: Callable[[bool], None], capfd: pytest.CaptureFixture[str]
) -> None:
    home.ready()
    watched = home.session()
    small = request(side=64)
    undisturbed = watched.run(small)

    locked(True)
    end = watched.end(watched.session.submit(small))
    assert isinstance(end, events.Failed)
    assert f"cannot write to its folder {home.state}" in end.sentence
    locked(False)
    assert watched.run(small)[0].rgba == undisturbed[0].rgba
    watched.check_ends()
    home.hang_up()
    home.kill()

    locked(True)
    with pytest.raises(CannotStart, match="cannot write to its folder"):
        link.find_or_start("early", "test")
    assert main(["serve"]) == 3
    assert "cannot write to its folder" in capfd.readouterr().err
    locked(False)
    again = home.session()
    assert again.run(small)[0].rgba == undisturbed[0].rgba
    assert not list(Path(home.state).glob("*.broken*"))
