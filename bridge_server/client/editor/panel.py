"""What a window does, without its widgets: reads its fields, remembers the choices, gives the flow its commands."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, List, Optional, Protocol, Tuple

from . import fields, maps, material, sentences
from .choices import Choices
from .flow import takes_sources
from .labels import SURE
from .material import Wish
from .model import MAX_SEED, Area, Extend, Settings, Tile
from .pump import Pump
from .view import Chosen
from .words import tr


class Widget(Protocol):
    """A field's widget."""

    def read(self) -> Any:
        """What stands in it; of the seed, -1: nothing."""

    def write(self, value: Any) -> None:
        """Shows that value."""

    def on_change(self, work: Callable[[], Any]) -> None:
        """Has ``work`` called after each change; a text may do without."""

    def fill(self, entries: Iterable[Tuple[str, str, str]]) -> None:
        """Gives a choice its entries: value, text and tip of each, as they are shown."""


class Panel:
    """``widgets``: of all fields, by name; the window fills it. ``chosen``: what is current in the grid of pictures.
    ``sure``: asks a yes-or-no question."""

    def __init__(
        self,
        pump: Pump,
        choices: Choices,
        widgets: Dict[str, Widget],
        chosen: Callable[[], Optional[Chosen]],
        sure: Callable[[str], bool],
    ) -> None:
        self.pump, self.flow, self.choices, self.widgets = pump, pump.flow, choices, widgets
        self._chosen, self._sure = chosen, sure
        self._document: Tuple[str, ...] = ()  # path and key of the document in front
        self._listing = False
        self.maps = maps.Rows(lambda: self.flow.host.maps())
        self.widgets[maps.MAPS] = self.maps

    # ---- fields ----
    def values(self) -> Dict[str, Any]:
        return {name: widget.read() for name, widget in self.widgets.items()}

    def show_values(self, values: Dict[str, Any]) -> None:
        for name, widget in self.widgets.items():
            if name != "seed" or values["lock_seed"]:
                widget.write(values[name])

    def show_choices(self) -> None:
        self.show_values(self.choices.of(*self._document))

    def reset(self) -> None:
        """The page "more" as at first."""
        for each in fields.MORE:
            self.widgets[each.name].write(each.default)

    def shown_fields(self) -> Dict[str, bool]:
        """Which fields are there for the chosen model."""
        model, kind = self.flow.model(self.widgets["model"].read()), self.widgets[material.MATERIAL].read()
        shown = {name: each.shown_for(model) for name, each in fields.FIELDS.items()}
        own = {material.NAME: kind in material.NAMED, material.PATH: kind == material.FILE}
        return {**shown, **own, **dict.fromkeys((material.SHARE, material.SHARES), kind != material.AROUND)}

    # ---- where the material comes from ----
    def material_chosen(self) -> None:
        """Another kind: the first of its names, unless the present one is among them."""
        name, names = self.widgets[material.NAME], self._materials()
        if name.read() not in names:
            name.write(names[0] if names else "")
        self.list_materials()

    def list_materials(self) -> None:
        """The names that there are now; what was chosen stays, even if it is gone."""
        if self._listing:  # a list tells of a change while it is being filled
            return
        name, names = self.widgets[material.NAME], self._materials()
        wanted = name.read()
        names += [wanted] if wanted and wanted not in names else []
        shares, marks = self.widgets[material.SHARES], self.flow.host.materials(material.MARKED)
        mark = shares.read()
        marks += [mark] if mark and mark not in marks else []
        self._listing = True
        name.fill([(each, each, "") for each in names] or [("", tr(sentences.NOTHING_THERE), "")])
        shares.fill([("", tr(sentences.ALIKE), ""), *((each, each, "") for each in marks)])
        self._listing = False

    def _materials(self) -> List[str]:
        kind = self.widgets[material.MATERIAL].read()
        return self.flow.host.materials(kind) if kind in material.NAMED else []

    def wish(self) -> Optional[Wish]:
        return wish({each.name: self.widgets[each.name].read() for each in fields.MATERIAL})

    def material_note(self) -> str:
        """What is to be known of the choice, or ""."""
        model = self.flow.model(self.widgets["model"].read())
        return tr(sentences.NO_SOURCES) if self.wish() is not None and not takes_sources(model) else ""

    # ---- maps ----
    def look_at_maps(self) -> None:
        """Other layers may be selected now."""
        if self.widgets[maps.WITH_MAPS].read():
            self.pump.do("maps", self.maps.look)

    def map_wishes(self) -> Tuple[maps.MapWish, ...]:
        return self.maps.wishes() if self.widgets[maps.WITH_MAPS].read() else ()

    def maps_note(self) -> str:
        """What is to be known of the maps, or ""."""
        if not self.widgets[maps.WITH_MAPS].read():
            return ""
        if not self.maps.rows:
            return tr(sentences.HINT_MAPS)
        wishes, model = self.map_wishes(), self.flow.model(self.widgets["model"].read())
        if not wishes:
            return tr(sentences.HINT_TICK)
        return tr(maps.refusal(wishes, takes_sources(model), self.wish() is not None))

    def draw_seed(self) -> None:
        self.widgets["seed"].write(random.SystemRandom().randrange(MAX_SEED + 1))

    def notice(self) -> str:
        """What is to be told once of the file of choices, or ""."""
        return tr(self.choices.notice).format(**self.choices.notice_fields) if self.choices.notice else ""

    # ---- the document in front ----
    def document_changed(self) -> None:
        """Another document may be in front: its own choices, and its pictures of earlier times."""
        self.pump.do("document", self._look_at_document)

    def _look_at_document(self) -> None:
        where = self.flow.host.identity()
        document = (where.path, where.key) if where is not None else ()
        if document != self._document:
            self._document = document
            if not self.flow.busy and self.choices.knows(*document):
                self.show_choices()
        self.flow.document_changed()

    # ---- starting ----
    def area(self, page: str) -> Area:
        if page == "extend":
            return Extend(*(self.widgets["extend_" + side].read() for side in fields.SIDES))
        if page == "tile":
            return Tile(self.widgets["tile_axis"].read(), self.widgets["tile_band"].read())
        return None

    def start(self, page: str, deselect: bool = False, **options: Any) -> None:
        """Begins that page's run, with a new seed unless it is locked, and remembers the choices. ``options``: of the
        engine, where the artist has left them to the preset."""
        if not self.flow.busy:
            self.look_at_maps()
            if not self.widgets["lock_seed"].read() or self.widgets["seed"].read() < 0:
                self.draw_seed()
            values = self.values()
            self.choices.keep(values, *self._document)
            wanted = settings(self.flow, values, self.area(page))
            options = {**options, **wanted.options}
            wanted = replace(wanted, options=options, deselect=deselect, maps=self.map_wishes())
            wanted = replace(wanted, source="layer") if wanted.maps else wanted
            self.pump.connect_once()
            self.pump.do("click", lambda: self.flow.start(wanted))

    # ---- the chosen variant ----
    def apply(self) -> None:
        self._with_chosen(lambda run, variant: self.pump.choose(run, variant.index, apply=True))

    def more(self) -> None:
        number = self.widgets["variants"].read()
        self._do("more", lambda run, _variant: self.flow.more_variants(run, number))

    def more_like(self) -> None:
        number = self.widgets["variants"].read()
        self._do("more like", lambda run, variant: self.flow.more_like(run, variant.index, number))

    def resume(self) -> None:
        self._do("continue", lambda run, variant: self.flow.resume(run, variant.index))

    def compare(self, hidden: bool) -> None:
        self.pump.do("compare", lambda: self.flow.compare(hidden))

    def keep(self) -> None:
        self.pump.do("keep", self.flow.keep)

    # ---- deleting: nothing finished is lost by a slip ----
    def drop(self) -> None:
        """Deletes the chosen picture."""
        chosen = self._chosen()
        if chosen is not None and chosen.variant.finished and chosen.run is not self.flow.run:
            question = tr(SURE["drop"]).format(seed=chosen.variant.seed)
            if self._sure(question):
                self.pump.do("drop", lambda: self.flow.drop(chosen.run, chosen.variant.index))

    def forget_here(self) -> None:
        if self._sure(tr(SURE["forget_here"])):
            self.pump.do("forget", self.flow.forget_document)

    def forget_all(self) -> None:
        if self._sure(tr(SURE["forget_all"])):
            self.pump.do("forget", self.flow.forget_all)

    def _do(self, name: str, work: Callable[[Any, Any], Any]) -> None:
        self._with_chosen(lambda run, variant: self.pump.do(name, lambda: work(run, variant)))

    def _with_chosen(self, work: Callable[[Any, Any], Any]) -> None:
        chosen = self._chosen()
        if chosen is not None:
            work(*chosen)


