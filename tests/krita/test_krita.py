"""The plug-in inside a real Krita, over the real bridge, with the real engine: nothing here is a stand-in."""
from __future__ import annotations

import numpy as np

from .desk import Desk


def inside(document, x: int, y: int, width: int, height: int) -> np.ndarray:
    mask = np.zeros((document.height, document.width), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def test_select_click_watch_undo_redo(desk: Desk) -> None:
    """The whole road by mouse: select, click, watch it form in a layer, one Ctrl+Z, redo."""
    document = desk.new(512, 512)
    desk.choose("test/gaussian-slow", seed=7)
    box = desk.select_by_mouse(document)
    before, tree_before = desk.pixels(document), desk.tree(document)
    active_before = desk.host.run(f"{document.code}.activeNode().uniqueId().toString()")
    desk.host.run(f"""
states = []
def watch():
    if flow.run is None or flow.run.layer is None: return
    node = {document.code}.nodeByName("RePaint preview")
    if node is None: return
    state = hashlib.sha256(bytes(node.pixelData({box[0]}, {box[1]}, {box[2]}, {box[3]}))).hexdigest()
    if state not in states: states.append(state)
driver.watchers["states"] = watch
""")
    desk.click("button")
    desk.host.wait("flow.busy")
    desk.wait_preview()
    desk.screenshot("preview")
    assert desk.wait_end().startswith("Done")
    desk.screenshot("done")
    states = desk.host.run("driver.watchers.clear()\nlen(states)")
    assert states >= 4, "the empty layer and three different previews at least were to be seen"
    after, tree_after = desk.pixels(document), desk.tree(document)
    mask = inside(document, *box)
    assert np.array_equal(after[~mask], before[~mask])
    assert not np.array_equal(after[mask], before[mask])
    assert [node[0] for node in tree_after] == [*[node[0] for node in tree_before], "RePaint test/gaussian-slow · seed 7"]
    assert desk.host.run(f"{document.code}.activeNode().uniqueId().toString()") == active_before
    desk.host.keys("ctrl+z")
    desk.host.wait(f"len(tree({document.code})) == {len(tree_before)}", what="one Ctrl+Z removes the layer")
    assert desk.tree(document) == tree_before
    assert np.array_equal(desk.pixels(document), before)
    desk.host.keys("ctrl+shift+z")
    desk.host.wait(f"len(tree({document.code})) == {len(tree_after)}", what="redo brings the layer back")
    assert desk.tree(document) == tree_after
    assert np.array_equal(desk.pixels(document), after)
