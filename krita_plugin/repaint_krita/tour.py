"""The tour's note above the docker's pages."""

from __future__ import annotations

from bridge_server.client.editor.labels import BUTTONS
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.tour import Tour
from bridge_server.client.editor.words import tr

from .qt import QtWidgets
from .widgets import button, column, note, row


class TourPanel(QtWidgets.QWidget):
    """Draws `Tour.shown`."""

    def __init__(self, pump: Pump, tour: Tour) -> None:
        super().__init__()
        self.tour = tour
        self.text = note(name="tour")
        font = self.text.font()
        font.setBold(True)
        self.text.setFont(font)
        self.begin = button("tour_begin", lambda: pump.do("tour", tour.begin))
        self.close_button = button("tour_no", lambda: pump.do("tour", tour.close))
        column(self, self.text, row(self.begin, self.close_button))
        tour.listeners.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        shown = self.tour.shown()
        self.text.setText(shown.text)
        self.begin.setVisible(shown.can_begin)
        self.close_button.setText(tr(BUTTONS[shown.close][0]))
        self.setVisible(shown.visible)
