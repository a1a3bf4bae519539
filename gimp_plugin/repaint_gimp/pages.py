"""The window's pages: repaint the selection, extend the canvas, make a tile, and more (advanced, history)."""

from __future__ import annotations

from typing import Any, Callable, Dict

from gi.repository import Gtk

from bridge_server.client.editor.choices import FIELDS
from bridge_server.client.editor.flow import Flow
from bridge_server.client.editor.frame import MOST
from bridge_server.client.editor.memory import forecast
from bridge_server.client.editor.model import Area, Extend, Run, Tile
from bridge_server.client.editor.schedule import levels
from bridge_server.client.editor.words import tr

from .forms import CommonForm
from .framing import FramePicture
from .pictures import composite, curve, repeated
from .widgets import GAP, Form, button, combo, main_button, mnemonic, named, note, spin

Click = Callable[[Area], None]
THUMBNAIL = 256  # pixels of the picture that the frame surrounds


class Page(Gtk.Box):
    def __init__(self, *widgets: Any) -> None:
        super().__init__(orientation=Gtk.Orientation.VERTICAL, spacing=GAP)
        for widget in widgets:
            self.pack_start(widget, False, False, 0)


class SelectionPage(Page):
    """Repaints what is selected."""

    def __init__(self, click: Click) -> None:
        self.source = combo(
            "source",
            "What the model sees around the selection",
            [("visible", "Visible image"), ("layer", "Active layer")],
        )
        form = Form()
        form.add_line(tr("S&ource"), self.source)
        self.button = main_button(
            "button", "&RePaint selection", "Repaint the selected part in a new layer", lambda: click(None)
        )
        super().__init__(form, self.button)

    def show_choices(self, values: Dict[str, Any]) -> None:
        self.source.choose(values["source"])

    def choices(self) -> Dict[str, Any]:
        return {"source": self.source.value or "visible"}


class ExtendPage(Page):
    """Makes the canvas larger and paints what is new."""

    SIDES = (("left", "Left"), ("top", "Top"), ("right", "Right"), ("bottom", "Bottom"))
    LEARN_SECONDS = 60

    def __init__(self, flow: Flow, click: Click) -> None:
        self._flow = flow
        self._shown: Any = None
        self.frame = FramePicture(self._show_sides)
        form = Form()
        self.sides: Dict[str, Any] = {}
        for side, text in self.SIDES:
            box = spin("extend_" + side, "Pixels to add on this side", 0, MOST, "px")
            box.on_change(lambda: self.frame.show_sides(self.area()))
            form.add_line(tr(text), box)
            self.sides[side] = box
        self.learn = named(
            Gtk.CheckButton.new_with_mnemonic(mnemonic(tr("&Learn this picture first"))),
            "extend_learn",
            "Takes a minute more, and the new part follows this picture's texture more closely",
        )
        self.button = main_button(
            "extend_button",
            "&Extend the picture",
            "Enlarge the canvas and paint the new part in a new layer",
            lambda: click(self.area()),
        )
        super().__init__(self.frame, form, self.learn, self.button)

    def area(self) -> Extend:
        return Extend(*(self.sides[side].value for side in ("left", "top", "right", "bottom")))

    def _show_sides(self, sides: Extend) -> None:
        for side, box in self.sides.items():
            box.set_value(getattr(sides, side))

    def show_choices(self, values: Dict[str, Any]) -> None:
        self._show_sides(Extend(*(values["extend_" + side] for side in ("left", "top", "right", "bottom"))))

    def refresh(self) -> None:
        """The canvas as it is now, when that may have changed."""
        if not self.get_mapped():
            return
        state = (self._flow.host.canvas_size(), self._flow.busy)
        if state == self._shown:
            return
        self._shown = state
        size = state[0]
        if size is not None:
            self.frame.show_canvas(self._flow.host.thumbnail(THUMBNAIL), size[1], size[2])
        else:
            self.frame.show_canvas(None, 0, 0)

    def show_learning(self, learns: bool) -> None:
        """Only for a model that can learn."""
        self.learn.set_no_show_all(True)
        self.learn.set_visible(learns)

    def options(self) -> Dict[str, Any]:
        return {"learn": self.LEARN_SECONDS} if self.learn.get_active() and self.learn.get_visible() else {}

    def choices(self) -> Dict[str, Any]:
        return {"extend_" + side: box.value for side, box in self.sides.items()}


