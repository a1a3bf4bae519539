"""How the runner of the tests (tests/run.py) judges what failed, by real runs of pytest in a folder of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import run
from tests.bridge.home import until

UNSTEADY = """
import pathlib
import pytest

@pytest.mark.parametrize("way", ["a/b", "c"])
def test_click(way):
    seen = pathlib.Path(__file__).with_suffix("." + way.replace("/", "-"))
    assert seen.exists() or seen.touch()
"""
BROKEN = "def test_broken():\n    assert False\n"


@pytest.mark.parametrize(
    ("files", "holds"),
    [
        ({"krita/test_a": UNSTEADY, "box/test_b": UNSTEADY}, True),
        ({"krita/test_a": UNSTEADY, "ray/test_b": BROKEN}, False),
        ({"gimp/test_a": UNSTEADY, "bridge/test_b": UNSTEADY, "setup/test_c": UNSTEADY}, False),
        ({"box/test_a": UNSTEADY, "engine/test_b": UNSTEADY}, False),
        ({"krita/test_a": UNSTEADY, "test_b": UNSTEADY}, False),
    ],
    ids=["accidents", "a true failure", "too many", "the engine", "the house"],
)
def test_a_few_tests_of_editors_and_processes_get_a_second_attempt(
    files: dict[str, str], holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tests"
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.py").write_text(text)
    for folder in (place, *(each for each in place.iterdir() if each.is_dir())):
        (folder / "__init__.py").touch()
    monkeypatch.setattr(run, "ROOT", tmp_path)
    part = run.Run("Tests", ["-q", "-p", "no:cacheprovider", str(place)]).part()
    assert part.status == 1
    assert len(part.failed) >= 3
    judged = run.once_more(part)
    assert (judged.status == 0) == holds
    assert ("at the second attempt these passed" in judged.told) == holds
    assert judged.failed == part.failed, "named whatever comes of it"


@pytest.mark.skipif(os.name != "posix", reason="no signals")
def test_a_run_that_was_killed_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_a.py").write_text("import os\n\ndef test_a():\n    os.kill(os.getpid(), 9)\n")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    part = run.Run("Tests", ["-q", "-p", "no:cacheprovider", str(tmp_path)]).part()
    assert part.status == 128 + 9, "not below 0, which the largest of several would be no failure"
    assert run.once_more(part).status == part.status


def test_a_run_that_was_broken_off_is_not_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tests/krita"
    place.mkdir(parents=True)
    for folder in (place, place.parent):
        (folder / "__init__.py").touch()
    (place / "test_a.py").write_text(UNSTEADY + "\ndef test_b():\n    raise KeyboardInterrupt\n")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    part = run.Run("Tests", ["-q", "-p", "no:cacheprovider", str(place)]).part()
    assert (part.status, len(part.failed)) == (2, 2)
    assert run.once_more(part) == part


LANES = """
import pathlib, signal, sys
from tests import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # also in a background job
run.ROOT = pathlib.Path(sys.argv[1])
words = ["-q", "-p", "no:cacheprovider"]
first = run.one("First", [*words, "test_first.py"])
second = run.one("Second", [*words, "test_second.py"])
beside = run.one("Beside", [*words, "test_beside.py"])
print([part.name for part in run.side_by_side([[*first, *second], beside])])
"""
WAITING = """
import pathlib, signal, time

def test_it():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pathlib.Path(__file__).with_suffix(".seen").touch()
    time.sleep({seconds})
"""


@pytest.mark.skipif(os.name != "posix", reason="no groups of processes")
@pytest.mark.parametrize("seconds", [0, 600], ids=["to the end", "Ctrl+C"])
def test_lanes_run_side_by_side_and_end_at_ctrl_c(tmp_path: Path, seconds: int) -> None:
    for name in ("first", "second", "beside"):
        (tmp_path / f"test_{name}.py").write_text(WAITING.format(seconds=seconds))
    seen = [tmp_path / f"test_{name}.seen" for name in ("first", "beside")]
    command = [sys.executable, "-c", LANES, str(tmp_path)]
    lanes = subprocess.Popen(command, cwd=Path(__file__).parents[1], start_new_session=True, stdout=-1, text=True)
    if seconds:
        until(lambda: all(path.exists() for path in seen), "both lanes")
        os.killpg(lanes.pid, signal.SIGINT)
    told = lanes.communicate(timeout=60)[0]
    assert ("['First', 'Second', 'Beside']" in told, lanes.returncode == 0) == (not seconds, not seconds)
    assert (tmp_path / "test_second.seen").exists() == (not seconds)
