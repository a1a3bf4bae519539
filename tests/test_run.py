"""How the runner of the tests (tests/run.py) judges what failed, by real runs of pytest in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import run, turns

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


def test_runs_that_share_tests_run_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules go to whichever run comes to them first, those of tests/ray together; both runs' failures are told."""
    monkeypatch.setattr(run, "ROOT", tmp_path)
    place, folder = tmp_path / "tests", tmp_path / "turns"
    for each in (place, place / "ray", place / "box", folder):
        each.mkdir()
        (each / "__init__.py").touch()
    note = "import os, time\ndef test_{0}():\n    print(os.getpid(), file=open({1!r}, 'a'))\n    time.sleep(0.5)\n"
    modules = ["box/test_a", "box/test_b", "ray/test_c", "ray/test_d"]
    for name in modules:
        text = "".join(note.format(number, str(tmp_path / name.replace("/", "-"))) for number in range(2))
        (place / f"{name}.py").write_text(text + "    assert 'test_c' not in __file__ and 'test_b' not in __file__\n")
    (place / "turns.py").write_text(Path(turns.__file__).read_text())
    lanes = [run.shared("Tests", ["-q", "-p", "no:cacheprovider", "tests"], str(folder), {}) for _ in range(2)]
    [part] = run.side_by_side(lanes)
    pids = [(tmp_path / name.replace("/", "-")).read_text().split() for name in modules]
    assert [len(each) for each in pids] == [2] * 4
    assert all(len(set(each)) == 1 for each in pids)
    assert pids[2] == pids[3]
    assert len({pid for each in pids for pid in each}) == 2
    assert (part.status, len(part.cases)) == (1, 8)
    assert sorted(part.failed) == ["tests.box.test_b::test_1", "tests.ray.test_c::test_1"]
