"""The docker in every language, in a real Krita: python -m tests.krita.languages [--out FOLDER] [--theme NAME]

A sheet for each language: all pages at 250 pixels beside each other, with a run in the history and a model that is not
installed, and a line for each text that does not fit. QT_SCALE_FACTOR=2 shows it as on a screen of high density.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from PIL import Image

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from bridge_server.__main__ import main as bridge_command
from bridge_server.client.editor import words
from tests.desk import write_launch_file

from .conftest import start_krita
from .desk import Desk
from .host import REPOSITORY, Display, KritaHost

WIDTH, HEIGHT = 250, 1000
PICTURE = (("uk", "more"), ("ja", "selection"), ("pl", "extend"), ("zh_CN", "more"))
PICTURE_HEIGHT = 640
LANGUAGES = ("en", *sorted(path.stem for path in words.FOLDER.glob("*.mo")))
STATES = {
    "selection": "made.body.fields['model'].write('sd15')",
    "extend": "made.body.fields['model'].write('exemplar')\nmade.body.pages.setCurrentIndex(1)",
    "tile": "made.body.pages.setCurrentIndex(2)",
    "more": "made.body.pages.setCurrentIndex(3)",
    "maps": """
from bridge_server.client.editor.maps import KINDS, Row
made.body.pages.setCurrentIndex(0)
made.body.panel.maps.look = lambda: None
made.body.panel.maps.rows = [Row(kind, "a layer with a name that is long: " + kind, True, kind) for kind, _ in KINDS]
made.body.maps.on.setChecked(True)
""",
    "removal": "for part in made.body.removal.findChildren(QtWidgets.QWidget): part.show()",
    "tour": "made.body.tour.show()\nmade.body.tour.parts['tour_begin'].show()\n"
    "made.body.tour.parts['tour'].setText(words.tr(sentences.TOUR_OFFER))",
    "set-up": """
made.body.tour.hide()
made.body.set_up_panel.show()
made.body.rest.hide()
for part in made.body.set_up_panel.children():
    if part.isWidgetType():
        part.show()
""",
}
"""What the docker ``made`` is brought into, one after the other: its pages, and what is seen but once."""
PRELUDE = """
import re
from bridge_server.client.editor import sentences, words
Box, Button, Label, Line = QtWidgets.QCheckBox, QtWidgets.QAbstractButton, QtWidgets.QLabel, QtWidgets.QLineEdit
NO_FOCUS = getattr(QtCore.Qt, "FocusPolicy", QtCore.Qt).NoFocus

def speaking(language, width, height):
    # a docker of its own in this language
    words.choose(language)
    made = RePaintDocker()
    made.setFloating(True)
    made.resize(width, height)
    made.show()
    return made

def parts(docker):
    return docker.widget().findChildren(QtWidgets.QWidget)

def cut(docker):
    # [name, text] of what has less room than it needs
    room, needed = docker.body.area.viewport().width(), docker.body.inside.minimumSizeHint().width()
    found = [["docker", "%d of %d pixels" % (needed, room)]] if needed > room else []
    for part in parts(docker):
        text = part.text() if isinstance(part, (Label, Button)) else ""
        if not text or not part.isVisible():
            continue
        wide = part.fontMetrics().horizontalAdvance
        if isinstance(part, Label) and part.wordWrap():
            pieces = re.split("[ \\\\n/-]|(?<=[\\u3000-\\uffff])", text)
            fits = part.heightForWidth(part.width()) <= part.height() and max(map(wide, pieces)) <= part.width()
        elif isinstance(part, Box):
            fits = part.sizeHint().width() <= part.width()
        else:
            fits = wide(text.replace("&", "")) + (6 if isinstance(part, Button) else 0) <= part.width()
        if not fits:
            found.append([part.objectName(), text])
    return found

def unnamed(docker):
    # what can have the focus, lists that pop up included, and bars of progress, without a name for a screen reader
    found = []
    for part in parts(docker):
        reached = part.focusPolicy() != NO_FOCUS or isinstance(part, QtWidgets.QProgressBar)
        empty = isinstance(part, Label) and not part.text()
        name = part.accessibleName() or (part.text() if isinstance(part, Button) else "")
        if reached and not empty and not any(sign.isalpha() for sign in name):
            found.append(part.objectName() or part.metaObject().className())
    return found
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("languages-of-krita"))
    parser.add_argument("--picture", type=Path, help="docs/images/languages.png: a few of the pages")
    parser.add_argument("--theme", default="", help="a name in Krita's menu Settings ▸ Themes")
    parser.add_argument("--languages", nargs="*", default=LANGUAGES)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    write_launch_file(warm="exemplar")
    display = Display(1280, 1000)
    with tempfile.TemporaryDirectory() as folder:
        scale = {name: value for name, value in os.environ.items() if name == "QT_SCALE_FACTOR"}
        host = start_krita(Path(folder), display, **scale)
        try:
            _take(host, Path(folder), chosen)
            host.stop()
        finally:
            host.kill()
            bridge_command(["stop"])
            display.close()


def _take(host: KritaHost, folder: Path, chosen: argparse.Namespace) -> None:
    desk = Desk(host)
    host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
    if chosen.theme:
        kind = "QtWidgets.QAction if hasattr(QtWidgets, 'QAction') else QtGui.QAction"
        actions = f"app.activeWindow().qwindow().findChildren({kind})"
        host.run(f"[each for each in {actions} if each.text() == {chosen.theme!r}][0].trigger()")
    host.run(PRELUDE)
    document = desk.open(REPOSITORY / "engine/assets/demo.jpg")
    desk.select(document, 100, 100, 60, 60)
    desk.choose("exemplar", seed=7, variants=2)
    desk.repaint(300)
    for language in chosen.languages:
        host.run(f"made = speaking({language!r}, {WIDTH}, {HEIGHT})\nNone")
        shots = []
        for name, code in STATES.items():
            host.run(code + "\nNone")
            host.wait("not made.body.branches._timer.isActive() and not flow.has_steps")
            for place, text in host.run("cut(made)"):
                print(f"{language}, {name}, {place}: {text}")
            shots.append(folder / f"{name}.png")
            host.run(f"made.grab().save({str(shots[-1])!r})")
        print(*host.run("unnamed(made)"), sep="\n", end="")
        host.run("made.close()\nmade.deleteLater()\nwords.choose('en')\nNone")
        pictures = [Image.open(shot) for shot in shots]
        sheet = Image.new("RGB", (sum(each.width for each in pictures), pictures[0].height))
        for number, picture in enumerate(pictures):
            sheet.paste(picture, (number * picture.width, 0))
        sheet.save(chosen.out / f"{language}.png")
    if chosen.picture:
        picture = Image.new("RGB", (WIDTH * len(PICTURE), PICTURE_HEIGHT))
        for number, (language, state) in enumerate(PICTURE):
            left = WIDTH * list(STATES).index(state)
            part = Image.open(chosen.out / f"{language}.png").crop((left, 0, left + WIDTH, PICTURE_HEIGHT))
            picture.paste(part, (WIDTH * number, 0))
        picture.quantize(128).save(chosen.picture, optimize=True)


if __name__ == "__main__":
    main()
