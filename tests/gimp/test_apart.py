"""Two spots at opposite corners of a large image: little is sent, and the command line's pixels come."""

from __future__ import annotations

import base64

import numpy as np

from engine import api

from .desk import Desk
from .test_console import SELECTION

WIDTH, HEIGHT = 3000, 2000
SPOTS = ((40, 50, 24, 20), (2900, 1930, 30, 26))


def test_far_apart_places_are_sent_alone_and_painted_as_on_the_command_line(shell: Desk) -> None:
    image = shell.new(WIDTH, HEIGHT)
    selection = np.zeros((HEIGHT, WIDTH), np.uint8)
    for operation, (x, y, width, height) in zip(("REPLACE", "ADD"), SPOTS, strict=True):
        shell.host.run(f"{image.code}.select_rectangle(Gimp.ChannelOps.{operation}, {x}, {y}, {width}, {height})\nNone")
        selection[y : y + height, x : x + width] = 255
    whole, sent, marks, pieces = shell.host.run(
        f"host.image = str({image.code}.get_id())\n"
        "sent = [c for c in host.capture(Settings('exemplar', 'fast', 1)) if c is not None][0]\n"
        "[sent.target.box.area, len(sent.pixels), len(sent.selection), len(sent.target.pieces)]"
    )
    assert sent == 4 * marks < 0.05 * 4 * whole
    assert pieces == 2
    before, picture = shell.fingerprint(image), shell.pixels(image)
    status, message, layers = shell.call(SELECTION, image, seconds=240, model="exemplar", seed=7)
    assert (status, len(layers)) == ("success", 1), message
    *_, last = api.run(api.Job(picture, selection, seed=7), api.load_model("exemplar", "cpu"))
    layer = last.layer()
    new = f"Gimp.Layer.get_by_id({layers[0]})"
    left, top, width, height = shell.host.run(
        f"[*list({new}.get_offsets())[1:], {new}.get_width(), {new}.get_height()]"
    )
    assert (left, top, width, height) == (40, 50, 2890, 1906)
    text = shell.host.run(f"base64.b64encode(bytes_of({new}, \"R'G'B'A u8\")).decode()", seconds=60)
    found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    assert np.array_equal(found, layer[top : top + height, left : left + width])
    shell.host.run(f"{image.code}.remove_layer({new})\nNone")
    assert shell.fingerprint(image) == before
