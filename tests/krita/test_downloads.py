"""A model downloaded from within a real Krita: its licence first, progress, a stop, the rest, and a fill with words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.engine.standin_hub import StandIn
from tests.toy_hub import GATED, LICENCE, REPOSITORY, SIZE, TOY, as_before, models

from .desk import Desk

PANEL = "dock().download"
PARTS = PANEL + ".parts"


@pytest.fixture
def shop(desk: Desk, hub: StandIn) -> Iterator[Desk]:
    """The desk beside a hub that holds the toy."""
    with as_before(
        desk, hub, "dock().panel.reset()\ndock().fields['prompt'].setText('')\ndock().fields['guidance'].setValue(0)"
    ):
        yield desk


def shown(desk: Desk, *names: str) -> list[bool]:
    return [bool(desk.host.run(f"{PARTS}[{name!r}].isVisibleTo(dock())")) for name in names]


def test_a_model_is_downloaded_after_its_licence_and_paints_what_is_asked(shop: Desk, hub: StandIn) -> None:
    document = shop.new(200, 160)
    shop.select(document, 60, 50, 40, 40)
    before, tree = shop.pixels(document), shop.tree(document)
    shop.choose(TOY)
    text = shop.host.run(f"{PARTS}['download_about'].text()")
    for part in ("By words, a toy is not installed.", LICENCE, "4.0 MB", REPOSITORY):
        assert part in text
    assert shown(shop, "accept", "download", "download_progress", "stop_download") == [True, True, False, False]
    assert not shop.host.run(f"{PARTS}['download'].isEnabled()"), "the licence first"
    assert shop.host.run(
        "dock().fields['prompt'].isVisibleTo(dock()) and dock().fields['guidance'].isVisibleTo(dock())"
    )
    shop.press()
    assert "download it first" in shop.status()
    assert shop.tree(document) == tree
    assert not (models() / ".downloads").exists(), "nothing unasked"

    hub.pace = 0.1
    shop.click("download.parts['accept']")
    shop.host.wait(f"{PARTS}['download'].isEnabled()")
    shop.screenshot("licence")
    shop.click("download.parts['download']")
    shop.host.wait("flow.downloads.now is not None and flow.downloads.now.done > 300000", what="progress")
    assert shown(shop, "accept", "download", "download_progress", "stop_download") == [False, False, True, True]
    first = shop.host.run(f"{PARTS}['download_progress'].value()")
    assert f"of {SIZE / 1e6:.1f} MB" in shop.host.run(f"{PARTS}['download_progress'].format()")
    shop.host.wait(f"{PARTS}['download_progress'].value() > {first}", what="it goes on")
    shop.screenshot("downloading")
    shop.click("download.parts['stop_download']")
    shop.host.wait("flow.downloads.now is None", what="it has stopped")
    assert "are kept, and Download continues from there" in shop.host.run(f"{PARTS}['download_sentence'].text()")
    kept = sum(part.stat().st_size for part in (models() / ".downloads" / TOY).rglob("*.part"))
    assert 0 < kept < SIZE

    asked, hub.pace = len(hub.ranges), 0.0
    shop.click("download.parts['download']")
    shop.host.wait(f"flow.model({TOY!r}).installed", seconds=90, what="it is installed")
    assert hub.ranges[asked].startswith("bytes="), "it went on where it stopped"  # type: ignore[union-attr]
    assert shop.status() == "By words, a toy is installed."
    assert shop.host.run("[dock().fields['model'].currentData(), dock().fields['model'].currentText()]") == [
        TOY,
        "By words, a toy",
    ]
    assert not shop.host.run(f"{PANEL}.isVisibleTo(dock())")

    shop.host.run(
        "numbers = dock().fields\n"
        "for name, value in (('steps', 6), ('jump_length', 6), ('jump_samples', 1)): numbers[name].setValue(value)\n"
        "dock().fields['prompt'].setText('a red circle on sand')\ndock().fields['guidance'].setValue(4)"
    )
    assert shop.repaint(120).startswith("Done")
    options = shop.host.run("flow.runs[-1].settings.options")
    assert (options["prompt"], options["guidance"]) == ("a red circle on sand", 4)
    after = shop.pixels(document)
    inside = np.zeros(after.shape[:2], bool)
    inside[50:90, 60:100] = True
    assert (after[inside] != before[inside]).any(axis=-1).mean() > 0.9
    assert np.array_equal(after[~inside], before[~inside])
    shop.screenshot("painted")


@pytest.mark.parametrize(("model", "status", "says"), [(TOY, 404, "refuses"), (GATED, 403, "HF_TOKEN")])
def test_what_goes_wrong_is_said_beside_the_button(
    shop: Desk, hub: StandIn, model: str, status: int, says: str
) -> None:
    shop.choose(model)
    hub.statuses["unet/config.json"] = status
    shop.host.run(f"if not {PARTS}['accept'].isChecked(): {PARTS}['accept'].click()\n{PARTS}['download'].click()")
    shop.host.wait(f"{PARTS}['download_sentence'].isVisibleTo(dock())", seconds=60, what="how it ended")
    assert says in shop.host.run(f"{PARTS}['download_sentence'].text()")
    assert says in shop.status()
    assert shop.host.run(f"{PARTS}['download'].isEnabled()"), "it can be tried again"


def test_learning_is_offered_where_a_model_can(desk: Desk) -> None:
    assert desk.host.run("len(dock().more_page.picture.walk)") > 10, "a new list leaves the picture of the run there"
    for model, learns in (("exemplar", False), ("texture", True), ("test/gaussian", False)):
        desk.choose(model)
        desk.host.run("dock().fields['extend_learn'].setChecked(True)\ndock().fields['learn'].setValue(5)")
        for page, widget in ((1, "fields['extend_learn']"), (3, "fields['learn']")):
            desk.host.run(f"dock().pages.setCurrentIndex({page})")
            assert desk.host.run(f"dock().{widget}.isVisibleTo(dock())") == learns
        assert desk.host.run("'learn' in options()") == learns
        assert desk.host.run("options(Extend(right=8)).get('learn')") == (60 if learns else None)
    desk.host.run("dock().fields['extend_learn'].setChecked(False)\ndock().panel.reset()")