class TilePage(Page):
    """Makes the picture repeat without a seam; shows it repeated."""

    SIDE = 180

    def __init__(self, flow: Flow, click: Click) -> None:
        self._flow = flow
        self._shown: Any = None
        self.axis = combo(
            "tile_axis",
            "In which directions it is to repeat",
            [("both", "Both directions"), ("x", "Sideways"), ("y", "Up and down")],
        )
        self.band = spin("tile_band", "How wide a strip along the borders is painted anew", 8, 1024, "px")
        form = Form()
        form.add_line(tr("Repeat"), self.axis)
        form.add_line(tr("Strip"), self.band)
        self.button = main_button(
            "tile_button",
            "Make a &tile",
            "Paint the borders anew, in a new layer, so that the picture can be repeated",
            lambda: click(self.area()),
        )
        self.preview = named(Gtk.Image(), "tile_preview", "The picture, repeated two by two")
        super().__init__(form, self.button, self.preview)

    def area(self) -> Tile:
        return Tile(self.axis.value or "both", self.band.value)

    def show_choices(self, values: Dict[str, Any]) -> None:
        self.axis.choose(values["tile_axis"])
        self.band.set_value(values["tile_band"])

    def choices(self) -> Dict[str, Any]:
        return {"tile_axis": self.axis.value or "both", "tile_band": self.band.value}

    def refresh(self) -> None:
        """The tile that was chosen last, or forms, as it repeats."""
        run = self._run()
        variant = None
        if run is not None:
            chosen = self._flow.selected
            variant = run.variant(chosen[1] if chosen is not None and chosen[0] is run else run.shown)
        state = (run.number, variant.index, variant.version) if run is not None and variant is not None else None
        if state == self._shown or not self.get_mapped():
            return
        self._shown = state
        if run is not None and variant is not None:
            self.preview.set_from_pixbuf(repeated(composite(run, variant, self.SIDE // 2)))
        else:
            self.preview.clear()

    def _run(self) -> Any:
        chosen = self._flow.selected[0] if self._flow.selected is not None else None
        for run in (self._flow.run, chosen):
            if isinstance(run, Run) and isinstance(run.settings.area, Tile) and run.capture is not None:
                return run
        return None


class MorePage(Page):
    """For those who want to know: the run's numbers, the edge, learning, the history."""

    NUMBERS = (
        ("steps", "Steps", "Noise levels from noise to picture", 0, 1000, "", "as preset"),
        ("jump_length", "Jump", "Levels that it goes back up each time", 0, 1000, "", "as preset"),
        ("jump_samples", "Walks", "How often each stretch is walked", 0, 100, "", "as preset"),
        ("padding", "Padding", "Pixels of surroundings that the model sees on each side", 0, 1024, "px", "automatic"),
        ("feather", "Feather", "Soft edge inwards from the selection's border", 0, 200, "px", "as selected"),
        ("learn", "Learn", "Seconds in which the model learns this picture first", 0, 600, "s", "off"),
    )
    WIDE, HIGH = 260, 56  # of the picture of the run

    def __init__(self, flow: Flow, common: CommonForm, forget: Callable[[bool], None]) -> None:
        self._flow, self._common = flow, common
        form = self._form = Form()
        self.numbers: Dict[str, Any] = {}
        self.schedule = combo(
            "schedule",
            "Where in the run it goes back up",
            [("uniform", "everywhere"), ("early", "early"), ("late", "late"), ("none", "nowhere")],
        )
        for name, text, tip, low, high, unit, zero in self.NUMBERS:
            if name == "padding":
                form.add_line(tr("Back up"), self.schedule)
            box = spin(name, tip, low, high, unit, zero)
            box.on_change(self.show_schedule)
            form.add_line(tr(text), box)
            self.numbers[name] = box
        self.schedule.connect("changed", lambda *_: self.show_schedule())
        self.picture = named(
            Gtk.Image(),
            "schedule_picture",
            "How a run goes: from noise (top) to the picture (bottom), with steps back up",
        )
        self.hard = named(
            Gtk.CheckButton.new_with_mnemonic(mnemonic(tr("&Hard edge"))),
            "hard",
            "No soft edge: half selected or more is wholly repainted",
        )
        self.reset = button("reset", "As at the beginning", "All numbers of this page as at first", self._reset)
        self.memory = note(name="memory")
        self.used = note(name="history_used")
        self.limit = spin(
            "history_mib", "Beyond this the docker says so; nothing is deleted by itself", 64, 1 << 20, "MiB"
        )
        history = Form()
        history.add_line(tr("Limit"), self.limit)
        self.forget_here = button(
            "forget_here", "Delete this picture's history", "Delete all variants of this document, also on disk",
            lambda: forget(False),
        )  # fmt: skip
        self.forget_all = button(
            "forget_all", "Delete the whole history", "Delete all variants of all documents, also on disk",
            lambda: forget(True),
        )  # fmt: skip
        super().__init__(
            form,
            self.picture,
            self.hard,
            self.reset,
            self.memory,
            self.used,
            history,
            self.forget_here,
            self.forget_all,
        )
        common.preset.connect("changed", lambda *_: self.show_schedule())
        common.model.connect("changed", lambda *_: self.show_memory())
        common.variants.on_change(self.show_memory)

    def show_choices(self, values: Dict[str, Any]) -> None:
        for name, box in self.numbers.items():
            box.set_value(values[name])
        self.schedule.choose(values["schedule"])
        self.hard.set_active(values["hard"])
        self.limit.set_value(values["history_mib"])
        self.show_schedule()

    def choices(self) -> Dict[str, Any]:
        return {
            **{name: box.value for name, box in self.numbers.items()},
            "schedule": self.schedule.value or "uniform",
            "hard": self.hard.get_active(),
            "history_mib": self.limit.value,
        }

    def options(self) -> Dict[str, Any]:
        """What differs from the preset, by the wire's names."""
        names = ["steps", "jump_length", "jump_samples", "padding", *(["learn"] if self._common.learns else [])]
        chosen = {name: self.numbers[name].value for name in names if self.numbers[name].value}
        if self.schedule.value not in ("", "uniform"):
            chosen["schedule"] = self.schedule.value
        if self.hard.get_active():
            chosen["hard"] = True
        return chosen

    def show_learning(self, learns: bool) -> None:
        """Only for a model that can learn."""
        self._form.show_line(self.numbers["learn"], learns)

    def _reset(self) -> None:
        limit = self.limit.value
        self.show_choices({**{name: default for name, (default, _) in FIELDS.items()}, "history_mib": limit})

    def show_schedule(self) -> None:
        preset = next((p for p in self._flow.presets if p.name == self._common.preset.value), None)
        if preset is None or not preset.steps:
            return
        steps, length, samples = (self.numbers[name].value for name in ("steps", "jump_length", "jump_samples"))
        walk = levels(
            steps or preset.steps, length or preset.jump_length, samples or preset.jump_samples, self.schedule.value
        )
        self.picture.set_from_pixbuf(curve(walk, self.WIDE, self.HIGH))

    def refresh(self) -> None:
        used, limit = self._flow.library.bytes / (1 << 20), self.limit.value
        count = self._flow.library.pictures
        text = tr("History: {count} pictures, {used} of {limit} MiB on disk.")
        self.used.set_text(text.format(count=count, used=f"{used:.1f}", limit=limit))
        self.show_memory()

    def show_memory(self) -> None:
        """GIMP tells nobody of a new selection; the window asks when it gets the focus."""
        if self.get_mapped():
            model = self._flow.model(self._common.model.value)
            pixels = self._flow.host.sent_pixels(self.numbers["padding"].value)
            text = forecast(model, pixels, self._common.variants.value) if model is not None else None
            self.memory.set_text(text or "")
