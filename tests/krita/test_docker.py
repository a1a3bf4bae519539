"""The docker's further pages and the variants' life in a real Krita, over the real bridge, with the real engine."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bridge_server.client import launch
from bridge_server.client.editor.box import command
from tests.box.road import fingerprints

from .conftest import provide_bridge, start_krita
from .desk import PRELUDE, Desk, Document
from .host import REPOSITORY, Display


def finished(desk: Desk, variants: int = 1, model: str = "test/gaussian", seed: int = 20) -> Document:
    """A document with a run that has ended; its selection is 60, 50, 40 × 40."""
    document = desk.new(200, 160)
    desk.choose(model, seed=seed, variants=variants)
    desk.select(document, 60, 50, 40, 40)
    assert desk.repaint().startswith("Done")
    desk.show_first()
    return document


def rest(desk: Desk) -> None:
    desk.host.wait("not flow.busy and not flow.has_steps", seconds=60)


# ---------------------------------------------------------------- branches, keep, apply, compare


@pytest.mark.essential
def test_branching_from_a_step_by_the_docker(desk: Desk) -> None:
    document = finished(desk)
    before, layer = desk.fingerprint(document), desk.tree(document)[-1][2]
    desk.host.wait("dock().branches.go.isEnabled()")
    desk.host.run("dock().branches.slider.setValue(2)")
    desk.host.wait("len(dock().gallery.chosen()[1].views) > 0", what="the picture of a step")
    desk.host.wait("dock().branches.picture.pixmap() is not None")
    call = desk.host.run("dock().branches.chosen_step().step.call")
    desk.host.run("""
dock().branches.kind.setCurrentIndex(dock().branches.kind.findData("idea"))
dock().branches.number.setValue(2)
""")
    assert "2 × " in desk.host.run("dock().branches.cost.text()")
    desk.host.run("dock().branches.go.click()")
    assert desk.wait_end().startswith("Done")
    desk.screenshot("branched")
    assert len(desk.tree(document)) == 2, "the branches form in the layer of their parent"
    assert desk.tree(document)[-1][2] == layer
    assert desk.fingerprint(document) != before
    assert desk.host.run("[flow.runs[-1].parent, dock().gallery.count()]") == [[flow_number(desk, 0), 0, call], 3]
    found = desk.host.run("""
