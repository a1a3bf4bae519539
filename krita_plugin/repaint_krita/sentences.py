"""What only Krita has to say; `words` has it in other languages."""

from __future__ import annotations

from typing import Dict

NO_GROWTH = "Krita did not enlarge the canvas; unlock the picture's layers and try again."
NOT_ADDED = "Krita did not add the preview layer; unlock the group of the active layer and try again."
NO_SPACE = "Krita lacks this picture's colour profile; install that profile again, then apply the variant."

# actions, to which shortcuts can be assigned
ACTIONS: Dict[str, str] = {
    "repaint_selection": "RePaint selection",
    "repaint_extend": "RePaint: extend the picture",
    "repaint_tile": "RePaint: make a tile",
    "repaint_keep": "RePaint: stop and keep",
    "repaint_cancel": "RePaint: cancel",
    "repaint_next": "RePaint: next variant",
    "repaint_previous": "RePaint: previous variant",
    "repaint_apply": "RePaint: apply the variant",
    "repaint_compare": "RePaint: compare with the original",
    "repaint_more": "RePaint: more variants",
}
