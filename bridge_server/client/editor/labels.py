"""What the editors' buttons are called and what stands in the tips of everything that is no field (`fields`)."""

from __future__ import annotations

from typing import Dict, Tuple

# name of the widget → text and tip; an icon has no text
BUTTONS: Dict[str, Tuple[str, str]] = {
    "dice": ("", "Draw another seed"),
    "keep": ("&Keep", "Stop now and keep the pictures as they are; they can be continued later"),
    "cancel": ("&Cancel", "Stop and remove the preview layer"),
    "restart": ("Restart the &engine", "Start the engine process again"),
    "copy_seed": ("", "Copy the seed"),
    "drop": ("", "Delete this picture, also from disk"),
    "apply": ("&Apply", "Keep this picture in its layer; the next one gets a new layer"),
    "compare": ("Com&pare", "Show the original while pressed (on the pictures: hold Space)"),
    "more": ("More &variants", "Paint more pictures with the next seeds"),
    "more_like": ("More &like this", "Paint variations of this picture"),
    "branch": ("&Branch", "Paint new variants from this step"),
    "resume": ("C&ontinue", "Finish painting the stopped picture"),
    "reset": ("Reset", "Set everything on this page back to its default"),
    "forget_here": ("Delete this picture's history", "Delete all variants of this document, also from disk"),
    "forget_all": ("Delete the whole history", "Delete all variants of all documents, also from disk"),
    "download": ("&Download", "Fetch the model and install it; you can go on painting with another one"),
    "stop_download": ("Stop the download", "What has arrived is kept; the next download continues from there"),
}
TIPS: Dict[str, str] = {
    "accept": "Read the licence at its source first; nothing is downloaded without your consent",
    "gallery": "Click: show in the layer. Double-click or Enter: apply. Hold Space: compare. Delete: delete.",
    "step_picture": "The picture as it was at this step",
    "step_slider": "Where in the run the branch begins: early (left) or late (right)",
    "tree": "What branched from what; a click shows it in the layer",
    "extend_frame": "Drag the edges of the frame outwards; the new part will be painted",
    "tile_preview": "The picture, repeated two by two",
    "schedule_picture": "How a run goes: from noise (top) to the picture (bottom), with jumps back up",
}
ACCEPT = "I accept this licence"
SURE = {
    "drop": "Delete the picture with the seed {seed}?",
    "forget_here": "Delete all pictures of this document?",
    "forget_all": "Delete all pictures of all documents?",
}
