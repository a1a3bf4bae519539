"""Takes back the plug-in's own newest command by Krita's undo, so that a cancel leaves nothing in the undo history.

Krita's API shows no undo stack, but its undo action is named after the command on top ("Undo Add Layer"), and its
history docker lists them all. Both are compared with what they were just after our command. Should the wrong command
have been undone nonetheless, it is redone at once and the caller undoes his own work in another way.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterator, List, Optional, Tuple

from krita import Krita

from bridge_server.client.qt.binding import QtWidgets

from .lookup import find_document


@dataclass(frozen=True)
class Top:
    """The top of a document's undo stack: its name in the menu, and its line in the history docker."""

    document: str
    name: str
    line: int

    def below(self, steps: int) -> Top:
        """The same kind of command so many steps before it."""
        return replace(self, line=self.line - steps)


def top(document_id: str) -> Optional[Top]:
    """Top of the undo stack of the document with this id; None unless it is in front, as Krita's undo action shows."""
    document, action = Krita.instance().activeDocument(), Krita.instance().action("edit_undo")
    if document is None or action is None or document != find_document(document_id):
        return None
    return Top(document_id, str(action.text()), _line())


now = top


def trigger(name: str, document_id: str) -> bool:
    """Krita's "edit_undo" or "edit_redo" in that document, unheard; False if there is nothing to be done or another
    document is in front."""
    document, action = find_document(document_id), Krita.instance().action(name)
    if document is None or document != Krita.instance().activeDocument() or not action.isEnabled():
        return False
    with unheard():
        action.trigger()
        document.waitForDone()
    return True


def take_back(ours: Optional[Top], happened: Callable[[], bool], below: int = 0) -> bool:
    """Undoes the command that was on top when ``ours`` was asked for, if it is so still, and so many ``below`` it that
    are the plug-in's own, too; whether it ``happened``."""
    if ours is None or top(ours.document) != ours:
        return False
    document = find_document(ours.document)
    if document is None:
        return False
    for name in ("edit_undo", "edit_redo"):
        with unheard():
            Krita.instance().action(name).trigger()
            document.waitForDone()
        if happened():
            break
    else:
        return False
    for _ in range(below):
        trigger("edit_undo", ours.document)
    return True


log = logging.getLogger("repaint_krita")
Listener = Tuple[Callable[[], bool], Callable[[], None]]
_heard: List[Any] = []  # actions
_listeners: List[Listener] = []
_unheard = 0


def listen(undone: Callable[[], bool], redone: Callable[[], None]) -> None:
    """Has these called after every undo and redo of the artist's, until ``undone`` says False."""
    for name, work in (("edit_undo", _on_undo), ("edit_redo", _on_redo)):
        action = Krita.instance().action(name)
        if action is not None and all(action is not each for each in _heard):  # every window has its own
            _heard.append(action)
            action.triggered.connect(lambda *_, work=work: work())
    _listeners.append((undone, redone))


@contextmanager
def unheard() -> Iterator[None]:
    """What is undone and redone meanwhile is the plug-in's own affair."""
    global _unheard
    _unheard += 1
    try:
        yield
    finally:
        _unheard -= 1


def _on_undo() -> None:
    def work() -> None:
        _listeners[:] = [each for each in _listeners if each[0]()]

    _hear(work)


def _on_redo() -> None:
    def work() -> None:
        for _, redone in list(_listeners):
            redone()

    _hear(work)


def _hear(work: Callable[[], None]) -> None:
    document = Krita.instance().activeDocument()
    if _unheard or document is None or not _listeners:
        return
    try:
        document.waitForDone()
        work()
    except Exception:  # Qt would end Krita
        log.exception("after an undo")


def _line() -> int:
    """-1 where there is no history docker."""
    window = Krita.instance().activeWindow()
    docker = window.qwindow().findChild(QtWidgets.QDockWidget, "History") if window is not None else None
    views = docker.findChildren(QtWidgets.QAbstractItemView) if docker is not None else []
    return int(views[0].currentIndex().row()) if views else -1
