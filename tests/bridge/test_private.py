"""Another user of the machine: what the project makes is private whatever the umask, and what others can change is not
believed."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge_server.client import events, launch, link
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.identity import client_id, open_log
from bridge_server.client.errors import CannotStart, ConnectionLost, NotInstalled
from tests.bridge.home import Home, request, until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes and owners")
AS_ROOT = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives files to another user")
STRANGER = 12345


@pytest.fixture(name="no_umask")
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def give_away(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER)


@pytest.mark.usefixtures("no_umask")
def test_folders_and_files_are_made_for_this_user_only(tmp_path: Path) -> None:
    folder = launch.private_folder(tmp_path / "new" / "folder")
    launch.write_private(folder / "file", "")
    (tmp_path / "old").mkdir()
    launch.private_folder(tmp_path / "old")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"new": 0o700, "folder": 0o700, "file": 0o600, "old": 0o700}


@pytest.mark.usefixtures("no_umask")
def test_all_that_is_made_is_private_without_a_umask(home: Home) -> None:
    assert client_id("test") is not None
    assert open_log("test")
    logging.getLogger("repaint_test").info("a line")
    assert Choices(launch.user_folders().config / "choices.json").keep({"seed": 1})
    watched = home.session(history=True)  # so that its result stays to be looked at
    assert len(watched.run(request())) == 1
    until(lambda: not list((home.state / "spool").rglob("pixels")), "the end of what it was made from")
    for path in home.path.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & 0o077 == 0, f"{path} {mode:o}"
    names = {path.name for path in home.path.rglob("*")}
    assert {
        "launch.json",
        "test.log",
        "bridge.log",
        "worker.log",
        "journal.sqlite",
        "choices.json",
        "variant-0",
    } <= names


def test_a_log_that_others_could_read_is_private_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("before\n")
    path.chmod(0o666)
    launch.PrivateLog(path, 1).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda config: (config / "launch.json").chmod(0o666), "config/launch.json"),
        (lambda config: (config / "launch.json").chmod(0o620), "config/launch.json"),
        (lambda config: config.chmod(0o777), "config"),
        (lambda config: config.parent.chmod(0o777), ""),
        pytest.param(lambda config: give_away(config / "launch.json"), "config/launch.json", marks=AS_ROOT),
        pytest.param(give_away, "config", marks=AS_ROOT),
    ],
)
def test_a_launch_file_that_others_can_change_starts_nothing(
    home: Home, spoil: Callable[[Path], None], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "_own_group", lambda _group: False)
    ran = home.path / "ran"
    launch.write_launch_file(sys.executable, ["-c", f"open({str(ran)!r}, 'w')"], home.state)
    spoil(launch.launch_file().parent)
    with pytest.raises(NotInstalled) as refused:
        link.find_or_start("x", "test", timeout=5)
    assert str(home.path / place) in refused.value.sentence
    assert "chmod go-w" in refused.value.sentence
    assert not ran.exists()
    home.path.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(launch.launch_file().parent, 0, 0)
    launch.write_launch_file(sys.executable, home.arguments, home.state)  # as the installer does
    assert launch.read_launch_file().interpreter == sys.executable


def test_a_folder_shared_by_all_is_no_danger_if_sticky(home: Home) -> None:
    home.path.chmod(0o1777)
    assert launch.read_launch_file().interpreter == sys.executable


def test_a_group_of_ones_own_is_nobody_else(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.path.chmod(0o770)
    monkeypatch.setattr(launch, "_own_group", lambda _group: True)
    assert launch.changeable_by_others(launch.launch_file()) == ""
    monkeypatch.setattr(launch, "_own_group", lambda _group: False)
    assert launch.changeable_by_others(launch.launch_file()) == str(home.path)


@AS_ROOT
def test_files_of_another_user_are_set_aside(home: Home) -> None:
    launch.private_folder(home.state)
    for name in (link.CONNECTION_FILE, link.BRIDGE_LOCK, "journal.sqlite"):
        (home.state / name).write_text("{}")
        (home.state / name).chmod(0o600)
        give_away(home.state / name)
    with pytest.raises(ConnectionLost):
        link.read_connection_file(home.state)
    assert len(home.session().run(request())) == 1
    for name in (link.CONNECTION_FILE, link.BRIDGE_LOCK, "journal.sqlite"):
        assert (home.state / name).stat().st_uid == os.getuid()
        assert (home.state / f"{name}.broken").stat().st_uid == STRANGER


@AS_ROOT
def test_a_state_folder_of_another_user_is_not_used(home: Home) -> None:
    launch.private_folder(home.state)
    give_away(home.state)
    with pytest.raises(CannotStart, match="belongs to another user"):
        link.find_or_start("x", "test", timeout=5)
    assert client_id("test") is None
    assert open_log("test") == ""
    assert list(home.state.iterdir()) == []


def test_models_that_others_can_change_are_not_loaded(home: Home) -> None:
    models = launch.private_folder(launch.user_folders().data / "models")
    launch.private_folder(models / "planted").chmod(0o777)
    watched = home.session()
    end = watched.end(watched.session.submit(request()))
    assert isinstance(end, events.Failed)
    assert end.code == "engine_down"
    assert str(models / "planted") in end.sentence
    assert "chmod go-w" in end.sentence
    (models / "planted").chmod(0o700)
    watched.session.restart_engine()
    until(lambda: home.status().engine == "ready", "an engine again")
    assert len(watched.run(request())) == 1
