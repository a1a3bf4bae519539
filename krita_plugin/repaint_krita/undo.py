"""Takes back the plug-in's own newest command by Krita's undo, so that a cancel leaves nothing in the undo history.

Krita's API shows no undo stack, but its undo action is named after the command on top ("Undo Add Layer"), and its
history docker lists them all. Both are compared with what they were just after our command. Should the wrong command
have been undone nonetheless, it is redone at once and the caller undoes his own work in another way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional

from krita import Krita

from .lookup import find_document
from .qt import QtWidgets


@dataclass(frozen=True)
class Top:
    """The top of a document's undo stack: its name in the menu, and its line in the history docker."""

    document: str
    name: str
    line: int


def top(document_id: str) -> Optional[Top]:
    """Of the document with this id; None unless it is the one in front, whose stack Krita's undo action shows."""
    document, action = Krita.instance().activeDocument(), Krita.instance().action("edit_undo")
    if document is None or action is None or document != find_document(document_id):
        return None
    return Top(document_id, str(action.text()), _line())


def take_back(ours: Optional[Top], happened: Callable[[], bool], below: int = 0) -> bool:
    """Undoes the command that was on top when ``ours`` was asked for, if it is so still, and so many ``below`` it that
    are the plug-in's own, too; whether it ``happened``."""
    if ours is None or top(ours.document) != ours:
        return False
    document = find_document(ours.document)
    if document is None:
        return False
    for name in ("edit_undo", "edit_redo"):
        Krita.instance().action(name).trigger()
        document.waitForDone()
        if happened():
            break
    else:
        return False
    for _ in range(below):
        Krita.instance().action("edit_undo").trigger()
        document.waitForDone()
    return True


def _line() -> int:
    """-1 where there is no history docker."""
    window = Krita.instance().activeWindow()
    docker = window.qwindow().findChild(QtWidgets.QDockWidget, "History") if window is not None else None
    views = docker.findChildren(QtWidgets.QAbstractItemView) if docker is not None else []
    return int(views[0].currentIndex().row()) if views else -1
