"""How the runner of the tests (tests/run.py) judges what failed, by real runs of pytest in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import run

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
    ("folder", "files", "holds"),
    [
        ("krita", {"test_unsteady": UNSTEADY}, True),
        ("krita", {"test_unsteady": UNSTEADY, "test_broken": BROKEN}, False),
        ("krita", {"test_unsteady": UNSTEADY, "test_more": UNSTEADY}, False),
        ("bridge", {"test_unsteady": UNSTEADY}, False),
    ],
    ids=["a lost click", "a true failure", "too many", "no editor"],
)
def test_only_a_few_tests_in_editors_get_a_second_attempt(
    folder: str, files: dict[str, str], holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "tests" / folder
    place.mkdir(parents=True)
    for package in (place.parent, place):
        (package / "__init__.py").touch()
    for name, text in files.items():
        (place / f"{name}.py").write_text(text)
    monkeypatch.setattr(run, "ROOT", tmp_path)
    part = run.Run("Tests", ["-q", "-p", "no:cacheprovider", str(place)]).part()
    assert part.status == 1
    assert len(part.failed) >= 2
    judged = run.once_more(part)
    assert (judged.status == 0) == holds
    assert ("at the second attempt" in judged.told) == holds
    assert judged.failed == part.failed, "named whatever comes of it"
