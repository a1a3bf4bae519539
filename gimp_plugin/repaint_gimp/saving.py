"""No image stays saved with a layer that shows several pictures. GIMP tells of no saving."""

from __future__ import annotations

from bridge_server.client.editor.pump import Pump
from bridge_server.client.gtk.choosing import InLayerBox, SplitView

from .lookup import is_changed


class SavingInLayerBox(InLayerBox):
    """Unticked once its image has been saved: it was changed, and is not any more."""

    def __init__(self, pump: Pump, view: SplitView) -> None:
        super().__init__(pump, view)
        self._pump, self._looking, self._changed = pump, False, False

    def refresh(self) -> None:
        super().refresh()
        if self.is_on() and not self._looking:
            self._looking, self._changed = True, False
            self._pump.repeat("saved", self._look)

    def _look(self) -> bool:
        """True when the layer shows its own picture again."""
        document = self.document()
        if document is None:
            self._looking = self.is_on()
            return not self._looking
        changed = is_changed(document)
        if self._changed and not changed:
            self.saved()
        self._changed = changed
        return False
