"""Maps in Krita: the layers that can be painted along, and their new layers, which one Ctrl+Z takes away.

Krita lets no plug-in add several layers in one undo step. So each is a step of its own, and when the artist undoes the
last of them the others follow at once, and again when he redoes the first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, List, Optional, Sequence, Set

from krita import Document, Krita, Node

from bridge_server.client.editor.maps import Candidate, Together
from bridge_server.client.editor.model import MapTarget

from . import undo
from .layer import PreviewLayer
from .lookup import find_document, layers
from .undo import Top, take_back

OURS = "RePaint "  # how the names of the plug-in's layers begin


def candidates(document: Document, active: Optional[Node]) -> List[Candidate]:
    """All layers but the active one, the groups it stands in, and the plug-in's own; the highest first."""
    chosen = _selected()
    group = active.parentNode() if active is not None else None
    near = {_id(node) for node in group.childNodes()} if group is not None else set()
    skipped = set()
    while active is not None:
        skipped.add(_id(active))
        active = active.parentNode()
    found = []
    for node in layers(document):
        name = _id(node)
        if name not in skipped and node.type() != "filterlayer" and not node.name().startswith(OURS):
            found.append(Candidate(name, node.name(), name in chosen, name in near))
    return found


def _selected() -> Set[str]:
    """The layers that are selected in Krita's list; none if that is the active one alone."""
    window = Krita.instance().activeWindow()
    view = window.activeView() if window is not None else None
    nodes = view.selectedNodes() if view is not None else []
    return {_id(node) for node in nodes} if len(nodes) > 1 else set()


def _id(node: Node) -> str:
    return str(node.uniqueId().toString())


class MapLayers(Together):
    """``lead`` was added last. ``grown``: of the undo stack after the canvas was enlarged for them, and whether it has
    been made smaller again."""

    def __init__(
        self,
        lead: PreviewLayer,
        others: Sequence[PreviewLayer],
        maps: Sequence[MapTarget],
        grown: Optional[Top] = None,
        shrunk: Callable[[], bool] = bool,
    ) -> None:
        super().__init__(lead, others, maps)
        self._layers = [*others, lead]
        self._grown, self._shrunk = grown, shrunk
        self._bottom: Optional[Top] = None  # of the undo stack without them
        undo.listen(self._undone, self._redone)

    def remove(self) -> None:
        """In the order in which undoing takes them away."""
        lead, tops = self._layers[-1], self._tops()
        there, deselected = lead.is_there(), lead.deselected
        lead.deselected = None  # not before the last one is gone: it is an undo step
        with undo.unheard():
            for layer, top in zip(reversed(self._layers), tops):
                layer.remove(top)
        lead.deselected = deselected
        if there:
            lead.select_again()

    def _tops(self) -> List[Optional[Top]]:
        """The undo stack's top when each layer was the last thing on it, the last one first."""
        found = [self._layers[-1].top]
        for layer in reversed(self._layers[1:]):
            above = found[-1]
            found.append(above.below(1 + layer.steps_below) if above is not None else None)
        return found

    def _undone(self) -> bool:
        """After every undo of the artist's; False once there is nothing to be done any more."""
        lead = self._layers[-1]
        if find_document(lead.target.document) is None:
            return False
        if lead.is_there() or not any(layer.is_there() for layer in self._layers):
            return True
        (first, *tops), now = self._tops(), undo.now(lead.target.document)
        if first is None or now is None:
            return True
        if lead.steps_below:  # what gave it its colour space is on top now, under another name
            now = replace(now, name=first.name)
        if now != first.below(1):
            return True
        for _ in range(lead.steps_below):
            undo.trigger("edit_undo", lead.target.document)
        for layer, top in zip(reversed(self._layers[:-1]), tops):
            if not take_back(top, lambda layer=layer: not layer.is_there(), layer.steps_below):  # type: ignore[misc]
                return True
        if self._grown is not None:
            take_back(self._grown, self._shrunk)
        self._bottom = undo.now(lead.target.document)
        return True

    def _redone(self) -> None:
        """After every redo of the artist's: with the first step of ours the others come back."""
        lead, bottom = self._layers[-1], self._bottom
        now = undo.now(lead.target.document) if bottom is not None else None
        if bottom is None or now is None or now.line != bottom.line + 1:
            return
        self._bottom = None
        steps = sum(1 + layer.steps_below for layer in self._layers) - (self._grown is None)
        done = 0
        while done < steps and not lead.is_there() and undo.trigger("edit_redo", lead.target.document):
            done += 1
        if not lead.is_there():  # the artist has done something else in between: it was not ours
            for _ in range(done):
                undo.trigger("edit_undo", lead.target.document)


def together(lead: PreviewLayer, others: Sequence[PreviewLayer], maps: Sequence[MapTarget], *grown: Any) -> Any:
    """The layer of a run, with those of its maps if it has any."""
    return MapLayers(lead, others, maps, *grown) if others else lead
