"""What an editor offers to the shared part: a `Host`, and a `Layer` for each picture that it puts into a document.

A new editor writes these two. For Qt and GTK 3 there are an event loop and all that a window shows (client/qt,
client/gtk); for others it writes its own (`pump.Pump`; `view` says what to draw). tests/editor/files.py is a complete
host in 150 lines, file_layer.py its layer, window.py its window: documents are folders of pictures.

Everything here is called on the editor's own (GUI) thread. What may take long is a generator: it does some 15 ms of
work, yields, and goes on in a later turn of the event loop. Coordinates are canvas pixels, origin at the top left.
Pixels are R, G, B, A with straight alpha, rows from the top, without padding, in the target's depth and the document's
own colours (`samples` helps with both).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Generator, Iterator, List, NamedTuple, Optional, Protocol, Tuple

from bridge_server.client.geometry import Box

from .material import Wish
from .model import Capture, Picture, Settings, Target

if TYPE_CHECKING:
    from .maps import Candidate


class Identity(NamedTuple):
    """How a document is known. ``document``: its id as long as it is open; ``key``: what the plug-in has left in it, ""
    if nothing, saved with it, also with a copy; ``path``: its file, "" if it has none."""

    document: str
    key: str
    path: str


class Layer(Protocol):
    """One layer that `Host.add_layer` made. None of its methods raises for a layer that is gone.

    The artist may delete the layer, undo and redo it, move it, rename it, or close its document, at any time between
    two calls and at every ``yield``.
    """

    def state(self) -> str:
        """`model.THERE`; `model.GONE`: undone or deleted, a redo may bring it back; `model.CLOSED`: its document is."""

    def paint(self, picture: Picture) -> Generator[None, None, float]:
        """Puts ``picture``, which covers the target's bounds or more, into the layer there, without an undo step; the
        editor shows it once, at the end. Returns the seconds that showing took; 0 if the layer is gone."""

    def holds(self, picture: Picture) -> Generator[None, None, bool]:
        """Reads back; whether the layer holds the selected part of ``picture``, as far as the document's own colour
        space can hold it."""

    def clear(self) -> None:
        """Empties it, also when an undo has taken it out: a redo must not bring a half-made picture back."""

    def rename(self, name: str) -> None:
        """Without an undo step."""

    def set_visible(self, visible: bool) -> None:
        """Shows or hides it, to compare with the original; without an undo step."""

    def remove(self) -> None:
        """Takes it out of the document; where possible nothing of it is left to undo."""


class Host(Protocol):
    """The editor and the document that the artist works on, "in front" below."""

    def identity(self) -> Optional[Identity]:
        """Which document is in front; None if there is none."""

    def canvas_size(self) -> Optional[Tuple[str, int, int]]:
        """Id, width and height of the document in front; None if there is none."""

    def extent(self, padding: int = 0) -> Tuple[int, int]:
        """How many pixels a run with the present selection would send at most, and about how many are selected; 0 and 0
        without a selection."""

    def selected(self) -> Optional[Tuple[str, Optional[Box]]]:
        """Id of the document in front and the box of its selection, about, or None; None if there is no document. Asked
        ten times a second, so it must cost next to nothing."""

    def thumbnail(self, side: int) -> Any:
        """The document in front, at most ``side`` pixels each way, as the editor's own kind of small picture; None if
        there is none."""

    def open(self, path: Path) -> None:
        """Opens a picture file, in front."""

    def materials(self, kind: str) -> List[str]:
        """The names of what the material can come from in the document in front: of one kind of `material.NAMED`."""

    def material_picture(self, wish: Wish, side: int) -> Any:
        """What would be used, at most ``side`` pixels each way, as the editor's own kind of small picture; None where
        there is nothing, or for a file."""

    def maps(self) -> List[Candidate]:
        """The other layers of the document in front, the highest first, without those that the plug-in has made."""

    def capture(self, settings: Settings) -> Iterator[Optional[Capture]]:
        """Reads what ``settings.area`` and ``settings.source`` ask for of the document in front (`areas` works out
        the boxes), for a ``settings.material`` its `Source` and shares, and ``settings.maps``, with which the active
        layer is the picture (`maps.uncovered` says whether one is too small); yields None between slices and at last
        the `Capture`. Raises `model.Refused`, with the document as it was before."""

    def add_layer(self, target: Target, name: str, above_active: bool = False, deselect: bool = False) -> Layer:
        """One new, empty layer above the layer that was active at the click, or with ``above_active`` above the one
        that is active now: one undo step. Active layer and selection stay the artist's. Raises `model.Refused`.

        deselect: what was selected at the click is not any more, without an undo step of its own where the editor lets
        it be; `Layer.remove` selects it again. Another selection that was made since stays.

        For each of the target's maps another one above its own layer (found by its name if its id is not known; above
        the new layer if it is gone), all in that one undo step: `maps.Together` makes them one."""

    def withdraw(self, target: Target) -> None:
        """After a cancel, when the layer has been removed: takes back what else `capture` or `add_layer` did."""
