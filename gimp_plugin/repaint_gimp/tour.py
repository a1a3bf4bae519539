"""The tour's note above the window's pages."""

from __future__ import annotations

from gi.repository import Gtk

from bridge_server.client.editor.labels import BUTTONS
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.tour import Tour
from bridge_server.client.editor.words import tr

from .widgets import GAP, button, note, row


class TourPanel(Gtk.Box):
    """Draws `Tour.shown`."""

    def __init__(self, pump: Pump, tour: Tour) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP, border_width=GAP)
        self.tour = tour
        self.text = note(name="tour")
        self.text.get_style_context().add_class("title")
        self.begin = button("tour_begin", lambda: pump.do("tour", tour.begin))
        self.close_button = button("tour_no", lambda: pump.do("tour", tour.close))
        for widget in (self.text, row(self.begin, self.close_button)):
            widget.show_all()
            self.pack_start(widget, False, False, 0)
        self.set_no_show_all(True)
        tour.listeners.append(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        shown = self.tour.shown()
        self.text.set_text(shown.text)
        self.begin.set_visible(shown.can_begin)
        self.close_button.set_label(tr(BUTTONS[shown.close][0]))
        self.set_visible(shown.visible)
