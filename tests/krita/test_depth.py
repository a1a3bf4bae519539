"""Deep documents in a real Krita: what comes back has their full depth, their light above white and their colours."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from tests.driven import LONG

from .desk import Desk, Document

WIDTH, HEIGHT = 200, 160
HOLE, BESIDE = (60, 50, 40, 40), (110, 50, 40, 40)
NAME = "RePaint exemplar · seed 1234"
TYPES = {"U16": "<u2", "F16": "<f2", "F32": "<f4"}


def gradient(depth: str, channels: int) -> np.ndarray:
    """A value of its own for nearly each pixel; in floats up to 3 times white."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = np.ones((HEIGHT, WIDTH, channels))
    values[..., :-1] = (0.12 + 0.003 * x + 0.00008 * y)[..., None] * np.linspace(1, 0.5, channels - 1)
    if depth != "U16":
        values[..., :-1] *= 4
    return (values * (65535 if depth == "U16" else 1)).astype(TYPES[depth])


def opened(desk: Desk, space: tuple[str, str, str], pixels: np.ndarray) -> Document:
    """A document of that colour space whose layer holds these pixels, in Krita's order."""
    document = desk.new(WIDTH, HEIGHT, *space)
    text = base64.b64encode(pixels.tobytes()).decode()
    desk.host.run(f"""
d = {document.code}
d.rootNode().childNodes()[0].setPixelData(base64.b64decode("{text}"), 0, 0, {WIDTH}, {HEIGHT})
d.refreshProjection()
d.waitForDone()
""")
    desk.select(document, *HOLE)
    return document


def read(desk: Desk, document: Document, name: str, part: tuple[int, int, int, int], like: np.ndarray) -> np.ndarray:
    text = desk.host.run(f"base64.b64encode(bytes({document.code}.nodeByName({name!r}).pixelData{part})).decode()")
    return np.frombuffer(base64.b64decode(text), like.dtype).reshape(part[3], part[2], -1)


@pytest.mark.essential
@pytest.mark.parametrize(
    "space",
    [
        ("RGBA", "U16", "sRGB-elle-V2-srgbtrc.icc"),
        ("RGBA", "F16", "Rec2020-elle-V4-g10.icc"),
        ("RGBA", "F32", "sRGB-elle-V2-g10.icc"),
        ("GRAYA", "U16", "Gray-D50-elle-V2-srgbtrc.icc"),
    ],
    ids=lambda space: space[0] + space[1],
)
def test_a_gradient_is_filled_in_full_depth(desk: Desk, space: tuple[str, str, str]) -> None:
    pixels = gradient(space[1], 2 if space[0] == "GRAYA" else 4)
    document = opened(desk, space, pixels)
    desk.choose("exemplar")
    assert desk.repaint().startswith("Done")
    assert desk.host.run(
        f"n = {document.code}.nodeByName({NAME!r})\n[n.colorModel(), n.colorDepth(), n.colorProfile()]"
    ) == list(space)
    fill = read(desk, document, NAME, HOLE, pixels)
    assert (fill[..., -1] == pixels[0, 0, -1]).all(), "opaque"
    x, y, width, height = BESIDE
    beside = pixels[y : y + height, x : x + width]
    for channel in range(pixels.shape[-1] - 1):
        assert len(np.unique(fill[..., channel])) >= 0.95 * len(np.unique(beside[..., channel]))
    x, y, width, height = HOLE
    truth = pixels[y : y + height, x : x + width].astype(float)
    assert np.abs(fill - truth)[..., :-1].mean() <= 0.01 * np.ptp(truth[..., 0])
    if space[1] != "U16":
        assert fill[..., :-1].max() > 1, "light above white survives"


def test_the_thumbnail_of_a_deep_picture_is_what_is_seen(desk: Desk) -> None:
    """Half of the light of a linear document is lighter than half in sRGB."""
    pixels = np.full((HEIGHT, WIDTH, 4), 0.5, "<f4")
    pixels[..., 3] = 1
    opened(desk, ("RGBA", "F32", "sRGB-elle-V2-g10.icc"), pixels)
    desk.choose()
    assert desk.repaint().startswith("Done")
    red, green, blue = desk.host.run("""
picture = dock().gallery.item(0).icon().pixmap(72, 72).toImage()
colour = picture.pixelColor(2, 2)
[colour.red(), colour.green(), colour.blue()]
""")
    assert [abs(value - 188) <= 2 for value in (red, green, blue)] == [True] * 3


@pytest.mark.parametrize("area", ["None", "Extend(right=32)"])
def test_after_a_cancel_nothing_is_left_to_undo(desk: Desk, area: str) -> None:
    """Neither of the layer's colour space, where it is not the document's own."""
    document = desk.new(WIDTH, HEIGHT, "CMYKA", "U8", "Chemical proof")
    desk.choose("test/gaussian-slow", LONG)
    desk.select(document, *HOLE)
    before = desk.fingerprint(document)
    history = desk.host.run("str(app.action('edit_undo').text())")
    desk.host.run(f"pump.do('click', lambda: flow.start(settings(flow, dock().panel.values(), {area})))")
    desk.wait_preview()
    desk.host.wait("flow.run.layer.settled", what="Krita has made the artist's layer the active one again")
    desk.host.run("pump.cancel()")
    desk.wait_end()
    assert desk.names(document) == ["Background"]
    assert desk.fingerprint(document) == before
    desk.host.wait(f"str(app.action('edit_undo').text()) == {history!r}", what="the history is as it was")


@pytest.mark.parametrize("end", ["cancelled", "closed"])
def test_a_reading_that_ends_early_leaves_no_document(desk: Desk, end: str) -> None:
    """Krita converts inks in a document that no one sees, so that nothing of it is in the artist's history."""
    large = desk.new(1600, 1600, "CMYKA", "U8", "Chemical proof")
    desk.choose()
    desk.select(large, 0, 0, 1600, 1600)
    history = desk.host.run("str(app.action('edit_undo').text())")
    desk.press()
    desk.host.wait("len(app.documents()) == 2", what="the reading")
    if end == "cancelled":
        desk.host.run("pump.cancel()")
        assert desk.host.run("str(app.action('edit_undo').text())") == history
    else:
        desk.close(large)
    desk.host.wait("not flow.busy", what="the end")
    assert desk.host.run("len(app.documents())") == (1 if end == "cancelled" else 0)
    document = desk.new(WIDTH, HEIGHT, "CMYKA", "U8", "Chemical proof")
    desk.select(document, *HOLE)
    assert desk.repaint().startswith("Done")
