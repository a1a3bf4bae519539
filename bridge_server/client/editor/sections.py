"""Sections of a window that are alike in all editors: the pieces they are made of, in their order, what a click on each
does, and how each looks now. An editor has one widget for each kind of piece, and draws the looks.

Kinds: "note" is text, "title" text that stands out, "button", "main" the one button, "toggle" a button that stays
pressed, "flag" a check box, "bar" one of progress, "line" a line of text to type, "log" much text that scrolls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Protocol, Sequence, Union

from .box import BOX_COMMAND, BoxPage
from .labels import ACCEPT, CHOOSE_BOX, CHOOSE_ENGINE, CHOOSE_SOURCE, WITH_HISTORY, WITH_MODELS
from .pump import Pump
from .removal import RemovalPage
from .setup import SetUpPage
from .tour import Tour


class Piece(NamedTuple):
    """``name``: of its widget; in `labels` a button's text and every tip. ``do``: called by a click, of a toggle and a
    flag with whether it is on. ``text``: of a flag, and what stands in an empty line."""

    kind: str
    name: str
    do: Callable[..., Any] = lambda *_: None
    text: str = ""


class Look(NamedTuple):
    """``text``: of a note, a bar or a log. ``fraction``: of a bar, 0…1, negative while it is not known. ``label``: by
    which name in `labels.BUTTONS` a button goes now, if not by its own."""

    visible: bool = True
    text: str = ""
    enabled: bool = True
    on: bool = False
    fraction: float = 0.0
    label: str = ""


class Section(NamedTuple):
    """``pieces``: several in a list stand side by side. ``looks``: by name; of the section itself by "". ``listeners``:
    takes what is to be called after a change. ``typed``: the editor puts in, for each line, what reads it."""

    pieces: Sequence[Union[Piece, List[Piece]]]
    looks: Callable[[], Dict[str, Look]]
    listeners: List[Callable[[], None]]
    typed: Dict[str, Callable[[], str]]


class Asking(Protocol):
    """The questions of an editor's own kind. Both call ``then`` unless the artist declines."""

    def folder(self, title: str, then: Callable[[Path], Any]) -> None:
        """Has a folder chosen."""

    def line(self, title: str, question: str, then: Callable[[str], Any]) -> None:
        """Has a line typed; ``title``: a name in `labels.BUTTONS`."""


def text(words: str) -> Look:
    """How a note looks, which is there only with something to say."""
    return Look(bool(words), words)


def set_up(page: SetUpPage, pump: Pump, asking: Asking) -> Section:
    """While there is no working engine, or an old one: the set-up, from the plan to its end."""

    def do(work: Callable[..., Any]) -> Callable[..., None]:
        return lambda *given: pump.do("set-up", lambda: work(*given))

    def looks() -> Dict[str, Look]:
        shown = page.shown()
        free = Look(not shown.runs)
        return {
            "": Look(shown.visible),
            "set_up_about": text(shown.text),
            "set_up": Look(not shown.runs, enabled=shown.can_start, label=shown.button),
            "set_up_progress": Look(shown.runs, shown.progress, fraction=shown.fraction),
            "set_up_steps": text(shown.steps),
            "stop_set_up": Look(shown.runs, enabled=shown.can_stop),
            "set_up_sentence": text(shown.sentence),
            "use_engine": free,
            "use_box": free,
            "from_folder": free,
            "show_log": Look(shown.has_log, on=page.wants_log),
            "set_up_log": text(shown.log),
        }

    pieces = (
        Piece("note", "set_up_about"),
        Piece("main", "set_up", do(page.start)),
        Piece("bar", "set_up_progress"),
        Piece("note", "set_up_steps"),
        Piece("button", "stop_set_up", do(page.cancel)),
        Piece("note", "set_up_sentence"),
        Piece("button", "use_engine", lambda: asking.folder(CHOOSE_ENGINE, do(page.use))),
        Piece("button", "use_box", lambda: asking.line("use_box", CHOOSE_BOX, do(page.use_box))),
        Piece("button", "from_folder", lambda: asking.folder(CHOOSE_SOURCE, do(page.take_from))),
        Piece("toggle", "show_log", do(page.show_log)),
        Piece("log", "set_up_log"),
    )
    return Section(pieces, looks, page.listeners, {})


