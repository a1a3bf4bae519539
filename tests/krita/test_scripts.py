"""`repaint_krita.script` in a real Krita, and each example of docs/guide/krita-scripts.md as it stands there."""

from __future__ import annotations

import base64
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.desk import photograph

from .desk import Desk
from .host import REPOSITORY

GUIDE = (REPOSITORY / "docs/guide/krita-scripts.md").read_text(encoding="utf-8")
QUICK = "model='test/gaussian', seed=7"


def example(title: str) -> str:
    """The Python below a heading."""
    found = re.search(rf"^## {title}\n.*?^```python\n(.*?)^```", GUIDE, re.M | re.S)
    assert found is not None
    return found.group(1)


def run(desk: Desk, code: str, seconds: float = 240.0) -> object:
    """As the Scripter does: in a namespace of its own, which is called ``space`` until the next call."""
    return desk.host.run(f"space = {{}}\nexec({code!r}, space)\nspace.get('answer')", seconds)


@pytest.mark.essential
def test_repaint_returns_the_layer_while_krita_stays_alive(desk: Desk) -> None:
    """The docker is hidden; timers go on; one undo; the active layer stays."""
    document = desk.new(160, 120)
    desk.select(document, 40, 30, 48, 40)
    before, tree = desk.pixels(document), desk.tree(document)
    desk.host.run("docker().hide()")
    found = run(
        desk,
        f"""
from krita import Krita
from repaint_krita import script
from bridge_server.client.qt.binding import QtCore
ticks, timer = [], QtCore.QTimer()
timer.timeout.connect(lambda: ticks.append(0))
timer.start(20)
document = Krita.instance().activeDocument()
active = document.activeNode().uniqueId().toString()
layer = script.repaint(document, {QUICK})
timer.stop()
answer = [layer.name(), len(ticks), document.activeNode().uniqueId().toString() == active]
""",
    )
    desk.host.run("docker().show()")
    assert isinstance(found, list)
    assert (found[0], found[2]) == ("RePaint test/gaussian · seed 7", True)
    assert found[1] >= 2, "the event loop was served"
    after = desk.pixels(document)
    changed = (after != before).any(-1)
    assert changed[30:70, 40:88].mean() > 0.9
    changed[30:70, 40:88] = False
    assert not changed.any()
    desk.undo()
    assert desk.tree(document) == tree
    assert np.array_equal(desk.pixels(document), before)


def test_with_a_callback_the_call_returns_at_once_and_several_go_on(desk: Desk) -> None:
    one, other = desk.new(96, 80), desk.new(80, 64)
    desk.select(one, 20, 20, 30, 30)
    run(
        desk,
        f"""
from krita import Krita
from repaint_krita import script
heard = []
def then(layer, error):
    heard.append([layer.name() if layer else None, str(error) if error else None])
for document in [each for each in Krita.instance().documents() if each.width() in (96, 80)]:
    script.tile(document, then=then, band=16, {QUICK})
script.repaint(Krita.instance().activeDocument(), then=then)
""",
    )
    desk.host.wait("len(space['heard']) == 3", seconds=60, what="all three have ended")
    heard = sorted(desk.host.run("space['heard']"), key=lambda pair: pair[1] is None)
    assert heard[0] == [None, "Select the part to repaint first (with any selection tool), then click RePaint."]
    assert heard[1:] == [["RePaint test/gaussian · seed 7", None]] * 2
    for document in (one, other):
        assert desk.names(document)[-1] == "RePaint test/gaussian · seed 7"


def test_errors_are_one_sentence_and_leave_the_document(desk: Desk) -> None:
    document = desk.new(96, 80)
    before, tree = desk.fingerprint(document), desk.tree(document)
    tries = {
        "script.repaint(document)": "Select the part",
        "script.repaint(None)": "Open a picture first",
        "script.extend(document)": "how many pixels",
        "script.extend(document, right=-5)": "“right” cannot be -5",
        "script.extend(document, right=16, model='nonsense')": "model is not known",
        "script.tile(document, axis='z')": "“axis” cannot be 'z'",
        "script.tile(document, sharpness=3)": "“sharpness”",
        "script.tile(document, steps='many')": "“steps” cannot be 'many'",
    }
    found = run(
        desk,
        f"""
from krita import Krita
from repaint_krita import script
document, answer = Krita.instance().activeDocument(), []
for line in {list(tries)!r}:
    try:
        eval(line)
        answer.append("nothing was raised")
    except script.ScriptError as error:
        answer.append(error.sentence)
""",
    )
    assert isinstance(found, list)
    for line, sentence, said in zip(tries, tries.values(), found, strict=True):
        assert sentence in said, f"{line}: {said}"
    assert desk.tree(document) == tree
    assert desk.fingerprint(document) == before
    assert desk.host.run(f"[{document.code}.width(), {document.code}.height()]") == [96, 80]


def test_closing_the_document_ends_its_run(desk: Desk) -> None:
    document = desk.new(96, 80)
    said = run(
        desk,
        """
from krita import Krita
from repaint_krita import script
from bridge_server.client.qt.binding import QtCore
document = Krita.instance().activeDocument()
def close():
    document.setModified(False)
    document.close()
QtCore.QTimer.singleShot(600, close)
try:
    script.tile(document, model='test/gaussian-slow', preset='repaint')
except script.ScriptError as error:
    answer = error.sentence
""",
    )
    desk.host.run(f"del {document.code}")
    assert said == "The picture of this run is closed; open it and start again."


