"""The docker "RePaint": what the artist sees and clicks. It shows `Flow`'s attributes and calls `Pump`'s methods."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from krita import DockWidget, Krita

from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.machine import CANCELLING, READING, RUNNING
from bridge_server.client.editor.model import MAX_SEED, Area, Extend, Settings
from bridge_server.client.editor.texts import time_left
from bridge_server.client.editor.words import tr

from .branches import BranchPanel
from .downloads import DownloadPanel
from .eventloop import Pump
from .forms import CommonForm
from .gallery import Gallery
from .pages import ExtendPage, MorePage, SelectionPage, TilePage
from .qt import QtCore, QtWidgets, scoped
from .widgets import PageButtons, ProgressBar, button, named, note, row, tool

TITLE = "RePaint"
LOWEST = 340  # pixels: down to the status line without scrolling; more would push the window beyond small screens
FULL = "The history takes {used} of {limit} MiB: raise the limit or delete pictures on the page “More”."


class RePaintDocker(DockWidget):
    """One per Krita window; all of them show the same controller."""

    pump: Optional[Pump] = None  # set by the package once; Krita makes the dockers without arguments
    choices: Optional[Choices] = None

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle(TITLE)
        assert self.pump is not None
        assert self.choices is not None
        self._pump: Pump = self.pump
        self._flow = self._pump.flow
        self._choices: Choices = self.choices
        self._document = ("", "")  # key and path of the one in front
        self._build()
        self._show_choices()
        if self._choices.notice:
            self.notice.setText(tr(self._choices.notice).format(**self._choices.notice_fields))
        self.notice.setVisible(bool(self._choices.notice))
        self._flow.listeners.append(self.refresh)
        self.destroyed.connect(lambda *_: self._forget())
        self.refresh()

    def canvasChanged(self, canvas: Any) -> None:
        """Another document may be in front: its own choices, and its pictures of earlier times."""
        self._pump.do("document", self._changed_document)
        if canvas is not None and self._choices.first_time:
            self._choices.first_time = False
            self._choices.keep({})
            QtCore.QTimer.singleShot(0, self._show_first)

    def _show_first(self) -> None:
        """Once, to whoever has just installed the plug-in: Krita 5.2 and later hide a docker that is new to them."""
        self.show()
        self.raise_()

    def _changed_document(self) -> None:
        where = self._flow.host.identity()
        document = (where[1], where[2]) if where is not None else ("", "")
        if document != self._document:
            self._document = document
            if not self._flow.busy and any(name and name in self._choices.documents for name in document):
                self._show_choices()
        self._flow.document_changed()
        self.extend_page.refresh()

    def _forget(self) -> None:
        if self.refresh in self._flow.listeners:
            self._flow.listeners.remove(self.refresh)

    # ---- building ----
    def _build(self) -> None:
        self.body = QtWidgets.QWidget()
        layout = QtWidgets.QVBoxLayout(self.body)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(4)
        self.form = CommonForm(self._flow)
        self.model, self.preset, self.variants = self.form.model, self.form.preset, self.form.variants
        self.seed, self.lock, self.dice = self.form.seed, self.form.lock, self.form.dice
        self.download = DownloadPanel(self._pump, self.model)
        self.selection_page = SelectionPage(self.repaint)
        self.source, self.button = self.selection_page.source, self.selection_page.button
        self.extend_page = ExtendPage(self._flow, self.repaint)
        self.tile_page = TilePage(self._flow, self.repaint)
        self.more_page = MorePage(self._flow, self.form, self._delete)
        self.pages = named(PageButtons(("Repaint", "Extend", "Tile", "More")), "pages")
        self._pages: Tuple[Any, ...] = (self.selection_page, self.extend_page, self.tile_page, self.more_page)
        self.pages.currentChanged.connect(lambda *_: self._show_page())
        self.preset.currentIndexChanged.connect(lambda *_: self.more_page.show_schedule())
        self.model.currentIndexChanged.connect(lambda *_: self._show_abilities())
        self.model.currentIndexChanged.connect(lambda *_: self.more_page.show_memory())
        self.variants.valueChanged.connect(lambda *_: self.more_page.show_memory())
        layout.addWidget(self.form)
        layout.addWidget(self.download)
        layout.addWidget(self.pages)
        for page in self._pages:
            layout.addWidget(page)
        layout.addLayout(self._build_progress())
        layout.addLayout(self._build_status())
        self.gallery = Gallery(self._pump, self.refresh, self._drop)
        layout.addWidget(self.gallery, 1)
        layout.addLayout(self._build_variant())
        self.branches = BranchPanel(self._pump, self.gallery)
        layout.addWidget(self.branches)
        self._show_page()
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(scoped(QtWidgets.QFrame, "Shape", "NoFrame"))
        area.setHorizontalScrollBarPolicy(scoped(QtCore.Qt, "ScrollBarPolicy", "ScrollBarAlwaysOff"))
        area.setMinimumHeight(LOWEST)
        area.setWidget(self.body)
        self.setWidget(area)

    def _build_progress(self) -> Any:
        self.bar = named(ProgressBar(), "progress")
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(True)
        self.keep_button = button(
            "keep_button", "&Keep", "Stop now and keep the pictures as they are; they can be continued later",
            lambda: self._pump.do("keep", self._flow.keep),
        )  # fmt: skip
        self.cancel_button = button("cancel_button", "&Cancel", "Stop and remove the preview layer", self._pump.cancel)
        buttons = row(self.keep_button, self.cancel_button)
        buttons.setStretch(0, 1)
        buttons.setStretch(1, 1)
        both = QtWidgets.QVBoxLayout()
        both.setSpacing(4)
        both.addWidget(self.bar)
        both.addLayout(buttons)
        return both

    def _build_status(self) -> Any:
        self.warning = QtWidgets.QLabel()
        icon = self.style().standardIcon(scoped(QtWidgets.QStyle, "StandardPixmap", "SP_MessageBoxWarning"))
        self.warning.setPixmap(icon.pixmap(16, 16))
        self.warning.setAlignment(scoped(QtCore.Qt, "AlignmentFlag", "AlignTop"))
        self.status = note(name="status")
        self.restart = button(
            "restart", "Restart the &engine", "Start the engine process again", self._pump.restart_engine
        )
        both = QtWidgets.QVBoxLayout()
        both.addLayout(row(self.warning, self.status, stretch=1))
        both.addWidget(self.restart)
        self.notice = note(name="notice")  # of the settings file; stays until the next click
        self.full = note(name="history_full")
        both.addWidget(self.notice)
        both.addWidget(self.full)
        return both

    def _build_variant(self) -> Any:
        """What can be done with the chosen variant."""
        icon = Krita.instance().icon
        self.seed_note = note(name="chosen_seed")
        self.copy = tool("copy_seed", icon("edit-copy"), "Copy the seed", self.gallery.copy_seed)
        self.compare = button("compare", "Com&pare", "While pressed, the original shows (pictures: hold Space)")
        self.compare.pressed.connect(lambda: self._pump.do("compare", lambda: self._flow.compare(True)))
        self.compare.released.connect(lambda: self._pump.do("compare", lambda: self._flow.compare(False)))
        self.apply = button("apply", "&Apply", "Keep this one in its layer; the next gets a new layer", self._apply)
        self.more = button("more", "More &variants", "Paint more with the next seeds", self._more)
        self.more_like = button("more_like", "More &like this", "Paint relatives of this one", self._more_like)
        both = QtWidgets.QVBoxLayout()
        both.setSpacing(4)
        self.drop = tool("drop", icon("edit-delete"), "Delete this picture, also on disk", self._drop)
        both.addLayout(row(self.seed_note, self.copy, self.drop, stretch=0))
        for left, right in ((self.apply, self.compare), (self.more, self.more_like)):
            pair = row(left, right)
            pair.setStretch(0, 1)
            pair.setStretch(1, 1)
            both.addLayout(pair)
        return both

    def _show_page(self) -> None:
        for number, page in enumerate(self._pages):
            page.setVisible(number == self.pages.currentIndex())
        self.tile_page.refresh()

    def _show_abilities(self) -> None:
        """What the chosen model can do."""
        self.extend_page.show_learning(self.form.learns)
        self.more_page.show_learning(self.form.learns)

    # ---- choices ----
    def _parts(self) -> List[Any]:
        return [self.form, self.selection_page, self.extend_page, self.tile_page, self.more_page]

    def _show_choices(self) -> None:
        values = self._choices.of(*self._document)
        for part in self._parts():
            part.show_choices(values)

    def settings(self, area: Area) -> Settings:
        """What stands in the docker, remembered for the user and this document."""
        values: Dict[str, Any] = {}
        for part in self._parts():
            values.update(part.choices())
        self._choices.keep(values, *self._document)
        self.notice.hide()
        options = {**self.form.words(), **self.more_page.options()}
        if isinstance(area, Extend):
            options.update(self.extend_page.options())
        return Settings(
            values["model"],
            values["preset"],
            min(values["seed"], MAX_SEED - values["variants"] + 1),
            values["variants"],
            values["source"],
            options,
            values["feather"],
            area,
        )

    # ---- commands ----
    def repaint(self, area: Area) -> None:
        if not self._flow.busy:
            self._pump.start(self.settings(area))

    def repaint_selection(self) -> None:
        self.repaint(None)

    def toggle_compare(self) -> None:
        """For a shortcut: Krita's actions know no letting go."""
        self._pump.do("compare", lambda: self._flow.compare(not self._flow.comparing))

    def _apply(self) -> None:
        if self.gallery.currentItem() is not None:
            self.gallery.show_item(self.gallery.currentItem(), apply=True)

    def _more(self) -> None:
        chosen = self.gallery.chosen()
        if chosen is not None:
            run, number = chosen[0], self.variants.value()
            self._pump.do("more", lambda: self._flow.more_variants(run, number))

    def _more_like(self) -> None:
        chosen = self.gallery.chosen()
        if chosen is not None:
            (run, variant), number = chosen, self.variants.value()
            self._pump.do("more like", lambda: self._flow.more_like(run, variant.index, number))

    def _drop(self) -> None:
        """Deletes the chosen picture, after a question."""
        chosen = self.gallery.chosen()
        if chosen is None or not chosen[1].finished or chosen[0] is self._flow.run:
            return
        run, variant = chosen
        if self._sure(tr("Delete the picture with the seed {seed}?").format(seed=variant.seed)):
            self._pump.do("drop", lambda: self._flow.drop(run, variant.index))

    def _sure(self, question: str) -> bool:
        """Asks first: nothing finished is lost by a slip."""
        buttons = QtWidgets.QMessageBox
        yes, no = (scoped(buttons, "StandardButton", name) for name in ("Yes", "No"))
        return bool(buttons.question(self, TITLE, question, yes | no, no) == yes)

    def _delete(self, everything: bool) -> None:
        if not self._sure(
            tr("Delete all pictures of all documents?") if everything else tr("Delete all pictures of this document?")
        ):
            return
        if everything:
            self._pump.do("forget", self._flow.forget_all)
            return
        self._pump.do("forget", self._flow.forget_document)

    def showEvent(self, event: Any) -> None:
        """The session starts when the docker is first seen, so that the engine is warm at the first click."""
        super().showEvent(event)
        self._pump.connect_once()

    # ---- showing ----
    def refresh(self) -> None:
        flow = self._flow
        self.form.refresh()
        self._show_abilities()
        self.download.refresh()
        busy = flow.busy
        for start in (self.button, self.extend_page.button, self.tile_page.button):
            start.setEnabled(not busy)
        self.cancel_button.setEnabled(busy and flow.phase != CANCELLING)
        self.keep_button.setEnabled(flow.phase == RUNNING and not flow.keeping)
        fraction = flow.fraction
        self.bar.setRange(0, 0 if flow.phase == READING else 1000)
        self.bar.setValue(round(1000 * fraction) if busy else 0)
        left = time_left(flow.seconds_left)
        self.bar.setFormat("{:.0f} %{}".format(100 * fraction, " · " + left if left else "") if busy else "")
        self.status.setText(flow.sentence)
        self.status.setToolTip(flow.sentence)
        self.warning.setVisible(flow.is_error)
        self.restart.setVisible(flow.can_restart)
        self.gallery.refresh()
        self._show_variant()
        self.branches.refresh()
        self.more_page.refresh()
        self.tile_page.refresh()
        self.extend_page.refresh()
        self._warn_of_history()

    def _show_variant(self) -> None:
        chosen = self.gallery.chosen()
        self.seed_note.setText(tr("Seed {seed}").format(seed=chosen[1].seed) if chosen is not None else "")
        self.copy.setEnabled(chosen is not None)
        self.compare.setEnabled(chosen is not None or self._flow.busy)
        free = chosen is not None and not self._flow.busy
        self.apply.setEnabled(free)
        self.drop.setEnabled(chosen is not None and chosen[1].finished and chosen[0] is not self._flow.run)
        self.more.setEnabled(free and chosen is not None and chosen[0].capture is not None)
        self.more_like.setEnabled(free and chosen is not None and bool(chosen[1].steps))

    def _warn_of_history(self) -> None:
        """Nothing is deleted by itself, so it has to be said when there is much."""
        used, limit = self._flow.library.bytes / (1 << 20), self.more_page.limit.value()
        self.full.setVisible(used > limit)
        if used > limit:
            self.full.setText(tr(FULL).format(used=f"{used:.0f}", limit=limit))
