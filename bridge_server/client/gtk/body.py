"""All that the artist sees and clicks, as one widget. It draws what `view` says and calls `Panel`'s methods."""

from __future__ import annotations

from typing import Any, Callable, Dict, Sequence

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gtk  # noqa: E402

from bridge_server.client.editor import fields, sections, sentences, view  # noqa: E402
from bridge_server.client.editor.box import BoxPage  # noqa: E402
from bridge_server.client.editor.choices import Choices  # noqa: E402
from bridge_server.client.editor.panel import Panel  # noqa: E402
from bridge_server.client.editor.pump import Pump  # noqa: E402
from bridge_server.client.editor.removal import RemovalPage  # noqa: E402
from bridge_server.client.editor.setup import SetUpPage  # noqa: E402
from bridge_server.client.editor.tour import Tour  # noqa: E402
from bridge_server.client.editor.words import tr  # noqa: E402

from .branches import BranchPanel  # noqa: E402
from .choosing import ChoosingLine, InLayerBox, Marks, SplitView  # noqa: E402
from .forms import Form  # noqa: E402
from .gallery import THUMBNAIL, Gallery  # noqa: E402
from .live import LiveLine  # noqa: E402
from .map_list import MapsPanel  # noqa: E402
from .pages import ExtendPage, MaterialPanel, MorePage, PageWidget, TilePage  # noqa: E402
from .section import Asking, SectionPanel  # noqa: E402
from .widgets import GAP, Tabs, button, column, named, note, row  # noqa: E402

LEFT = 430  # pixels of its width


