"""A model downloaded from within a real GIMP: its licence first, progress, a stop, the rest, and a fill with words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.engine.standin_hub import StandIn
from tests.toy_hub import GATED, LICENCE, REPOSITORY, SIZE, TOY, as_before, models

from .desk import Desk


@pytest.fixture
def shop(desk: Desk, hub: StandIn) -> Iterator[Desk]:
    """The desk beside a hub that holds the toy."""
    with as_before(desk, hub, "body.panel.show_values(defaults())"):
        yield desk


def shown(desk: Desk, *names: str) -> list[bool]:
    return [bool(desk.host.run(f"body.download.parts[{name!r}].get_mapped()")) for name in names]


def test_a_model_is_downloaded_after_its_licence_and_paints_what_is_asked(shop: Desk, hub: StandIn) -> None:
    image = shop.new(200, 160)
    shop.select(image, 60, 50, 40, 40)
    before, tree = shop.pixels(image), shop.tree(image)
    shop.choose(TOY)
    text = shop.host.run("body.download.parts['download_about'].get_text()")
    for part in ("By words, a toy is not installed.", LICENCE, "4.0 MB", REPOSITORY):
        assert part in text
    shop.host.wait("body.download.parts['accept'].get_mapped()")
    assert shown(shop, "accept", "download", "download_progress", "stop_download") == [True, True, False, False]
    assert not shop.host.run("body.download.parts['download'].get_sensitive()"), "the licence first"
    assert shop.host.run("body.fields['prompt'].get_mapped() and body.fields['guidance'].button.get_mapped()")
    shop.press(image)
    assert "download it first" in shop.status()
    assert shop.tree(image) == tree
    assert not (models() / ".downloads").exists(), "nothing unasked"

    hub.pace = 0.1
    shop.click("download.parts['accept']")
    shop.host.wait("body.download.parts['download'].get_sensitive()")
    shop.host.screenshot("licence")
    shop.click("download.parts['download']")
    shop.host.wait("flow.downloads.now is not None and flow.downloads.now.done > 300000", what="progress")
    shop.host.wait("body.download.parts['stop_download'].get_mapped()")
    assert shown(shop, "accept", "download", "download_progress", "stop_download") == [False, False, True, True]
    first = shop.host.run("body.download.parts['download_progress'].get_fraction()")
    assert f"of {SIZE / 1e6:.1f} MB" in shop.host.run("body.download.parts['download_progress'].get_text()")
    shop.host.wait(f"body.download.parts['download_progress'].get_fraction() > {first}", what="it goes on")
    shop.host.screenshot("downloading")
    shop.click("download.parts['stop_download']")
    shop.host.wait("flow.downloads.now is None", what="it has stopped")
    assert "are kept, and Download continues from there" in shop.host.run(
        "body.download.parts['download_sentence'].get_text()"
    )
    kept = sum(part.stat().st_size for part in (models() / ".downloads" / TOY).rglob("*.part"))
    assert 0 < kept < SIZE

    asked, hub.pace = len(hub.ranges), 0.0
    shop.host.wait("body.download.parts['download'].get_mapped()")
    shop.click("download.parts['download']")
    shop.host.wait(f"flow.model({TOY!r}).installed", seconds=90, what="it is installed")
    assert hub.ranges[asked].startswith("bytes="), "it went on where it stopped"  # type: ignore[union-attr]
    assert shop.status() == "By words, a toy is installed."
    assert shop.host.run("body.fields['model'].read()") == TOY
    assert not shop.host.run("body.download.get_visible()")

    shop.host.run(
        "numbers = body.fields\n"
        "for name, value in (('steps', 6), ('jump_length', 6), ('jump_samples', 1)): numbers[name].write(value)\n"
        "body.fields['prompt'].set_text('a red circle on sand')\nbody.fields['guidance'].write(4)\nNone"
    )
    assert shop.repaint(image, 120).startswith("Done")
    options = shop.host.run("flow.runs[-1].settings.options")
    assert (options["prompt"], options["guidance"]) == ("a red circle on sand", 4)
    after = shop.pixels(image)
    inside = np.zeros(after.shape[:2], bool)
    inside[50:90, 60:100] = True
    assert (after[inside] != before[inside]).any(axis=-1).mean() > 0.9
    assert np.array_equal(after[~inside], before[~inside])
    shop.host.screenshot("painted")


@pytest.mark.parametrize(("model", "status", "says"), [(TOY, 404, "refuses"), (GATED, 403, "HF_TOKEN")])
def test_what_goes_wrong_is_said_beside_the_button(
    shop: Desk, hub: StandIn, model: str, status: int, says: str
) -> None:
    shop.choose(model)
    hub.statuses["unet/config.json"] = status
    shop.host.run("body.download.parts['accept'].set_active(True)\nbody.download.parts['download'].clicked()\nNone")
    shop.host.wait("body.download.parts['download_sentence'].get_mapped()", seconds=60, what="how it ended")
    assert says in shop.host.run("body.download.parts['download_sentence'].get_text()")
    assert says in shop.status()
    assert shop.host.run("body.download.parts['download'].get_sensitive()"), "it can be tried again"


def test_learning_and_guidance_are_offered_where_a_model_can(desk: Desk) -> None:
    for model, learns in (("exemplar", False), ("texture", True), ("test/gaussian", False)):
        desk.choose(model)
        desk.host.run(
            "body.fields['extend_learn'].set_active(True)\nbody.fields['learn'].write(5)\n"
            "body.fields['guidance'].write(3)\nNone"
        )
        for page, widget in (("extend", "fields['extend_learn']"), ("more", "fields['learn'].button")):
            desk.host.run(f"body.pages.set_visible_child_name({page!r})\nNone")
            desk.host.wait(f"body.{widget}.get_mapped() == {learns}", what=f"learning with {model}")
        assert desk.host.run("'learn' in options()") == learns
        assert desk.host.run("options(Extend(right=8)).get('learn')") == (60 if learns else None)
        assert not desk.host.run("body.fields['guidance'].get_visible()"), "it takes no words"
        assert "guidance" not in desk.host.run("options()")
    assert desk.host.run("body.fields['guidance'].read()") == 3
    desk.host.run("body.fields['extend_learn'].set_active(False)\nNone")
