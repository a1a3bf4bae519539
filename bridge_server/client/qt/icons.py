"""The signs on small buttons, by the names of icon themes. An editor that has icons of its own says so once."""

from __future__ import annotations

from typing import Any, Callable

from .binding import QtGui

SIGNS = {
    "edit-copy": "❐", "edit-delete": "✕", "view-refresh": "⟳", "layer-locked": "●", "layer-unlocked": "○",
}  # fmt: skip
"""Where there is no such icon."""

_find: Callable[[str], Any] = QtGui.QIcon.fromTheme


def choose(find: Callable[[str], Any]) -> None:
    """``find``: returns the icon of that name."""
    global _find
    _find = find


def put(button: Any, name: str) -> None:
    """Shows that icon on a button."""
    icon = _find(name)
    button.setIcon(icon)
    button.setText(SIGNS[name] if icon.isNull() else "")
