"""Two spots at opposite corners of a large picture: little is sent, and the command line's pixels come."""

from __future__ import annotations

import base64

import numpy as np

from engine import api

from .desk import Desk

WIDTH, HEIGHT = 3000, 2000
SPOTS = ((40, 50, 24, 20), (2900, 1930, 30, 26))
NAME = "RePaint exemplar · seed 1234"


def test_far_apart_places_are_sent_alone_and_painted_as_on_the_command_line(desk: Desk) -> None:
    document = desk.new(WIDTH, HEIGHT)
    one, other = SPOTS
    desk.host.run(
        f"s, t = krita.Selection(), krita.Selection()\ns.select(*{one}, 255)\nt.select(*{other}, 255)\ns.add(t)\n"
        f"{document.code}.setSelection(s)\n{document.code}.waitForDone()"
    )
    selection = np.zeros((HEIGHT, WIDTH), np.uint8)
    for x, y, width, height in SPOTS:
        selection[y : y + height, x : x + width] = 255
    picture = desk.pixels(document)
    desk.choose("exemplar")
    assert desk.repaint(seconds=240).startswith("Done")
    whole, sent, marks, back = desk.host.run("""
run = flow.runs[-1]
[run.target.box.area, len(run.capture.pixels), len(run.capture.selection), len(run.variants[0].picture.rgba)]
""")
    assert sent == 4 * marks < 0.05 * 4 * whole
    assert back < 0.002 * 4 * whole
    *_, last = api.run(api.Job(picture[..., [2, 1, 0, 3]], selection, seed=1234), api.load_model("exemplar", "cpu"))
    place = f"0, 0, {WIDTH}, {HEIGHT}"
    text = desk.host.run(f"base64.b64encode(bytes({document.code}.nodeByName({NAME!r}).pixelData({place}))).decode()")
    found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(HEIGHT, WIDTH, 4)
    assert np.array_equal(found[..., [2, 1, 0, 3]], last.layer())
    shown = desk.pixels(document)
    assert np.array_equal(shown[selection == 0], picture[selection == 0])
    desk.screenshot("far-apart")
    thumbnail = desk.host.run("""
picture = dock().gallery.item(0).icon().pixmap(72, 72).toImage()
colours = [picture.pixelColor(x, y) for x in range(picture.width()) for y in range(picture.height())]
len({(c.red(), c.green(), c.blue()) for c in colours})
""")
    assert thumbnail > 5, "the places are seen in the small picture"