# ---------------------------------------------------------------- the guide


@pytest.fixture
def scans(desk: Desk) -> Iterator[Path]:
    """A folder that this Krita sees."""
    with tempfile.TemporaryDirectory(dir=desk.host.krita.temporary) as folder:
        yield Path(folder)


def test_repair_all_scans_in_a_folder(desk: Desk, scans: Path) -> None:
    for number in (1, 2):
        photograph(scans / f"{number}.png", 110, 80)
        mask = np.zeros((80, 110), np.uint8)
        mask[30:42, 30 * number : 30 * number + 14] = 255
        Image.fromarray(mask).save(scans / f"{number}.mask.png")
    Image.new("L", (10, 10)).save(scans / "3.mask.png")
    Image.new("RGB", (10, 10)).save(scans / "3.png")  # nothing is damaged: it is told, and the others go on
    code, home = example("Repair all scans in a folder"), 'Path.home() / "scans"'
    assert home in code
    run(desk, code.replace(home, f"Path({str(desk.host.krita.inside(scans))!r})"))
    assert sorted(path.name for path in (scans / "repaired").iterdir()) == ["1.png", "2.png"]
    for number in (1, 2):
        before, after = (
            np.asarray(Image.open(p / f"{number}.png").convert("RGB")) for p in (scans, scans / "repaired")
        )
        changed = (before != after).any(-1)
        hole = changed[30:42, 30 * number : 30 * number + 14]
        assert hole.mean() > 0.9
        assert changed.sum() == hole.sum()
    assert desk.host.run("len(app.documents())") == 0


def jump(picture: np.ndarray) -> float:
    """How much larger the steps across the left and right borders are than those inside."""
    values = picture.astype(float)
    return float(np.abs(values[:, 0] - values[:, -1]).mean() / np.abs(np.diff(values, axis=1)).mean())


def test_make_all_layers_tileable(desk: Desk, tmp_path: Path) -> None:
    document = desk.open(photograph(tmp_path / "texture.png", 96, 72))
    desk.host.run(f"""
d = {document.code}
second = d.createNode("Second", "paintlayer")
d.rootNode().addChildNode(second, None)
data = d.rootNode().childNodes()[0].pixelData(0, 0, 96, 72)
second.setPixelData(bytes(255 - b if i % 4 < 3 else 255 for i, b in enumerate(bytes(data))), 0, 0, 96, 72)
d.waitForDone()
""")
    look = f"base64.b64encode(bytes({document.code}.topLevelNodes()[NUMBER].pixelData(0, 0, 96, 72))).decode()"

    def pixels(number: int) -> np.ndarray:
        text = desk.host.run(look.replace("NUMBER", str(number)))
        return np.frombuffer(base64.b64decode(text), np.uint8).reshape(72, 96, 4)[..., :3]

    before = [jump(pixels(number)) for number in (0, 1)]
    run(desk, example("Make all layers tileable"))
    assert len(desk.names(document)) == 2
    for number in (0, 1):
        assert jump(pixels(number)) < 0.5 * before[number]


def test_extend_an_animations_background(desk: Desk, tmp_path: Path) -> None:
    """Three frames above a still background."""
    document = desk.open(photograph(tmp_path / "Background.png", 160, 120))
    desk.host.run(f"""
d = {document.code}
d.rootNode().childNodes()[0].setName("Background")
moving = d.createNode("Moving", "paintlayer")
d.rootNode().addChildNode(moving, None)
d.waitForDone()
""")
    desk.activate_layer(document, "Moving")
    desk.host.run("moving.enableAnimation()")
    for number in range(3):  # Document.importAnimation crashes Krita 5.3.4 one time in four, without any plug-in
        desk.host.run(f"d.setCurrentTime({number})\nd.waitForDone()")
        if number:
            desk.host.run("app.action('add_blank_frame').trigger()\nd.waitForDone()")
            desk.host.wait(f"moving.hasKeyframeAtTime({number})", what="another frame")
        frame = np.zeros((120, 160, 4), np.uint8)
        frame[50:70, 20 + 30 * number : 40 + 30 * number] = (0, 0, 255, 255)
        data = base64.b64encode(frame.tobytes()).decode()
        desk.host.run(f"moving.setPixelData(base64.b64decode({data!r}), 0, 0, 160, 120)\nd.refreshProjection()")
    desk.host.run("d.waitForDone()")
    look = f"""
def seen(time):
    d = {document.code}
    d.setCurrentTime(time)
    d.waitForDone()
    node = next(n for n in d.topLevelNodes() if n.animated())
    data = bytes(node.pixelData(0, 0, d.width(), d.height()))
    return [i // 4 % d.width() for i in range(3, len(data), 4) if data[i]][:1]
[seen(time) for time in range(3)]
"""
    assert desk.host.run(look) == [[20], [50], [80]]
    run(desk, example("Extend an animation's background"))
    assert desk.host.run(f"[{document.code}.width(), {document.code}.height()]") == [288, 120]
    assert desk.host.run(look) == [[20], [50], [80]], "the frames are where they were"
    assert len(desk.names(document)) == 2
    alpha = desk.host.run(
        f"n = {document.code}.nodeByName('Background')\nset(bytes(n.pixelData(0, 0, 288, 120))[3::4]) == {{255}}"
    )
    assert alpha, "the background covers the larger canvas"
    desk.screenshot("animation")