top = dock().branches.tree.topLevelItem(0)
[dock().branches.tree.isVisibleTo(dock()), top.childCount(), "New idea" in top.child(0).text(0)]
""")
    assert found == [True, 2, True]
    desk.undo()
    assert desk.names(document) == ["Background"]


def flow_number(desk: Desk, index: int) -> int:
    return int(desk.host.run(f"flow.runs[{index}].number"))


@pytest.mark.essential
def test_stop_and_keep_and_continue_by_mouse(desk: Desk) -> None:
    document = desk.new(300, 240)
    desk.choose("test/gaussian-slow", seed=40, variants=2)
    desk.select(document, 100, 80, 60, 60)
    desk.press()
    desk.wait_preview()
    desk.click("keep_button")
    assert desk.wait_end().startswith("Stopped; the pictures so far are kept")
    assert desk.names(document) == ["Background", "RePaint test/gaussian-slow · seed 40"]
    kept = desk.fingerprint(document)
    assert desk.host.run("[v.unfinished and 0 < v.call < v.calls for v in flow.runs[-1].variants]") == [True, True]
    desk.host.wait("dock().branches.resume.isVisibleTo(dock()) and dock().branches.resume.isEnabled()")
    desk.click("branches.resume")
    desk.host.wait("flow.busy")
    assert desk.host.run("[flow.run.kind, flow.run.settings.seed, flow.run.settings.variants]") == ["continue", 40, 1]
    assert desk.wait_end().startswith("Done")
    continued = desk.fingerprint(document)
    assert continued != kept
    assert desk.names(document) == ["Background", "RePaint test/gaussian-slow · seed 40"]
    desk.undo()
    desk.choose("test/gaussian-slow", seed=40)
    assert desk.repaint().startswith("Done")
    assert desk.fingerprint(document) == continued, "as if it had never been stopped"


def test_cancelling_a_branch_gives_the_parent_back(desk: Desk) -> None:
    document = finished(desk, model="test/gaussian-slow")
    before, tree = desk.fingerprint(document), desk.tree(document)
    desk.host.run("r = flow.runs[-1]\npump.do('b', lambda: flow.branch(r, 0, r.variants[0].steps[0].call, 'idea', 1))")
    desk.wait_preview()
    desk.click("cancel_button")
    assert desk.wait_end() == "Cancelled."
    assert desk.tree(document) == tree
    assert desk.fingerprint(document) == before
    desk.undo()
    assert desk.names(document) == ["Background"]


@pytest.mark.essential
def test_keyboard_only(desk: Desk) -> None:
    """From the click on to the applied second variant: shortcuts' actions, arrows, Space and Enter."""
    document = desk.new(200, 160)
    desk.choose(seed=20, variants=3)
    desk.select(document, 60, 50, 40, 40)
    before = desk.fingerprint(document)
    desk.host.run("app.action('repaint_selection').trigger()")
    assert desk.wait_end().startswith("Done")
    desk.show_first()
    first = desk.fingerprint(document)
    desk.host.run("app.activeWindow().qwindow().activateWindow()\ndock().gallery.setFocus()")
    desk.host.wait("dock().gallery.hasFocus()")
    desk.host.keys("Right")
    desk.host.wait("flow.selected[1] == 1")
    rest(desk)
    second = desk.fingerprint(document)
    assert second not in (before, first)
    desk.host.xdo("keydown", "space")
    desk.host.wait("flow.comparing")
    assert desk.fingerprint(document) == before
    desk.host.xdo("keyup", "space")
    desk.host.wait("not flow.comparing")
    assert desk.fingerprint(document) == second
    desk.host.keys("ctrl+c")
    desk.host.wait("QtWidgets.QApplication.clipboard().text() == '21'")
    desk.host.keys("Return")
    desk.host.wait("'Applied' in flow.sentence")
    assert desk.names(document) == ["Background", "RePaint test/gaussian · seed 21"]
    desk.host.run("app.action('repaint_next').trigger()")
    desk.host.wait("flow.selected[1] == 2")
    rest(desk)
    assert desk.names(document)[1:] == ["RePaint test/gaussian · seed 21", "RePaint test/gaussian · seed 22"]
    desk.undo()
    desk.undo()
    assert desk.fingerprint(document) == before


def test_compare_and_walking_add_no_undo_step(desk: Desk) -> None:
    document = finished(desk, variants=2)
    tree_names = desk.names(document)
    for name in ("repaint_compare", "repaint_compare", "repaint_next", "repaint_previous"):
        desk.host.run(f"app.action({name!r}).trigger()")
        rest(desk)
    assert desk.names(document) == tree_names
    desk.undo()
    assert desk.names(document) == ["Background"]


def test_more_variants_are_appended(desk: Desk) -> None:
    document = finished(desk, variants=2)
    desk.host.run("dock().fields['variants'].setValue(1)\ndock().more.click()")
    assert desk.wait_end().startswith("Done")
    assert desk.names(document) == ["Background", "RePaint test/gaussian · seed 22"]
    desk.host.run("dock().more_like.click()")
    assert desk.wait_end().startswith("Done")
    assert desk.host.run("dock().gallery.count()") == 4
    assert len(desk.tree(document)) == 2


