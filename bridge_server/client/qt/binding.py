"""The one place that imports Qt: PyQt5 in Krita 5, PyQt6 in Krita 6.

Enums are taken through their scoped names, which PyQt6 demands and PyQt5 lacks: `scoped` finds both.
"""

from __future__ import annotations

import sys
from typing import Any

# An editor has imported its own binding before any plug-in; a second binding in one process would crash.
if "PyQt6.QtCore" in sys.modules or (
    "PyQt5.QtCore" not in sys.modules and __import__("importlib.util").util.find_spec("PyQt6") is not None
):
    from PyQt6 import QtCore, QtGui, QtWidgets
else:
    from PyQt5 import QtCore, QtGui, QtWidgets

__all__ = ["QtCore", "QtGui", "QtWidgets", "scoped"]


def scoped(owner: Any, enum: str, name: str) -> Any:
    """The enum member ``owner.enum.name`` (PyQt6) or ``owner.name`` (PyQt5)."""
    return getattr(getattr(owner, enum, owner), name)