class Body(Gtk.Box):
    """What an editor puts into a window; several of them may show the same controller.

    ``own``: fields of the editor's own, which stand first; their widgets are in `own` by name.
    ``in_layer``: a subclass of `choosing.InLayerBox` that knows when the editor saves a document.
    """

    def __init__(
        self,
        pump: Pump,
        choices: Choices,
        set_up: SetUpPage,
        own: Sequence[fields.Field] = (),
        in_layer: Callable[..., InLayerBox] = InLayerBox,
    ) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        self._pump, self._flow, self._set_up = pump, pump.flow, set_up
        self.fields: Dict[str, Any] = {}
        self.panel = Panel(pump, choices, self.fields, lambda: self.gallery.chosen(), lambda text: self._sure(text))
        self._build(own, in_layer)
        self.panel.show_choices()
        self.notice.set_text(self.panel.notice())
        self.notice.set_visible(bool(self.panel.notice()))
        self.connect("map", lambda *_: self._show_page())
        self.connect("destroy", lambda *_: self._forget())
        self._flow.listeners.append(self.refresh)

    def _forget(self) -> None:
        for listeners, mine in (
            (self._flow.listeners, self.refresh),
            (self._set_up.listeners, self.set_up_panel.refresh),
            (self._set_up.listeners, self._show_rest),
            (self._set_up.done, self.guide.offer),
        ):
            if mine in listeners:
                listeners.remove(mine)

    # ---- building ----
    def _build(self, own: Sequence[fields.Field], in_layer: Callable[..., InLayerBox]) -> None:
        self.form = Form((*own, *fields.COMMON), self.fields)
        self.own = {each.name: self.fields.pop(each.name) for each in own}
        self.form.dice.connect("clicked", lambda *_: self.panel.draw_seed())
        self.material = MaterialPanel(self.panel, self._show_fields)
        self.maps = MapsPanel(self.panel)
        self.download = SectionPanel(sections.download(self._pump, self.fields["model"]))
        kinds = {"extend": ExtendPage, "tile": TilePage, "more": MorePage}
        self.page = {page.name: kinds.get(page.name, PageWidget)(page, self.panel) for page in fields.PAGES}
        self.selection_page, self.extend_page, self.tile_page, self.more_page = self.page.values()
        self.box_page = BoxPage(self._pump)
        self.box = SectionPanel(sections.box(self.box_page, self._pump))
        self.removal = SectionPanel(sections.removal(RemovalPage(self._pump, self._set_up), self._pump))
        for part in (self.box, self.removal):
            self.more_page.pack_start(part, False, False, 0)
        self.live = LiveLine(self.panel, self._sure)
        self.selection_page.pack_start(self.live, False, False, 0)
        self.pages = Gtk.Stack(vhomogeneous=False, hhomogeneous=True)
        for page in fields.PAGES:
            self.pages.add_titled(self.page[page.name], page.name, tr(page.title))
        self.choosing = ChoosingLine(self.panel, self.refresh)
        self.gallery = Gallery(self._pump, self.choosing.shared.entries, self.refresh, self.panel.drop)
        grid = _scrolled(self.gallery)
        grid.set_shadow_type(Gtk.ShadowType.IN)
        grid.set_min_content_height(THUMBNAIL + 44)
        self.empty = note(sentences.HINT_GALLERY, name="gallery_empty")
        self.branches = BranchPanel(self.panel, self.gallery)
        left, right = column(), column()
        left.pack_start(
            _scrolled(column(self.form, self.material, self.maps, self.download, Tabs(self.pages), self.pages)),
            True,
            True,
            0,
        )
        starts = [page.button for page in self.page.values() if page.button is not None]
        left.pack_end(column(*starts, self._build_progress(), self._build_status()), False, False, 0)
        right.pack_start(self.empty, False, False, 0)
        right.pack_start(self.choosing, False, False, 0)
        right.pack_start(grid, True, True, 0)
        self.split_view = SplitView(self.choosing.shared)
        self.in_layer = in_layer(self._pump, self.split_view)
        shown = column(self._build_variant(), self.split_view, self.in_layer, self.branches)
        right.pack_end(shown, False, False, 0)
        self.halves = Gtk.Paned(position=LEFT, wide_handle=True)
        for side, half in ((self.halves.pack1, left), (self.halves.pack2, right)):
            half.set_border_width(GAP)
            side(half, True, False)
        self.halves.show_all()
        self.guide = Tour(self.panel, self._pump.repeat)
        self.tour = SectionPanel(sections.tour(self.guide, self._pump), border=GAP)
        self._set_up.done.append(self.guide.offer)
        self.set_up_panel = SectionPanel(sections.set_up(self._set_up, self._pump, Asking(self)), border=GAP)
        self._set_up.listeners.append(self._show_rest)
        self._show_rest()
        for part in (self.set_up_panel, self.tour):
            self.pack_start(part, False, False, 0)
        self.pack_start(self.halves, True, True, 0)
        self.show()
        self.pages.connect("notify::visible-child", lambda *_: self._show_page())
        self.fields["model"].on_change(self._show_fields)
        self._show_page()
        for part in (self.choosing, self.split_view):
            part.show_all()
        for hidden in (
            self.warning, self.restart, self.notice, self.full, self.empty, self.choosing, self.split_view,
            self.in_layer,
        ):  # fmt: skip
            hidden.set_no_show_all(True)
            hidden.hide()

    def _show_rest(self) -> None:
        self.halves.set_visible(not self._set_up.shown().alone)

    def _build_progress(self) -> Any:
        self.bar = named(Gtk.ProgressBar(show_text=True), "progress")
        self.keep_button = button("keep", self.panel.keep)
        self.cancel_button = button("cancel", self._pump.cancel)
        return column(self.bar, row(self.keep_button, self.cancel_button))

    def _build_status(self) -> Any:
        self.warning = Gtk.Image.new_from_icon_name("dialog-warning-symbolic", Gtk.IconSize.MENU)
        self.warning.set_valign(Gtk.Align.START)
        self.status = note(name="status")
        self.restart = button("restart", self._pump.restart_engine)
        self.notice = note(name="notice")  # of the file of choices; stays until the next click
        self.full = note(name="history_full")
        return column(row(self.warning, self.status, wide=1), self.restart, self.notice, self.full)

    def _build_variant(self) -> Any:
        """What can be done with the chosen variant."""
        self.seed_note = note(name="chosen_seed")
        self.copy = button("copy_seed", self.gallery.copy_seed, icon="edit-copy-symbolic")
        self.drop = button("drop", self.panel.drop, icon="edit-delete-symbolic")
        self.marks = Marks(self._favour, self.refresh)
        self.compare = button("compare")
        self.compare.connect("pressed", lambda *_: self.panel.compare(True))
        self.compare.connect("released", lambda *_: self.panel.compare(False))
        self.apply = button("apply", self.panel.apply)
        self.more = button("more", self.panel.more)
        self.more_like = button("more_like", self.panel.more_like)
        return column(
            row(self.seed_note, self.marks.favourite, self.marks.split, self.copy, self.drop, wide=0),
            row(self.apply, self.compare),
            row(self.more, self.more_like),
        )

    def _favour(self) -> None:
        self.choosing.shared.favourite(self.gallery.chosen())
        self.refresh()

    def _show_fields(self) -> None:
        """Those that the chosen model has a use for."""
        shown = self.panel.shown_fields()
        for form in (self.form, self.material.form, self.maps.form, *(page.form for page in self.page.values())):
            form.show_fields(shown)

    # ---- what happened in the editor ----
    def look(self) -> None:
        """To be called when it is about to be seen: looks whether there is an engine, and connects to the bridge."""
        self._pump.do("look", self._set_up.look)
        self._pump.connect_once()
        self.document_changed()
        self.refresh()

    def document_changed(self) -> None:
        """To be called when another document is in front, or none."""
        self.panel.document_changed()
        self.extend_page.refresh()

    def look_again(self) -> None:
        """To be called when the artist comes back to it: layers, marks and the selection may be others."""
        self.extend_page.refresh()
        self.material.look_again()
        self.maps.look_again()
        self.more_page.show_memory()

    def _sure(self, question: str) -> bool:
        dialog = Gtk.MessageDialog(
            transient_for=self.get_toplevel(), modal=True, message_type=Gtk.MessageType.QUESTION,
            buttons=Gtk.ButtonsType.YES_NO, text=question,
        )  # fmt: skip
        dialog.set_default_response(Gtk.ResponseType.NO)
        answer = dialog.run()
        dialog.destroy()
        return bool(answer == Gtk.ResponseType.YES)

    # ---- showing ----
    def _show_page(self) -> None:
        shown = self.pages.get_visible_child()
        for page in self.page.values():
            if page.button is not None:
                page.button.set_visible(page is shown)
            page.refresh()
        if shown.button is not None and self.get_toplevel().is_toplevel():
            shown.button.grab_default()

    def refresh(self) -> None:
        if not self.get_toplevel().get_visible():
            return
        flow = self._flow
        self.fields["model"].fill(view.models(flow))
        self.fields["preset"].fill(view.presets(flow, self.fields["model"].read()))
        self._show_fields()
        self.download.refresh()
        self.material.refresh()
        self.maps.refresh()
        self._show_progress()
        self.status.set_text(flow.sentence)
        self.warning.set_visible(flow.is_error)
        self.restart.set_visible(flow.can_restart)
        if flow.busy:
            self.notice.hide()
        self.gallery.refresh()
        self.empty.set_visible(not flow.runs)
        self.choosing.set_visible(bool(flow.runs))
        self.tour.refresh()
        chosen = self.gallery.chosen()
        self.seed_note.set_text(view.seed(chosen))
        self._enable(view.enabled(flow, chosen))
        self.marks.show(self.choosing.shared.is_favourite(chosen))
        if self.marks.split.get_active():
            self.split_view.show_chosen(chosen)
        for part in (self.split_view, self.in_layer):
            part.set_visible(self.marks.split.get_active() and chosen is not None)
        self.in_layer.refresh()
        self.branches.refresh()
        for page in self.page.values():
            page.refresh()
        warning = view.history_warning(flow, self.fields["history_mib"].read())
        self.full.set_text(warning)
        self.full.set_visible(bool(warning))

    def _show_progress(self) -> None:
        fraction, text = view.progress(self._flow)
        if fraction < 0:
            self.bar.pulse()
        else:
            self.bar.set_fraction(fraction)
        self.bar.set_text(text)

    def _enable(self, enabled: Dict[str, bool]) -> None:
        for name, widget in (
            ("start", self.selection_page.button),
            ("start", self.extend_page.button),
            ("start", self.tile_page.button),
            ("cancel", self.cancel_button),
            ("keep", self.keep_button),
            ("copy_seed", self.copy),
            ("favourite", self.marks.favourite),
            ("split", self.marks.split),
            ("compare", self.compare),
            ("apply", self.apply),
            ("drop", self.drop),
            ("more", self.more),
            ("more_like", self.more_like),
            ("branch", self.branches.go),
            ("resume", self.branches.resume),
        ):
            widget.set_sensitive(enabled[name])


def _scrolled(content: Any) -> Any:
    area = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER, overlay_scrolling=False)
    area.add(content)
    return area