def test_a_single_picture_is_deleted_after_a_question(desk: Desk) -> None:
    document = finished(desk, variants=3)
    shown = desk.fingerprint(document)
    used = desk.host.run("flow.library.bytes")
    desk.host.run("app.activeWindow().qwindow().activateWindow()\ndock().gallery.setFocus()")
    desk.host.keys("Right")
    desk.host.wait("flow.selected[1] == 1")
    rest(desk)
    desk.host.keys("Delete")
    desk.host.wait("QtWidgets.QApplication.activeModalWidget() is not None", what="a question")
    desk.screenshot("delete")
    desk.host.keys("Escape")
    desk.host.wait("QtWidgets.QApplication.activeModalWidget() is None")
    assert desk.host.run("dock().gallery.count()") == 3
    job = desk.host.run("flow.runs[-1].job")
    folder = launch.user_folders().state / "spool" / job
    assert (folder / "variant-1").is_file()
    desk.host.keys("Delete")
    desk.host.wait("QtWidgets.QApplication.activeModalWidget() is not None", what="a question")
    desk.host.keys("alt+y")
    desk.host.wait("dock().gallery.count() == 2")
    assert desk.host.run("[v.seed for v in flow.runs[-1].variants]") == [20, 22]
    assert desk.host.run("flow.library.bytes") == used * 2 // 3
    until(lambda: not (folder / "variant-1").exists())
    assert (folder / "variant-0").is_file()
    desk.host.run("dock().gallery.walk(-2)")
    rest(desk)
    assert desk.fingerprint(document) == shown
    for _ in range(2):
        desk.host.run(
            "c = dock().gallery.chosen() or (flow.runs[-1], flow.runs[-1].variants[0])\nflow.drop(c[0], c[1].index)"
        )
    assert desk.host.run("len(flow.runs)") == 0
    until(lambda: not folder.exists())
    assert desk.fingerprint(document) == shown, "what stands in a layer stays"


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.essential
def test_more_actions_are_in_kritas_shortcut_settings(desk: Desk) -> None:
    desk.host.run("from repaint_krita.sentences import ACTIONS")
    names = desk.host.run("[n for n in ACTIONS if app.action(n) is None or not app.action(n).text()]")
    assert names == []
    text = (REPOSITORY / "krita_plugin/repaint_krita.action").read_text()
    assert desk.host.run(f"[n for n in ACTIONS if 'name=\"' + n + '\"' not in {text!r}]") == []


# ---------------------------------------------------------------- the first time


@pytest.mark.essential
def test_from_opening_krita_to_an_applied_variant_in_four_actions(display: Display, tmp_path: Path) -> None:
    """A person who has just installed the plug-in: opens a picture, takes a selection tool, draws, clicks. The docker
    and the engine come by themselves, and the variant stands in a layer of its own when it is done."""
    provide_bridge()
    (launch.user_folders().config / "krita.json").unlink(missing_ok=True)
    host = start_krita(tmp_path / "krita", display)  # no docker is shown or moved for the test
    try:
        picture = tmp_path / "photo.png"
        shutil.copy(REPOSITORY / "engine/assets/demo.jpg", picture)
        host.run(PRELUDE + "app.activeWindow().qwindow().showMaximized()")
        path = str(host.lend(picture))
        host.run(f"documents['photo'] = add(app.openDocument({path!r}))")  # 1: File ▸ Open
        host.wait("app.activeDocument() is not None and canvas().isVisible()")
        host.wait("docker() is not None and docker().isVisible()", what="the docker is there by itself")
        host.run("app.action('KisToolSelectRectangular').trigger()")  # 2: a button of the toolbox
        before, (x, y) = None, host.run("center(canvas())")
        while (x, y) != before:  # dockers may still be finding their places
            time.sleep(0.5)
            before, (x, y) = (x, y), host.run("center(canvas())")
        host.drag(x - 40, y - 30, x + 40, y + 30)  # 3
        host.wait("(lambda s: s is not None and s.width() > 4)(documents['photo'].selection())", what="a selection")
        host.run("dock().area.ensureWidgetVisible(dock().button)")
        host.wait("dock().fields['model'].findData('test/gaussian') >= 0", seconds=60)
        host.run(
            "dock().fields['model'].setCurrentIndex(dock().fields['model'].findData('test/gaussian'))"
        )  # for the test's sake: quick
        host.click(*host.run("center(dock().button)"))  # 4
        host.wait("flow.busy", what="it runs")
        host.wait("not flow.busy and not flow.has_steps", seconds=60, what="the run ends")
        assert host.run("flow.sentence").startswith("Done")
        names = host.run("[entry[0] for entry in tree(documents['photo'])]")
        assert len(names) == 2
        assert names[1].startswith("RePaint test/gaussian · seed ")
        assert host.run("flow.runs[-1].series.shown") is not None
        host.screenshot("first-time")
        host.run("documents['photo'].setModified(False)")
        host.stop()
    finally:
        host.kill()


