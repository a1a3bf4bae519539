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
    "favourite": ("☆", "Add to the favourites, or remove from them"),
    "split": ("◫", "Split view: the original and the pictures chosen last, side by side below bars that you can drag"),
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
    "set_up": ("&Set up", "Fetch the engine and install it for you alone; nobody else's files are touched"),
    "go_on": ("&Continue", "Continue where the last set-up stopped; what has arrived is kept"),
    "repair": ("&Repair", "Set the engine up anew; your pictures, models and settings stay"),
    "update": ("&Update", "Set the new engine up beside the old one, and change to it when it works"),
    "stop_set_up": ("Cancel", "Stop; what has arrived is kept"),
    "show_log": ("Show log", "What has been done so far, line by line"),
    "use_engine": ("Use an existing engine…", "Choose the folder of an engine that has been set up before"),
    "use_box": ("Use another machine…", "Paint on a machine where “repaint-bridge serve-workers” is running"),
    "from_folder": ("Set up from a folder…", "Without a network: choose a folder that holds all packages"),
    "box_connect": ("Paint on another machine", "It paints for this one; the line above says where it is"),
    "box_disconnect": ("Paint here only", "Stop using the other machine"),
    "remove": ("Remove everything…", "Lists what RePaint keeps on this computer, then asks"),
    "remove_now": ("Remove now", "Delete what is listed; there is no undo"),
    "remove_not": ("Keep everything", "Delete nothing"),
    "tour_begin": ("Show me", "Open a small picture and go through the first fill, in twenty seconds"),
    "tour_no": ("No, thanks", "Do not offer it again"),
    "tour_stop": ("Stop here", "End the tour; the picture stays open"),
    "tour_done": ("Done", "Close this note"),
    "stop_download": ("Stop the download", "What has arrived is kept; the next download continues from there"),
}
TIPS: Dict[str, str] = {
    "accept": "Read the licence at its source first; nothing is downloaded without your consent",
    "gallery": "Click: show in the layer. Double-click or Enter: apply. Hold Space: compare. Delete: delete.",
    "split_view": "Drag the bars: the original, the picture chosen before (A), the chosen one (B)",
    "in_layer": "The layer shows the split view, too, until you switch this off, apply a picture, begin a run or save",
    "step_picture": "The picture as it was at this step",
    "step_slider": "Where in the run the branch begins: early (left) or late (right)",
    "tree": "What branched from what; a click shows it in the layer",
    "extend_frame": "Drag the edges of the frame outwards; the new part will be painted",
    "tile_preview": "The picture, repeated two by two",
    "box_line": "The line that “repaint-bridge serve-workers” shows on the other machine: its address and its key",
    "progress": "How far the run is",
    "download_progress": "How far the download is",
    "set_up_progress": "How far the set-up is",
    "set_up_log": "What has been done so far, line by line",
    "schedule_picture": "How a run goes: from noise (top) to the picture (bottom), with jumps back up",
}
IN_LAYER = "Show in the layer"
ACCEPT = "I accept this licence"
WITH_MODELS = "Also the models"
WITH_HISTORY = "Also the history of painted pictures"
CHOOSE_ENGINE = "The folder of an engine"
CHOOSE_BOX = "The line “repaint-bridge connect …” that the other machine shows:"
CHOOSE_SOURCE = "The folder with all packages"
SURE = {
    "drop": "Delete the picture with the seed {seed}?",
    "forget_here": "Delete all pictures of this document?",
    "forget_all": "Delete all pictures of all documents?",
}
