"""The window "RePaint": what the artist sees and clicks. It shows `Flow`'s attributes and calls `Pump`'s methods."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, Dict, List

import gi

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
gi.require_version("GimpUi", "3.0")
from gi.repository import Gdk, Gimp, GimpUi, Gtk  # noqa: E402

if not Gtk.init_check()[0]:
    raise RuntimeError("no display")  # GimpUi.init would end the process

from bridge_server.client.editor.choices import Choices  # noqa: E402
from bridge_server.client.editor.machine import CANCELLING, READING, RUNNING  # noqa: E402
from bridge_server.client.editor.model import MAX_SEED, Area, Extend, Settings  # noqa: E402
from bridge_server.client.editor.texts import time_left  # noqa: E402
from bridge_server.client.editor.words import tr  # noqa: E402
from bridge_server.client.launch import private_folder, write_private  # noqa: E402

from .branches import BranchPanel  # noqa: E402
from .downloads import DownloadPanel  # noqa: E402
from .eventloop import Pump  # noqa: E402
from .forms import CommonForm  # noqa: E402
from .gallery import THUMBNAIL, Gallery  # noqa: E402
from .lookup import find_image  # noqa: E402
from .pages import ExtendPage, MorePage, SelectionPage, TilePage  # noqa: E402
from .widgets import GAP, Combo, Tabs, button, column, named, note, row, tool  # noqa: E402

TITLE = "RePaint"
SIZE = (680, 640)
FULL = "The history takes {used} of {limit} MiB: raise the limit or delete pictures on the page “More”."


class Window(Gtk.Window):
    """One in each GIMP. Closing it hides it: what runs goes on."""

    def __init__(self, pump: Pump, choices: Choices, memory: Path) -> None:
        """``memory``: the file in which size and place are kept."""
        GimpUi.init("repaint_gimp")
        super().__init__(title=TITLE, type_hint=Gdk.WindowTypeHint.UTILITY)
        self.set_role("repaint")
        self._pump, self._flow, self._choices, self._memory = pump, pump.flow, choices, memory
        self._document = ("", "")  # key and path of the image worked on
        self._build()
        self._show_choices()
        if choices.notice:
            self.notice.set_text(tr(choices.notice).format(**choices.notice_fields))
        self.notice.set_visible(bool(choices.notice))
        self.connect("delete-event", lambda *_: self._close())
        self.connect("key-press-event", self._key)
        self.connect("focus-in-event", lambda *_: self._images_changed())
        self.connect("destroy", lambda *_: self._forget())
        self._put_back()
        self._flow.listeners.append(self.refresh)

    def _forget(self) -> None:
        if self.refresh in self._flow.listeners:
            self._flow.listeners.remove(self.refresh)

    # ---- building ----
    def _build(self) -> None:
        self.image: Combo = named(Combo(), "image", "The image to work on")
        self.image.connect("changed", lambda *_: self._pick_image())
        self.form = CommonForm(self._flow, self.image)
        self.download = DownloadPanel(self._pump, self.form.model)
        self.selection_page = SelectionPage(self.repaint)
        self.extend_page = ExtendPage(self._flow, self.repaint)
        self.tile_page = TilePage(self._flow, self.repaint)
        self.more_page = MorePage(self._flow, self.form, self._delete)
        self.pages = Gtk.Stack(vhomogeneous=False, hhomogeneous=True)
        for name, text, page in (
            ("selection", tr("Repaint"), self.selection_page),
            ("extend", tr("Extend"), self.extend_page),
            ("tile", tr("Tile"), self.tile_page),
            ("more", tr("More"), self.more_page),
        ):
            self.pages.add_titled(page, name, text)
        self.gallery = Gallery(self._pump, self.refresh, self._drop)
        grid = _scrolled(self.gallery)
        grid.set_shadow_type(Gtk.ShadowType.IN)
        grid.set_min_content_height(THUMBNAIL + 44)
        self.branches = BranchPanel(self._pump, self.gallery)
        left, right = column(), column()
        left.pack_start(_scrolled(column(self.form, self.download, Tabs(self.pages), self.pages)), True, True, 0)
        left.pack_end(column(self._build_progress(), self._build_status()), False, False, 0)
        right.pack_start(grid, True, True, 0)
        right.pack_end(column(self._build_variant(), self.branches), False, False, 0)
        self.halves = Gtk.Paned(position=SIZE[0] // 2, wide_handle=True)
        for side, half in ((self.halves.pack1, left), (self.halves.pack2, right)):
            half.set_border_width(GAP)
            side(half, True, False)
        self.halves.show_all()
        self.add(self.halves)
        self.pages.connect("notify::visible-child", lambda *_: self._show_page())
        self.form.model.connect("changed", lambda *_: self._show_abilities())
        self._show_page()
        for hidden in (self.warning, self.restart, self.notice, self.full):
            hidden.set_no_show_all(True)
            hidden.hide()

    def _build_progress(self) -> Any:
        self.bar = named(Gtk.ProgressBar(show_text=True), "progress")
        self.keep_button = button(
            "keep_button", "&Keep", "Stop now and keep the pictures as they are; they can be continued later",
            lambda: self._pump.do("keep", self._flow.keep),
        )  # fmt: skip
        self.cancel_button = button("cancel_button", "&Cancel", "Stop and remove the preview layer", self._pump.cancel)
        return column(self.bar, row(self.keep_button, self.cancel_button))

    def _build_status(self) -> Any:
        self.warning = Gtk.Image.new_from_icon_name("dialog-warning-symbolic", Gtk.IconSize.MENU)
        self.warning.set_valign(Gtk.Align.START)
        self.status = note(name="status")
        self.restart = button(
            "restart", "Restart the &engine", "Start the engine process again", self._pump.restart_engine
        )
        self.notice = note(name="notice")  # of the settings file; stays until the next click
        self.full = note(name="history_full")
        return column(row(self.warning, self.status, wide=1), self.restart, self.notice, self.full)

    def _build_variant(self) -> Any:
        """What can be done with the chosen variant."""
        self.seed_note = note(name="chosen_seed")
        self.copy = tool("copy_seed", "edit-copy-symbolic", "Copy the seed", self.gallery.copy_seed)
        self.drop = tool("drop", "edit-delete-symbolic", "Delete this picture, also on disk", self._drop)
        self.compare = button(
            "compare", "Com&pare", "While pressed, the original shows (pictures: hold Space)", lambda: None
        )
        self.compare.connect("pressed", lambda *_: self._pump.do("compare", lambda: self._flow.compare(True)))
        self.compare.connect("released", lambda *_: self._pump.do("compare", lambda: self._flow.compare(False)))
        self.apply = button("apply", "&Apply", "Keep this one in its layer; the next gets a new layer", self._apply)
        self.more = button("more", "More &variants", "Paint more with the next seeds", self._more)
        self.more_like = button("more_like", "More &like this", "Paint relatives of this one", self._more_like)
        return column(
            row(self.seed_note, self.copy, self.drop, wide=0),
            row(self.apply, self.compare),
            row(self.more, self.more_like),
        )

    def _show_abilities(self) -> None:
        """What the chosen model can do."""
        self.extend_page.show_learning(self.form.learns)
        self.more_page.show_learning(self.form.learns)

    # ---- where it is ----
    def _put_back(self) -> None:
        """Size and place of last time, if that place is still on a screen."""
        size, place = SIZE, None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._memory.read_text(encoding="utf-8"))
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
            self._flow.host.image = str(image.get_id())
        self._images_changed()
        if page:
            self.pages.set_visible_child_name(page)
        if display is not None:
            GimpUi.window_set_transient_for_display(self, display)
        self.present()
        self._pump.connect_once()
        self._pump.do("document", self._changed_image)
        self.refresh()
        if start:
            self.repaint(self._area(page))

    def _area(self, page: str) -> Area:
        if page == "extend":
            return self.extend_page.area()
        return self.tile_page.area() if page == "tile" else None

    def _images_changed(self) -> bool:
        """Fills the list of open images anew."""
        images = [(str(image.get_id()), image.get_name()) for image in Gimp.get_images()]
        if images != [(line[0], line[1]) for line in self.image.get_model()]:
            wanted = self._flow.host.image
            self.image.get_model().clear()
            for entry in images:
                self.image.get_model().append(entry)
            self.image.set_active_id(wanted if find_image(wanted) is not None else None)
        elif self.image.value != self._flow.host.image:
            self.image.set_active_id(self._flow.host.image)
        self.extend_page.refresh()
        self.more_page.show_memory()
        return False

    def _pick_image(self) -> None:
        if self.image.value and self.image.value != self._flow.host.image:
            self._flow.host.image = self.image.value
            self._pump.do("document", self._changed_image)

    def _changed_image(self) -> None:
        """Another image: its own choices, and its pictures of earlier times."""
        where = self._flow.host.identity()
        document = (where[1], where[2]) if where is not None else ("", "")
        if document != self._document:
            self._document = document
            if not self._flow.busy and any(name and name in self._choices.documents for name in document):
                self._show_choices()
        self._flow.document_changed()
        self.extend_page.refresh()

    # ---- choices ----
    def _parts(self) -> List[Any]:
        return [self.form, self.selection_page, self.extend_page, self.tile_page, self.more_page]

    def _show_choices(self) -> None:
        values = self._choices.of(*self._document)
        for part in self._parts():
            part.show_choices(values)

    def settings(self, area: Area) -> Settings:
        """What stands in the window, remembered for the user and this image."""
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

    def _apply(self) -> None:
        self.gallery.show_chosen(apply=True)

    def _more(self) -> None:
        chosen = self.gallery.chosen()
        if chosen is not None:
            run, number = chosen[0], self.form.variants.value
            self._pump.do("more", lambda: self._flow.more_variants(run, number))

    def _more_like(self) -> None:
        chosen = self.gallery.chosen()
        if chosen is not None:
            (run, variant), number = chosen, self.form.variants.value
            self._pump.do("more like", lambda: self._flow.more_like(run, variant.index, number))

    def _drop(self) -> None:
        """Deletes the chosen picture, after a question."""
        chosen = self.gallery.chosen()
        if chosen is None or not chosen[1].finished or chosen[0] is self._flow.run:
            return
        run, variant = chosen
        if self._sure(tr("Delete the picture with the seed {seed}?").format(seed=variant.seed)):
            self._pump.do("drop", lambda: self._flow.drop(run, variant.index))

    def _delete(self, everything: bool) -> None:
        if not self._sure(
            tr("Delete all pictures of all documents?") if everything else tr("Delete all pictures of this document?")
        ):
            return
        if everything:
            self._pump.do("forget", self._flow.forget_all)
            return
        self._pump.do("forget", self._flow.forget_document)

    def _sure(self, question: str) -> bool:
        """Asks first: nothing finished is lost by a slip."""
        dialog = Gtk.MessageDialog(
            transient_for=self, modal=True, message_type=Gtk.MessageType.QUESTION,
            buttons=Gtk.ButtonsType.YES_NO, text=question,
        )  # fmt: skip
        dialog.set_default_response(Gtk.ResponseType.NO)
        answer = dialog.run()
        dialog.destroy()
        return bool(answer == Gtk.ResponseType.YES)

    # ---- showing ----
    def _page_button(self) -> Any:
        return getattr(self.pages.get_visible_child(), "button", None)

    def _show_page(self) -> None:
        start = self._page_button()
        if start is not None:
            start.grab_default()
        self.tile_page.refresh()
        self.extend_page.refresh()
        self.more_page.show_memory()

    def refresh(self) -> None:
        if not self.get_visible():
            return
        flow = self._flow
        self.form.refresh()
        self._show_abilities()
        self.download.refresh()
        busy = flow.busy
        for page in (self.selection_page, self.extend_page, self.tile_page):
            page.button.set_sensitive(not busy)
        self.cancel_button.set_sensitive(busy and flow.phase != CANCELLING)
        self.keep_button.set_sensitive(flow.phase == RUNNING and not flow.keeping)
        self._show_progress()
        self.status.set_text(flow.sentence)
        self.warning.set_visible(flow.is_error)
        self.restart.set_visible(flow.can_restart)
        self.gallery.refresh()
        self._show_variant()
        self.branches.refresh()
        self.more_page.refresh()
        self.tile_page.refresh()
        self.extend_page.refresh()
        self._warn_of_history()

    def _show_progress(self) -> None:
        flow = self._flow
        if flow.phase == READING:
            self.bar.pulse()
        else:
            self.bar.set_fraction(flow.fraction if flow.busy else 0.0)
        left = time_left(flow.seconds_left)
        self.bar.set_text("{:.0f} %{}".format(100 * flow.fraction, " · " + left if left else "") if flow.busy else "")

    def _show_variant(self) -> None:
        chosen = self.gallery.chosen()
        self.seed_note.set_text(tr("Seed {seed}").format(seed=chosen[1].seed) if chosen is not None else "")
        self.copy.set_sensitive(chosen is not None)
        self.compare.set_sensitive(chosen is not None or self._flow.busy)
        free = chosen is not None and not self._flow.busy
        self.apply.set_sensitive(free)
        self.drop.set_sensitive(chosen is not None and chosen[1].finished and chosen[0] is not self._flow.run)
        self.more.set_sensitive(free and chosen is not None and chosen[0].capture is not None)
        self.more_like.set_sensitive(free and chosen is not None and bool(chosen[1].steps))

    def _warn_of_history(self) -> None:
        """Nothing is deleted by itself, so it has to be said when there is much."""
        used, limit = self._flow.library.bytes / (1 << 20), self.more_page.limit.value
        self.full.set_visible(used > limit)
        if used > limit:
            self.full.set_text(tr(FULL).format(used=f"{used:.0f}", limit=limit))


def _scrolled(content: Any) -> Any:
    area = Gtk.ScrolledWindow(hscrollbar_policy=Gtk.PolicyType.NEVER)
    area.add(content)
    return area


def _on_screen(x: int, y: int) -> bool:
    display = Gdk.Display.get_default()
    for number in range(display.get_n_monitors()):
        found = display.get_monitor(number).get_geometry()
        if found.x <= x < found.x + found.width - 50 and found.y <= y < found.y + found.height - 50:
            return True
    return False
