"""All that the artist sees and clicks, as one widget. It draws what `view` says and calls `Panel`'s methods."""

from __future__ import annotations

from typing import Any, Callable, Dict

from bridge_server.client.editor import fields, sections, sentences, view
from bridge_server.client.editor.box import BoxPage
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.panel import Panel
from bridge_server.client.editor.pump import Pump
from bridge_server.client.editor.removal import RemovalPage
from bridge_server.client.editor.setup import SetUpPage
from bridge_server.client.editor.tour import Tour

from .binding import QtCore, QtWidgets, scoped
from .branches import BranchPanel
from .choosing import ChoosingLine, InLayerBox, SplitView, mark
from .forms import Form
from .gallery import Gallery
from .live import LiveLine
from .map_list import MapsPanel
from .pages import ExtendPage, MaterialPanel, MorePage, PageWidget, TilePage
from .section import Asking, SectionPanel
from .widgets import PageButtons, ProgressBar, button, column, label, named, note, plain, row

TITLE = "RePaint"
LOWEST = 340  # pixels: down to the status line without scrolling; more would push the window beyond small screens


class Body(QtWidgets.QWidget):
    """What an editor puts into a docker or a window of its own; several of them may show the same controller.

    ``in_layer``: a subclass of `choosing.InLayerBox` that knows when the editor saves a document.
    """

    def __init__(
        self, pump: Pump, choices: Choices, set_up: SetUpPage, in_layer: Callable[..., InLayerBox] = InLayerBox
    ) -> None:
        super().__init__()
        self._pump, self._flow, self._page = pump, pump.flow, set_up
        self.fields: Dict[str, Any] = {}
        self.panel = Panel(pump, choices, self.fields, lambda: self.gallery.chosen(), lambda text: self._sure(text))
        self._build(in_layer)
        self.panel.show_choices()
        self.notice.setText(self.panel.notice())
        self.notice.setVisible(bool(self.panel.notice()))
        self._flow.listeners.append(self.refresh)
        self.destroyed.connect(lambda *_: self._forget())
        self.refresh()

    def document_changed(self) -> None:
        """To be called when another document is in front, or none."""
        self.panel.document_changed()
        self.material.look_again()
        self.maps.look_again()
        for page in self.page.values():
            page.refresh()

    def _forget(self) -> None:
        for listeners, mine in (
            (self._flow.listeners, self.refresh),
            (self._page.listeners, self.set_up_panel.refresh),
            (self._page.listeners, self._show_rest),
            (self._page.done, self.guide.offer),
        ):
            if mine in listeners:
                listeners.remove(mine)

    # ---- building ----
    def _build(self, in_layer: Callable[..., InLayerBox]) -> None:
        self.form = Form(fields.COMMON, self.fields)
        self.form.dice.clicked.connect(lambda *_: self.panel.draw_seed())
        self.material = MaterialPanel(self.panel, self._show_fields)
        self.maps = MapsPanel(self.panel)
        self.download = SectionPanel(sections.download(self._pump, self.fields["model"]))
        kinds = {"extend": ExtendPage, "tile": TilePage, "more": MorePage}
        self.page = {page.name: kinds.get(page.name, PageWidget)(page, self.panel) for page in fields.PAGES}
        self.extend_page, self.tile_page, self.more_page = (self.page[name] for name in ("extend", "tile", "more"))
        self.box_page = BoxPage(self._pump)
        self.box = SectionPanel(sections.box(self.box_page, self._pump))
        self.removal = SectionPanel(sections.removal(RemovalPage(self._pump, self._page), self._pump))
        for part in (self.box, self.removal):
            self.more_page.column.insertWidget(self.more_page.column.count() - 1, part)
        self.button = self.page["selection"].button
        self.live = LiveLine(self.panel, self._sure)
        self.pages = named(PageButtons([page.title for page in fields.PAGES]), "pages")
        self.pages.currentChanged.connect(lambda *_: self._show_page())
        self.fields["model"].on_change(self._show_fields)
        self.choosing = ChoosingLine(self.panel)
        self.choosing.changed.connect(self.refresh)
        self.gallery = Gallery(self._pump, self.choosing.shared.entries, self.refresh, self.panel.drop)
        self.branches = BranchPanel(self.panel, self.gallery)
        self.empty = note(sentences.HINT_GALLERY, name="gallery_empty")
        self.rest = QtWidgets.QWidget()
        parts = (
            self.form,
            self.material,
            self.maps,
            self.download,
            self.pages,
            *self.page.values(),
            self.live,
            self._build_progress(),
            self._build_status(),
            self.empty,
            self.choosing,
        )
        layout = column(self.rest, *parts, margin=0)
        layout.addWidget(self.gallery, 1)
        layout.addLayout(self._build_variant())
        self.split_view = SplitView(self.choosing.shared)
        self.in_layer = in_layer(self._pump, self.split_view)
        layout.addWidget(self.split_view)
        layout.addWidget(self.in_layer)
        layout.addWidget(self.branches)
        self.guide = Tour(self.panel, self._pump.repeat)
        self.tour = SectionPanel(sections.tour(self.guide, self._pump), margin=4)
        self._page.done.append(self.guide.offer)
        self.set_up_panel = SectionPanel(sections.set_up(self._page, self._pump, Asking(self)))
        self.set_up_panel.column.addStretch(1)
        self._page.listeners.append(self._show_rest)
        self._show_rest()
        self.inside = QtWidgets.QWidget()
        column(self.inside, self.set_up_panel).addWidget(self.rest, 1)
        self._show_page()
        self.area = QtWidgets.QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setAccessibleName(TITLE)
        self.area.setFrameShape(scoped(QtWidgets.QFrame, "Shape", "NoFrame"))
        self.area.setHorizontalScrollBarPolicy(scoped(QtCore.Qt, "ScrollBarPolicy", "ScrollBarAlwaysOff"))
        self.area.setMinimumHeight(LOWEST)
        self.area.setWidget(self.inside)
        column(self, self.tour, margin=0).addWidget(self.area, 1)  # in sight however the rest is scrolled

    def _show_rest(self) -> None:
        self.rest.setVisible(not self._page.shown().alone)

    def _build_progress(self) -> Any:
        self.bar = named(ProgressBar(), "progress")
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self.keep_button = button("keep", self.panel.keep)
        self.cancel_button = button("cancel", self._pump.cancel)
        return column(None, self.bar, row(self.keep_button, self.cancel_button), margin=0)

    def _build_status(self) -> Any:
        self.warning = label()
        icon = self.style().standardIcon(scoped(QtWidgets.QStyle, "StandardPixmap", "SP_MessageBoxWarning"))
        self.warning.setPixmap(icon.pixmap(16, 16))
        self.warning.setAlignment(scoped(QtCore.Qt, "AlignmentFlag", "AlignTop"))
        self.status = note(name="status")
        self.restart = button("restart", self._pump.restart_engine)
        self.notice = note(name="notice")  # of the file of choices; stays until the next click
        self.full = note(name="history_full")
        line = row(self.warning, self.status, stretch=1)
        return column(None, line, self.restart, self.notice, self.full, margin=0)

    def _build_variant(self) -> Any:
        """What can be done with the chosen variant."""
        self.seed_note = note(name="chosen_seed")
        self.copy = button("copy_seed", self.gallery.copy_seed, icon="edit-copy")
        self.drop = button("drop", self.panel.drop, icon="edit-delete")
        self.compare = button("compare")
        self.compare.pressed.connect(lambda: self.panel.compare(True))
        self.compare.released.connect(lambda: self.panel.compare(False))
        self.apply = button("apply", self.panel.apply)
        self.more = button("more", self.panel.more)
        self.more_like = button("more_like", self.panel.more_like)
        self.favourite, self.split = mark("favourite"), mark("split")
        self.favourite.clicked.connect(lambda *_: self._favour())
        self.split.toggled.connect(lambda *_: self.refresh())
        first = row(self.seed_note, self.favourite, self.split, self.copy, self.drop, stretch=0)
        return column(None, first, row(self.apply, self.compare), row(self.more, self.more_like), margin=0)

    # ---- what the artist does ----
    def _favour(self) -> None:
        self.choosing.shared.favourite(self.gallery.chosen())
        self.refresh()

    def toggle_compare(self) -> None:
        """For a shortcut, of which no letting go is told."""
        self.panel.compare(not self._flow.comparing)

    def _sure(self, question: str) -> bool:
        buttons = QtWidgets.QMessageBox
        yes, no = (scoped(buttons, "StandardButton", name) for name in ("Yes", "No"))
        return bool(buttons.question(self, TITLE, plain(question), yes | no, no) == yes)

    def showEvent(self, event: Any) -> None:
        """The session starts when this is first seen, so that the engine is warm at the first click."""
        super().showEvent(event)
        self._pump.do("look", self._page.look)
        self._pump.connect_once()

    # ---- showing ----
    def _show_page(self) -> None:
        for number, page in enumerate(self.page.values()):
            page.setVisible(number == self.pages.currentIndex())
            page.refresh()
        self.live.setVisible(self.pages.currentIndex() == 0)

    def _show_fields(self) -> None:
        """Those that the chosen model has a use for."""
        shown = self.panel.shown_fields()
        for form in (self.form, self.material.form, self.maps.form, *(page.form for page in self.page.values())):
            form.show_fields(shown)

    def refresh(self) -> None:
        flow = self._flow
        self.fields["model"].fill(view.models(flow))
        self.fields["preset"].fill(view.presets(flow, self.fields["model"].read()))
        self._show_fields()
        self.download.refresh()
        self.material.refresh()
        self.maps.refresh()
        self._show_progress()
        self.status.setText(flow.sentence)
        self.status.setToolTip(plain(flow.sentence))
        self.warning.setVisible(flow.is_error)
        self.restart.setVisible(flow.can_restart)
        if flow.busy:
            self.notice.hide()
        self.gallery.refresh()
        self.empty.setVisible(not flow.runs)
        self.choosing.setVisible(bool(flow.runs))
        self.tour.refresh()
        chosen = self.gallery.chosen()
        self.seed_note.setText(view.seed(chosen))
        self._enable(view.enabled(flow, chosen))
        self.favourite.setChecked(self.choosing.shared.is_favourite(chosen))
        if self.split.isChecked():
            self.split_view.show_chosen(chosen)
        for part in (self.split_view, self.in_layer):
            part.setVisible(self.split.isChecked() and chosen is not None)
        self.in_layer.refresh()
        self.branches.refresh()
        for page in self.page.values():
            page.refresh()
        warning = view.history_warning(flow, self.fields["history_mib"].read())
        self.full.setText(warning)
        self.full.setVisible(bool(warning))

    def _show_progress(self) -> None:
        fraction, text = view.progress(self._flow)
        self.bar.setRange(0, 1000 if fraction >= 0 else 0)
        self.bar.setValue(round(1000 * max(0.0, fraction)))
        self.bar.setFormat(text)

    def _enable(self, enabled: Dict[str, bool]) -> None:
        for name, widget in (
            ("start", self.button),
            ("start", self.extend_page.button),
            ("start", self.tile_page.button),
            ("cancel", self.cancel_button),
            ("keep", self.keep_button),
            ("copy_seed", self.copy),
            ("favourite", self.favourite),
            ("split", self.split),
            ("compare", self.compare),
            ("apply", self.apply),
            ("drop", self.drop),
            ("more", self.more),
            ("more_like", self.more_like),
            ("branch", self.branches.go),
            ("resume", self.branches.resume),
        ):
            widget.setEnabled(enabled[name])
