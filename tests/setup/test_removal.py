"""What is removed, and what is not RePaint's to remove."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge_server.client import launch, setup
from bridge_server.client.errors import BridgeError
from bridge_server.client.setup import environments, removal
from tests.setup.kits import SmallKit
from tests.setup.test_road import good


@pytest.fixture
def kit(tmp_path: Path) -> SmallKit:
    return SmallKit(tmp_path / "one")


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return path


def test_removing_everything(home: Path, kit: SmallKit) -> None:
    good(kit, kit.wheels)
    folders = launch.user_folders()
    for name in ("models/big.bin", "my notes.txt"):
        (folders.data / name).parent.mkdir(parents=True, exist_ok=True)
        (folders.data / name).write_bytes(bytes(1000))
    for name in ("spool/job", "journal.sqlite", "logs/krita.log"):
        (folders.state / name).parent.mkdir(parents=True, exist_ok=True)
        (folders.state / name).write_bytes(bytes(500))
    (folders.config / "krita.json").write_text("{}")
    both = setup.removable()
    assert [words for words, _, _ in both.stays] == [
        "Models that you downloaded",
        "Files that RePaint did not make",
        "The history: your pictures and their steps",
        "The history: your pictures and their steps",
    ]
    assert both.stays[0][1:] == (folders.data / "models", 1000)
    assert ("The engine with its packages", folders.data / "engines") in [row[:2] for row in both.goes]
    setup.remove(with_models=False, with_history=False)
    left = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    assert left == ["data/models/big.bin", "data/my notes.txt", "state/journal.sqlite", "state/spool/job"]
    assert setup.found(kit.folder).state == "missing"
    (folders.data / "my notes.txt").unlink()
    setup.remove(with_models=True, with_history=True)
    assert not any(path.is_dir() for path in folders.__dict__.values())
    assert setup.removable() == setup.Removal([], [])


def test_a_name_means_something_in_one_folder_only(home: Path) -> None:
    kept = ("data/logs/mine", "data/uv/mine", "state/python/mine", "config/engines/mine", "cache/models/mine")
    for name in (*kept, "data/notes.broken"):
        put(home / name)
    own = ("data/python/x", "state/logs/x", "config/krita.json", "config/bridge.json", "config/box/keys.json")
    for name in (*own, "state/bridge.lock.broken-2"):
        put(home / name)
    setup.remove(with_models=True, with_history=True)
    left = sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    assert left == sorted((*kept, "data/notes.broken"))


@pytest.mark.parametrize("root", [".", ".."])
def test_a_home_among_the_users_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.setattr(removal.Path, "home", lambda: tmp_path)
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path / root))
    mine = put((tmp_path / root).resolve() / "data" / "python" / "my_project")
    with pytest.raises(BridgeError, match="so nothing was removed: set it to a folder of RePaint's own"):
        setup.remove(with_models=False, with_history=False)
    assert mine.is_file()


def test_a_folder_that_is_a_link(home: Path, tmp_path: Path) -> None:
    put(tmp_path / "other disk" / "engines" / "x")
    home.mkdir()
    (home / "data").symlink_to(tmp_path / "other disk")
    setup.remove(with_models=False, with_history=False)
    assert list(home.iterdir()) == []
    assert list((tmp_path / "other disk").iterdir()) == []


def test_what_a_junction_leads_to_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is a link that is not known for one, and that rmtree refuses likewise."""
    mine = put(tmp_path / "mine" / "file")
    junction = tmp_path / "junction"
    junction.symlink_to(mine.parent)
    usual = os.lstat

    def seen(path: Any, **others: Any) -> Any:
        status = usual(path, **others)
        return SimpleNamespace(st_reparse_tag=0xA0000003, st_mode=status.st_mode) if Path(path) == junction else status

    monkeypatch.setattr(environments.Path, "is_symlink", lambda _: False)
    monkeypatch.setattr(environments.os, "lstat", seen)
    environments.delete(junction)
    assert not os.path.lexists(junction)
    assert mine.is_file()


def test_a_file_that_goes_while_it_is_measured(home: Path) -> None:
    assert removal._size(home / "gone") == 0
