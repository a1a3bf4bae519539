"""The window "RePaint": what the artist sees and clicks. It draws what `view` says and calls `Panel`'s
methods."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Dict

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
gi.require_version("GimpUi", "3.0")
from gi.repository import Gdk, Gimp, GimpUi, Gtk  # noqa: E402

if not Gtk.init_check()[0]:
    raise RuntimeError("no display")  # GimpUi.init would end the process

from bridge_server.client.editor import fields, sections, view  # noqa: E402
from bridge_server.client.editor import sentences as shared  # noqa: E402
from bridge_server.client.editor.box import BoxPage  # noqa: E402
from bridge_server.client.editor.choices import Choices  # noqa: E402
from bridge_server.client.editor.panel import Panel  # noqa: E402
from bridge_server.client.editor.pump import Pump  # noqa: E402
from bridge_server.client.editor.removal import RemovalPage  # noqa: E402
from bridge_server.client.editor.setup import SetUpPage  # noqa: E402
from bridge_server.client.editor.tour import Tour  # noqa: E402
from bridge_server.client.editor.words import tr  # noqa: E402
from bridge_server.client.launch import private_folder, read_json, write_private  # noqa: E402

from . import sentences  # noqa: E402
from .branches import BranchPanel  # noqa: E402
from .choosing import ChoosingLine, InLayerBox, Marks, SplitView  # noqa: E402
from .forms import Form  # noqa: E402
from .gallery import THUMBNAIL, Gallery  # noqa: E402
from .host import GimpHost  # noqa: E402
from .live import LiveLine  # noqa: E402
from .lookup import find_image  # noqa: E402
from .map_list import MapsPanel  # noqa: E402
from .pages import ExtendPage, MaterialPanel, MorePage, PageWidget, TilePage  # noqa: E402
from .section import Asking, SectionPanel  # noqa: E402
from .widgets import GAP, Tabs, button, column, named, note, row  # noqa: E402

TITLE = "RePaint"
SIZE = (800, 690)
LEFT = 430  # of its width
IMAGE = fields.Catalogue("image", "", sentences.IMAGE, sentences.IMAGE_TIP)  # GIMP does not tell which one is in front


class Window(Gtk.Window):
    """One in each GIMP. Closing it hides it: what runs goes on."""

    def __init__(self, pump: Pump, choices: Choices, memory: Path, host: GimpHost, set_up: SetUpPage) -> None:
        """``memory``: the file in which size and place are kept."""
        GimpUi.init("repaint_gimp")
        super().__init__(title=TITLE, type_hint=Gdk.WindowTypeHint.UTILITY)
        self.set_role("repaint")
        self._pump, self._flow, self._host, self._memory = pump, pump.flow, host, memory
        self._set_up = set_up
        self.fields: Dict[str, Any] = {}
        self.panel = Panel(pump, choices, self.fields, lambda: self.gallery.chosen(), lambda text: self._sure(text))
        self._build()
        self.panel.show_choices()
        self.notice.set_text(self.panel.notice())
        self.notice.set_visible(bool(self.panel.notice()))
        self.connect("delete-event", lambda *_: self._close())
        self.connect("key-press-event", self._key)
        self.connect("focus-in-event", lambda *_: self._images_changed())
        self.connect("destroy", lambda *_: self._forget())
        self._put_back()
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
    def _build(self) -> None:
        self.form = Form((IMAGE, *fields.COMMON), self.fields)
        self.image = self.fields.pop("image")
        self.image.on_change(self._pick_image)
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
        self.empty = note(shared.HINT_GALLERY, name="gallery_empty")
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
        self.in_layer = InLayerBox(self._pump, self.split_view)
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
        whole = column(self.set_up_panel, self.tour)
        whole.pack_start(self.halves, True, True, 0)
        whole.show()
        self.add(whole)
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

    # ---- where it is ----
    def _put_back(self) -> None:
        """Size and place of last time, if that place is still on a screen."""
        size, place = SIZE, None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = read_json(self._memory)
            size = (max(400, int(found["width"])), max(300, int(found["height"])))
            place = (int(found["x"]), int(found["y"]))
        self.set_default_size(*size)
        if place is not None and _on_screen(*place):
            self.move(*place)
        else:
            self.set_position(Gtk.WindowPosition.MOUSE)

    def remember(self) -> None:
        if not self.get_visible():
            return
        (x, y), (width, height) = self.get_position(), self.get_size()
        with contextlib.suppress(OSError):
            private_folder(self._memory.parent)
            write_private(self._memory, json.dumps({"x": x, "y": y, "width": width, "height": height}))

    def _close(self) -> bool:
        self.remember()
        self.hide()
        self._put_back()
        return True

    def _key(self, _widget: Any, event: Any) -> bool:
        control = event.state & Gdk.ModifierType.CONTROL_MASK
        if event.keyval == Gdk.KEY_Escape or (control and event.keyval in (Gdk.KEY_w, Gdk.KEY_W)):
            return self._close()
        return False

    # ---- the image ----
    def open(self, image: Any, display: Any, page: str, start: bool) -> None:
        """Shows it for an image on that page, above GIMP's window of ``display``; ``start``: and its gesture begins at
        once, with the choices of last time."""
        if image is not None:
            self._host.image = str(image.get_id())
        self._images_changed()
        if page:
            self.pages.set_visible_child_name(page)
        if display is not None:
            GimpUi.window_set_transient_for_display(self, display)
        self.present()
        self._pump.do("look", self._set_up.look)
        self._pump.connect_once()
        self._show_image()
        self.refresh()
        if start:
            self.panel.start(page)

    def _images_changed(self) -> bool:
        """Fills the list of open images anew."""
        images = [(str(image.get_id()), image.get_name()) for image in Gimp.get_images()]
        if images != [(line[0], line[1]) for line in self.image.get_model()]:
            wanted = self._host.image
            self.image.get_model().clear()
            for entry in images:
                self.image.get_model().append(entry)
            self.image.set_active_id(wanted if find_image(wanted) is not None else None)
        elif self.image.read() != self._host.image:
            self.image.set_active_id(self._host.image)
        self.extend_page.refresh()
        self.material.look_again()
        self.maps.look_again()
        self.more_page.show_memory()
        return False

    def _pick_image(self) -> None:
        if self.image.read() and self.image.read() != self._host.image:
            self._host.image = self.image.read()
            self._show_image()

    def _show_image(self) -> None:
        self.panel.document_changed()
        self.extend_page.refresh()

    def _sure(self, question: str) -> bool:
        dialog = Gtk.MessageDialog(
            transient_for=self, modal=True, message_type=Gtk.MessageType.QUESTION,
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
        if shown.button is not None:
            shown.button.grab_default()

    def refresh(self) -> None:
        if not self.get_visible():
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


def _on_screen(x: int, y: int) -> bool:
    display = Gdk.Display.get_default()
    for number in range(display.get_n_monitors()):
        found = display.get_monitor(number).get_geometry()
        if found.x <= x < found.x + found.width - 50 and found.y <= y < found.y + found.height - 50:
            return True
    return False