def test_memory_is_forecast_on_the_more_page(desk: Desk) -> None:
    document = desk.new(400, 300)
    desk.choose("test/gaussian")
    desk.host.run("dock().pages.setCurrentIndex(3)")
    assert desk.host.run("dock().more_page.memory.isVisible()") is False, "nothing is selected"
    desk.select(document, 100, 100, 60, 60)
    desk.host.run("dock().more_page.show_memory()")
    text = desk.host.run("dock().more_page.memory.text()")
    assert text.startswith("Memory needed for the selection: about ")
    few = int(text.split()[-2])
    assert 300 < few < 600
    desk.select(document, 0, 0, 400, 300)
    desk.host.run("dock().fields['variants'].setValue(8)")
    assert int(desk.host.run("dock().more_page.memory.text()").split()[-2]) > few


def test_another_machine_is_connected_on_the_more_page(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        address = f"127.0.0.1:{one.getsockname()[1]}"  # where nothing listens afterwards
    key = 52 * "a"
    if desk.host.krita.root is not None:  # it has no engine: what the command says is heard outside
        heard = {words: command(*words) for words in (("connect", address, key), ("disconnect",))}
        desk.host.run(f"heard = {heard!r}\ndock().box_page.run = lambda *words: heard[words]")
    desk.host.run("dock().pages.setCurrentIndex(3)")
    assert desk.host.run("dock().box.parts['box'].isVisible()") is False
    desk.host.run("dock().box.parts['box_line'].setText('box:5560')\ndock().box.parts['box_connect'].click()")
    assert "This is not the line" in desk.host.run("dock().box.parts['box'].text()")
    desk.host.run(f"dock().box.parts['box_line'].setText('repaint-bridge connect {address} {key}')")
    desk.host.run("dock().box.parts['box_connect'].click()")
    desk.host.wait("'Nothing answers at' in dock().box.parts['box'].text()", seconds=30, what="the sentence")
    assert len(fingerprints(desk.host.run("dock().box.parts['box'].text()"))) == 2
    desk.host.run("dock().box.parts['box_disconnect'].click()")
    desk.host.wait("dock().box.parts['box'].text() == 'There was no box.'", seconds=30, what="the sentence")


# ---------------------------------------------------------------- choices and words


def test_words_are_asked_for_only_where_a_model_takes_them(desk: Desk) -> None:
    desk.new(160, 120)
    desk.choose()
    shown = "[dock().fields[n].isVisibleTo(dock()) for n in ('prompt', 'negative', 'guidance', 'label')]"
    assert desk.host.run(shown) == [False, False, False, False]
    desk.host.run("""
from bridge_server.client import events
kept = list(flow.models)
flow.models = kept + [events.Model("words", "Takes words", "x", "x", True, True, False),
                      events.Model("classes", "Takes classes", "x", "x", True, False, True)]
dock().refresh()
""")
    try:
        for model, wanted in (("words", [True, True, True, False]), ("classes", [False, False, False, True])):
            desk.host.run(f"dock().fields['model'].setCurrentIndex(dock().fields['model'].findData({model!r}))")
            assert desk.host.run(shown) == wanted
            if model == "words":
                desk.host.run("dock().fields['prompt'].setText(' a door ')\ndock().fields['guidance'].setValue(5)")
                assert desk.host.run("options()") == {"prompt": "a door", "guidance": 5}
        desk.host.run("dock().fields['label'].setText('7')\ndock().fields['prompt'].setText('ignored')")
        assert desk.host.run("options()") == {"label": "7"}
    finally:
        desk.host.run(
            "flow.models = kept\ndock().fields['label'].setText('')\ndock().fields['prompt'].setText('')\n"
            "dock().fields['guidance'].setValue(0)\ndock().refresh()"
        )


def test_advanced_numbers_reach_the_engine_and_the_picture(desk: Desk) -> None:
    document = desk.new(160, 120)
    desk.choose()
    desk.select(document, 40, 40, 30, 30)
    walk = desk.host.run("dock().more_page.picture.walk")
    steps, calls = desk.host.run("next([p.steps, p.calls] for p in flow.presets if p.name == 'fast')")
    assert (walk[0], walk[-1]) == (steps - 1, -1)
    assert sum(low < high for high, low in pairwise(walk)) == calls
    desk.host.run("""
page = dock().more_page
dock().fields['steps'].setValue(20)
dock().fields['schedule'].setCurrentIndex(dock().fields['schedule'].findData("none"))
dock().fields['feather'].setValue(6)
""")
    assert desk.host.run("page.picture.walk") == list(range(19, -2, -1))
    assert desk.repaint().startswith("Done")
    assert desk.host.run("flow.runs[-1].variants[0].calls") == 20
    alpha = desk.host.run(f"""
node = {document.code}.nodeByName("RePaint test/gaussian · seed 1234")
list(bytes(node.pixelData(30, 55, 50, 1))[3::4])
""")
    desk.host.run("page.reset.click()")
    assert desk.host.run("options()") == {}
    assert set(alpha[:10] + alpha[40:]) == {0}, "feather works inwards only"
    assert alpha[10] < 128 < alpha[25]


def test_a_document_remembers_its_choices(desk: Desk, tmp_path: Path) -> None:
    one = tmp_path / "one.png"
    shutil.copy(REPOSITORY / "engine/assets/demo.jpg", one)
    document = desk.open(one)
    desk.choose(variants=3)
    desk.select(document, 40, 40, 30, 30)
    assert desk.repaint().startswith("Done")
    other = desk.new(160, 120)
    desk.choose(variants=1)
    desk.select(other, 40, 40, 30, 30)
    assert desk.repaint().startswith("Done")
    desk.close(document)
    document = desk.open(one)
    desk.host.wait("dock().fields['variants'].value() == 3", what="the first document's choices")
    assert desk.host.run(f"{document.code}.modified()") is False


def test_german(display: Display, tmp_path: Path) -> None:
    host = start_krita(
        tmp_path / "krita", display, LANGUAGE="de", **{launch.HOME_VARIABLE: str(tmp_path / "nothing here")}
    )
    try:
        desk = Desk(host)
        assert host.run("dock().keep_button.text().replace('&', '')") == "Behalten"
        assert host.run("dock().inside.minimumSizeHint().width()") <= 250 - 14
        desk.screenshot("german")
        host.stop()
    finally:
        host.kill()


# ---------------------------------------------------------------- words from outside


def test_words_from_outside_are_shown_and_not_drawn(desk: Desk) -> None:
    """A sentence, a title or a prompt that looks like HTML: labels and tool tips show its letters."""
    words = '<img src="/x.png"><b>A &amp; B</b>'
    desk.host.run(WORDS_SHOWN)
    assert desk.host.run(f"shown_words({words!r})") == [words, words, words, True, True]
    assert desk.host.run("plain('No such letters')") == "No such letters"
    rest(desk)


WORDS_SHOWN = """
from bridge_server.client.qt.binding import QtGui
from bridge_server.client.qt.widgets import label, named, note, plain
def drawn(html):
    document = QtGui.QTextDocument()
    document.setHtml(html)
    return document.toPlainText()
def shown_words(words):
    flow.say(words, error=True)
    status = dock().status
    labels = [made for made in dock().findChildren(QtWidgets.QLabel) if made.objectName().startswith("repaint_")]
    return [status.text(), drawn(status.toolTip()), drawn(named(note(), "x", words).toolTip()),
            len(labels) > 5 and all(made.textFormat() == note().textFormat() for made in labels),
            label("<b>x</b>").sizeHint().width() > label("xxx").sizeHint().width()]
"""
