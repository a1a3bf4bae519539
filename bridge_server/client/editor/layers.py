"""Which picture stands in which layer: each series of runs has one, made when it is first needed."""

from __future__ import annotations

from typing import Callable, Generator, Optional, Tuple

from . import sentences
from .host import Host, Layer
from .library import Library
from .model import THERE, Picture, Run, Variant, layer_name
from .painting import Painter, Work
from .words import tr

PREVIEW_NAME = "RePaint preview"
SPLIT_NAME = "RePaint split view"
SPLIT = -1  # in place of a variant's index


class Layers:
    """lost: told of a run whose layer was undone or deleted, or its document closed, and of the layer's state.
    painted: told of a run whose picture stands in its layer now, and how many seconds the editor needed to show it.
    say: takes a sentence for the artist, and whether it is an error.
    """

    def __init__(
        self,
        host: Host,
        library: Library,
        lost: Callable[[Run, str], None],
        painted: Callable[[Run, float], None],
        say: Callable[[str, bool], None],
    ) -> None:
        self.host, self.library = host, library
        self.painter = Painter(self._lose, painted)
        self._lost, self._say = lost, say
        self._hidden: Optional[Layer] = None  # while it is hidden to compare with the original
        self._split: Optional[Tuple[Run, Variant, Picture]] = None  # what is to come back into a split layer
        self._splits = 0

    @property
    def comparing(self) -> bool:
        """A layer is hidden just now."""
        return self._hidden is not None

    def prepare(self, run: Run) -> None:
        """For a run that begins: the layer of what it branched from, else a new one. Raises `Refused`."""
        self.whole()
        if run.layer is not None and run.layer.state() == THERE:
            run.layer.rename(PREVIEW_NAME)
        else:
            run.series.layer = self.host.add_layer(
                run.target, PREVIEW_NAME, deselect=run.settings.deselect and not run.kind
            )
            run.series.shown = None

    def watch(self, run: Run) -> None:
        """Looks whether the layer of a run that is on is still there."""
        state = run.layer.state() if run.layer is not None else THERE
        if state != THERE:
            self._lose(run, state)

    def _lose(self, run: Run, state: str) -> None:
        self.painter.stop()
        if self.is_split(run):
            self.whole()
        self._lost(run, state)
        run.series.layer = None

    def put(self, run: Run, variant: Variant, apply: bool = False) -> None:
        """Shows a finished variant in its series' layer; if that is gone, in a new one. Raises `Refused`.

        apply: and leaves the layer to the artist: what is shown next comes into a new one.
        """
        series = run.series
        if self.is_split(run):
            self._split = None  # this picture takes its place
        self.whole()
        if series.layer is None or series.layer.state() != THERE:
            series.layer = self.host.add_layer(run.target, layer_name(run, variant), above_active=True)
            series.painted = (-1, -1, -1)
        run.shown = variant.index
        self.painter.show(run, variant, then=lambda: self._put(run, variant, apply))

    def _put(self, run: Run, variant: Variant, apply: bool) -> Work:
        taken = yield from self.promote(run, variant)
        if not taken:
            self._say(sentences.NOT_TAKEN, True)
        elif apply:
            self.uncover()
            run.series.layer = None
            self._say(tr(sentences.APPLIED).format(layer=layer_name(run, variant)), False)

    def promote(self, run: Run, variant: Variant) -> Generator[None, None, bool]:
        """Gives the layer its lasting name and reads the pixels back; whether the editor took them."""
        yield  # Krita hears of a new layer one turn of the event loop later, and must have before its name changes
        if run.layer is None or variant.picture is None or run.layer.state() != THERE:
            return False
        run.layer.rename(layer_name(run, variant))
        run.series.shown = (run.number, variant.index)
        self.library.selected = (run, variant.index)
        return (yield from run.layer.holds(variant.picture))

    def discard(self, run: Run) -> None:
        """Takes the layer away, or gives it back the earlier variant of the series that it held."""
        self.painter.stop()
        self.uncover()
        layer, earlier = run.layer, run.series.shown
        if layer is None or layer.state() != THERE:
            run.series.layer = None
            return
        before = self.library.find(earlier[0]) if earlier is not None else None
        variant = before.variant(earlier[1]) if before is not None and earlier is not None else None
        if before is not None and variant is not None and variant.picture is not None:
            shown, wanted = before, variant
            self.painter.show(shown, wanted, then=lambda: self._put(shown, wanted, False))
            return
        run.series.layer = None
        layer.clear()
        layer.remove()
        self.host.withdraw(run.target)

    # ---- the split view in the layer ----
    def is_split(self, run: Run) -> bool:
        """The layer of its series shows one."""
        return self._split is not None and self._split[0].series is run.series

    @property
    def split_document(self) -> Optional[str]:
        """The document whose layer shows one; None once the layer is undone or the document closed."""
        if self._split is None:
            return None
        run = self._split[0]
        return run.target.document if run.layer is not None and run.layer.state() == THERE else None

    def split(self, run: Run, variant: Variant, picture: Picture) -> bool:
        """Shows ``picture`` in the layer that holds the variant, until `whole`; False if no layer holds it."""
        if variant.picture is None or run.layer is None or run.layer.state() != THERE:
            return False
        if self.is_split(run):
            self._split = (run, variant, variant.picture)
        elif run.series.shown != (run.number, variant.index):
            return False
        else:
            self.whole()
            self._split = (run, variant, variant.picture)
            run.layer.rename(SPLIT_NAME)
        self._splits += 1
        self.painter.show(run, Variant(SPLIT, 0, picture=picture, version=self._splits))
        return True

    def whole(self) -> None:
        """Gives a split layer its own picture back, at once; an undone one is emptied, so that a redo does not bring
        the split view back."""
        if self._split is None:
            return
        (run, variant, picture), self._split = self._split, None
        self.painter.stop()
        layer, run.series.painted = run.layer, (-1, -1, -1)
        if layer is None:
            return
        if layer.state() != THERE:
            layer.clear()
            return
        for _ in layer.paint(picture):
            pass
        layer.rename(layer_name(run, variant))
        run.series.painted = (run.number, variant.index, variant.version)

    # ---- comparing ----
    def cover(self, run: Run) -> None:
        """Hides the run's layer, so that the original is seen."""
        if self._hidden is None and run.layer is not None and run.layer.state() == THERE:
            self._hidden = run.layer
            run.layer.set_visible(False)

    def uncover(self) -> None:
        if self._hidden is not None:
            layer, self._hidden = self._hidden, None
            layer.set_visible(True)