def removal(page: RemovalPage, pump: Pump) -> Section:
    """Taking RePaint off this computer."""

    def looks() -> Dict[str, Look]:
        shown = page.shown()
        asks = Look(shown.asks)
        return {
            "removal": text(shown.text),
            "with_models": Look(shown.asks, on=shown.models),
            "with_history": Look(shown.asks, on=shown.history),
            "remove_now": asks,
            "remove_not": asks,
        }

    pieces = (
        Piece("button", "remove", lambda: pump.do("removal", page.ask)),
        Piece("note", "removal"),
        Piece("flag", "with_models", lambda on: page.include(on, page.shown().history), WITH_MODELS),
        Piece("flag", "with_history", lambda on: page.include(page.shown().models, on), WITH_HISTORY),
        Piece("button", "remove_now", lambda: pump.do("removal", page.remove)),
        Piece("button", "remove_not", lambda: pump.do("removal", page.leave)),
    )
    return Section(pieces, looks, page.listeners, {})


def box(page: BoxPage, pump: Pump) -> Section:
    """Another machine that paints."""
    typed: Dict[str, Callable[[], str]] = {}
    pieces = (
        Piece("line", "box_line", text=BOX_COMMAND),
        Piece("button", "box_connect", lambda: pump.do("box", lambda: page.connect(typed["box_line"]()))),
        Piece("button", "box_disconnect", lambda: pump.do("box", page.disconnect)),
        Piece("note", "box"),
    )
    return Section(pieces, lambda: {"box": text(page.text)}, page.listeners, typed)


def download(pump: Pump, model: Any) -> Section:
    """A model that is not installed: its licence and source, the download, and how it goes. Nothing is fetched unasked.
    ``model``: the widget in which it is chosen."""
    flow = pump.flow
    listeners: List[Callable[[], None]] = []

    def do(name: str, work: Callable[..., Any]) -> Callable[..., None]:
        return lambda *given: pump.do(name, lambda: work(model.read(), *given))

    def looks() -> Dict[str, Look]:
        shown = flow.shown_download(model.read())
        return {
            "": Look(shown.visible),
            "download_about": Look(text=shown.text),
            "accept": Look(shown.asks, on=shown.accepted),
            "download": Look(shown.asks, enabled=shown.can_start),
            "download_progress": Look(shown.runs, shown.progress, fraction=shown.fraction),
            "stop_download": Look(shown.runs, enabled=shown.can_stop),
            "download_sentence": text(shown.sentence),
        }

    pieces = (
        Piece("note", "download_about"),
        Piece("flag", "accept", do("licence", flow.accept_licence), ACCEPT),
        Piece("button", "download", do("download", flow.download)),
        Piece("bar", "download_progress"),
        Piece("button", "stop_download", lambda: pump.do("stop download", flow.stop_download)),
        Piece("note", "download_sentence"),
    )
    model.on_change(lambda: [refresh() for refresh in listeners])
    return Section(pieces, looks, listeners, {})


def tour(page: Tour, pump: Pump) -> Section:
    """The tour's note above the pages."""

    def looks() -> Dict[str, Look]:
        shown = page.shown()
        return {
            "": Look(shown.visible),
            "tour": Look(text=shown.text),
            "tour_begin": Look(shown.can_begin),
            "tour_no": Look(label=shown.close),
        }

    buttons = [
        Piece("button", "tour_begin", lambda: pump.do("tour", page.begin)),
        Piece("button", "tour_no", lambda: pump.do("tour", page.close)),
    ]
    return Section((Piece("title", "tour"), buttons), looks, page.listeners, {})
