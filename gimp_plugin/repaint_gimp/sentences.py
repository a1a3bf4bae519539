"""What only GIMP has to say; `words` has it in other languages."""

from __future__ import annotations

from typing import Dict, Tuple

FLOATING = "There is a floating selection; anchor it or make it a layer first, then click RePaint."
NOT_ADDED = "GIMP did not add the preview layer; unlock the group of the active layer and try again."
OTHER_SIZE = "The picture's size has changed since it was extended; extend it again."
NO_WINDOW = "RePaint's window cannot be shown here; run the procedure non-interactively."
NO_SCRIPT = "This procedure does nothing without a window; run it interactively."
IMAGE = "&Image"
IMAGE_TIP = "The image to work on"

# entries of the menu and what they do
MENU: Dict[str, Tuple[str, str]] = {
    "selection": ("RePaint selection…", "Repaint the selected part in a new layer"),
    "extend": ("Extend canvas…", "Enlarge the canvas and paint the new part in a new layer"),
    "seamless": ("Make seamless…", "Repaint the borders in a new layer so that the picture can be repeated"),
    "variants": ("Variants…", "Choose, apply and branch the pictures painted so far"),
}