class UsedMaterial:
    """The small picture of what would be used. ``draw`` shows it; None: there is nothing to show.
    ``side``: its longer one, in pixels."""

    def __init__(self, panel: Panel, side: int, draw: Callable[[Any], None]) -> None:
        self._panel, self._side, self._draw = panel, side, draw
        self._shown: Any = None

    def look_again(self) -> None:
        """Layers and marks may have come or gone."""
        self._shown = None
        self._panel.list_materials()

    def refresh(self) -> None:
        self._panel.pump.do("material", self._look)

    def _look(self) -> None:
        host = self._panel.flow.host
        now = (self._panel.wish(), host.canvas_size())
        if now != self._shown:
            self._shown = now
            self._draw(host.material_picture(now[0], self._side) if now[0] is not None else None)


def settings(flow: Any, values: Dict[str, Any], area: Area) -> Settings:
    """What a run is told with these choices. Draws nothing and keeps nothing."""
    options = fields.options(values, flow.model(values["model"]))
    if wish(values) is None:
        options.pop(material.SHARE, None)
    if isinstance(area, Extend) and values["extend_learn"]:
        model = flow.model(values["model"])
        if fields.FIELDS["extend_learn"].shown_for(model):
            options["learn"] = fields.LEARN_SECONDS
    variants = values["variants"]
    seed = min(values["seed"], MAX_SEED - variants + 1)
    return Settings(
        values["model"], values["preset"], seed, variants, values["source"], options, values["feather"], area,
        wish(values),
    )  # fmt: skip


def wish(values: Dict[str, Any]) -> Optional[Wish]:
    """Where these choices take the material from; None: from around."""
    kind = values[material.MATERIAL]
    if kind == material.AROUND:
        return None
    name = values[material.PATH if kind == material.FILE else material.NAME] if kind != material.LAYER else ""
    return Wish(kind, name, values[material.SHARES])
