"""Everything that the editors say to the artist beside their fields (`fields`) and buttons (`labels`); `words` has it in
other languages. What stands in braces is filled in when it is said."""

# ruff: noqa: E501 (one sentence, one line)
from __future__ import annotations

from .words import Plural

# ---- which pixels ----
NO_DOCUMENT = "Open a picture first, select the part to repaint, then click RePaint."
NO_SELECTION = "Select the part to repaint first (with any selection tool), then click RePaint."
OUTSIDE = "The selection lies outside the picture; select a part of the picture, then click RePaint."
EMPTY = "The selection is empty; select the part to repaint, then click RePaint."
NO_LAYER = "There is no active layer to read; click a layer, or choose “Visible image” as the source."
NO_MATERIAL = "There is nothing to take the material from yet; choose it under “Take from”, or choose “Around it”."
MATERIAL_GONE = "“{name}” is no longer there; choose again under “Take from” where the material comes from."
MATERIAL_EMPTY = (
    "Nothing of “{name}” can be used: it is empty or lies inside the selection; choose or mark something else."
)
LAYER_EMPTY = "Nothing of the active layer can be used: it is empty outside the selection; click another layer."
UNREADABLE_FILE = "“{name}” cannot be read as a picture; choose another file."
NO_SOURCES = (
    "This model paints what it has learned; to say where the material comes from, choose the model “From this picture”."
)
NO_MAPS = "This model paints one picture only; to paint maps along with it, choose the model “From this picture”."
MAPS_OR_SOURCE = (
    "Maps take their material from around the selection: choose “Around it” under “Take from”, or switch Maps off."
)
TOO_MANY_MAPS = "No more than seven maps can be painted along; tick fewer of them."
MAP_GONE = "The layer “{name}” is no longer there; choose the maps again, then click RePaint."
MAP_SMALLER = (
    "The layer “{name}” does not cover all that the active layer covers; make both the same size, or untick it."
)
HINT_MAPS = "Select several layers, or a layer in a group: the others are then listed here."
HINT_TICK = "Tick the layers to be painted along with the active one."
NOTHING_THERE = "nothing there yet"
SPLIT_SAVED = "The saved file shows the split view; the layer has its own picture again: save once more."
ALIKE = "the same everywhere"
CHOOSE_FILE = "Choose a file …"
NO_SIDE = "Choose how many pixels to add, and on which sides."
TOO_LARGE = "The picture would become too large for one run; add fewer pixels."
CHANGED = "The picture or its selection changed while it was being read; click RePaint again."
CLOSED_DOCUMENT = "The picture of this run is closed; open it and start again."

BAD_OPTION = "The option “{name}” cannot be {value}; the page on scripts in the guide says what it can be."

# ---- the run ----
READY = "Ready."
ENGINE_STARTS = "The engine is starting …"
READING = "Reading the picture …"
WAITING_FOR_ENGINE = "Waiting for the engine …"
STARTING_ENGINE = "Starting the engine …"
RESTARTING = "Restarting the engine …"
QUEUED = Plural("Waiting: {number} run before this one.", "Waiting: {number} runs before this one.")
PREPARING = "Preparing …"
LEARNING = "Learning this picture …"
PAINTING = "Painting …"
CANCELLING = "Cancelling …"
CANCELLED = "Cancelled."
KEEPING = "Stopping; the pictures so far will be kept …"
KEPT = "Stopped; the pictures so far are kept."
DONE = "Done in {seconds} s."
APPLIED = "Applied: {layer}."
NOT_TAKEN = "Done, but the layer does not hold the picture; click the picture below to put it into a layer."
LAYER_GONE = "The preview layer is gone, so this run was stopped; click RePaint to start again."
DOCUMENT_CLOSED = "The picture was closed, so its run was stopped."
NO_CAPTURE = "The surroundings of this picture are no longer in memory; select the area again, then click RePaint."
NO_STEP = "No step of this picture is kept any more: run it again, then branch from it."
BROKEN = "An error in the plug-in stopped this; click again, and if that does not help, see the log: {}"

# ---- progress, variants, branches ----
SECONDS = "{number} s"
MINUTES = "{number} min"
TIME_LEFT = "{time} left"
ABOUT = "about {time}"
SEED = "Seed {seed}"
SEED_WORD = "seed"
STEP = "step {call}"
CONTINUED = "Continued"
STEP_OF = "Step {call} of {calls}"
CALLS = Plural("{number} × {calls} call", "{number} × {calls} calls")
CALLS_EACH = Plural("{calls} network call for each variant", "{calls} network calls for each variant")
NO_CHOICE = "Choose a variant."
NO_STEPS = "Its steps are no longer kept; run it again to branch."

# ---- live ----
LIVE_LARGE = "The selection holds half of the picture or more. Fill it?"

# ---- choosing: one word below a small picture, then what its tip says ----
FITS = "fits"
EDGE = "edge"
TOO_SMOOTH = "smooth"
GRAINY = "grainy"
COPIED = "copied"
FIGURES = "Edge {edge}, grain {grain} (best at 1)"
NEW_SHARE = "{percent} % of it is found nowhere else in the picture"
RING = "Colour difference at the edge (ΔE00): {before} → {after}"
ORIGINAL = "Original"

# ---- models ----
TITLE_NOT_INSTALLED = "{model} (not installed)"
NOT_INSTALLED = "{model} is not installed."
DOWNLOAD_FIRST = "{model} is not installed: download it first, or choose another model."
LICENCE = "Licence: {licence}"
SIZE = "Size: {size}"
NO_SIZE = "Size: known once the download begins"
SOURCE = "From: {source}"
BY_HAND = (
    "It cannot be downloaded automatically: fetch it there by hand, then run “models convert” (docs/guide/models.md)."
)
INCOMPLETE = "Its files are incomplete: put the missing ones into its folder, or remove it (“models remove”)."
DOWNLOADING = "Downloading {model}"
ASKING_FOR_FILES = "Looking up the files …"
STOPPING_DOWNLOAD = "Stopping …"
CHECKING_MODEL = "Checking the model …"
DONE_OF_TOTAL = "{done} of {total}"
MEGABYTES = "{number} MB"
GIGABYTES = "{number} GB"
DOWNLOAD_STOPPED = "Stopped; {done} are kept, and Download continues from there."
DOWNLOAD_LOST = "The engine stopped, and the download with it; click Download again to continue."
INSTALLED = "{model} is installed."

# ---- memory, history, choices ----
FORECAST = "Memory needed for the selection: about {need} MiB."
SHORT = "Only {free} MiB are free: select less, or paint fewer variants."
HISTORY = Plural(
    "History: {count} picture, {used} of {limit} MiB on disk.",
    "History: {count} pictures, {used} of {limit} MiB on disk.",
)
HISTORY_FULL = "The history takes {used} of {limit} MiB: raise the limit or delete pictures on the page “More”."
UNREADABLE = "The settings could not be read, so the defaults are used; the old file is kept beside them as {file}."
SOME_REPLACED = "Some settings were out of range; their defaults are used: {names}."

# ---- setting the engine up, removing it ----
LOOKING_AT_COMPUTER = "Looking at this computer …"
SET_UP_SIZE = "Download: {download}. On the disk: {disk} ({free} are free)."
SET_UP_FROM = "From the folder {folder}, without a download. On the disk: {disk} ({free} are free)."
SET_UP_WHERE = "Into: {folder}"
SET_UP_DEVICE = "Device: {device}"
SET_UP_PYTHON = "Runs on: {python}"
TRYING_ENGINE = "Trying that engine …"
NO_KIT = "This copy of the plug-in cannot set up an engine: install it from its zip file, or use an existing engine."
REMOVAL_GOES = "Will be removed:"
REMOVAL_STAYS = "Will be kept:"
REMOVAL_LINE = "{what}, {size}: {place}"
REMOVING = "Removing …"
REMOVED = "Removed. To remove the plug-in itself, delete its folder."

# ---- a box ----
BOX_ASKED = "Asking …"

# ---- the tour ----
TOUR_OFFER = "RePaint is ready. Would you like to try it on a small picture? It takes twenty seconds."
TOUR_SELECT = "1 of 4: Drag a rectangle around the path with the rectangular selection tool."
TOUR_REPAINT = "2 of 4: Click RePaint selection."
TOUR_WATCH = "Two fills take shape in a new layer. You could go on painting meanwhile."
TOUR_CHOOSE = "3 of 4: Click the other small picture to see it in the layer."
TOUR_UNDO = "4 of 4: Press Ctrl+Z in the picture: the layer is gone, and nothing else has changed."
TOUR_END = "That is all. Open a picture of your own, select something, and click RePaint."

# ---- where there is nothing yet ----
HINT_SELECTION = "Select the part to repaint with any selection tool; then click the button below."
HINT_TILE = "The button below repaints the borders; the tile then appears here, two by two."
HINT_DOCUMENT = "Open a picture first."
HINT_HISTORY = "Nothing has been painted yet. Every picture that you paint is kept here and on disk."
HINT_GALLERY = "What you paint appears here."

# ---- said by the bridge and the engine, and passed on ----
HEARD = (
    "The RePaint engine is not set up for this user yet: open RePaint in Krita or GIMP and click Set up.",
    "The RePaint engine could not be started: open RePaint and click Repair, or restart the computer.",
    "The RePaint engine was started but does not answer yet: try again in a minute.",
    "The RePaint engine's own Python is gone: open RePaint and click Repair.",
    "The RePaint engine does not answer.",
    "The RePaint engine is not running.",
    "Another program answers instead of the RePaint engine: restart the engine, or the computer.",
    "The RePaint engine no longer answers; reconnecting.",
    "RePaint lost the connection to its engine; reconnecting.",
    "The RePaint engine has stopped; it starts again when it is needed.",
    "The RePaint engine lost this editor; reconnecting.",
    "The RePaint engine closed the connection.",
    "The connection to the RePaint engine broke.",
    "The plug-in and the engine have different versions: install both again.",
    "A picture did not arrive whole; connecting again.",
    "The other machine does not answer: the run waits for it for half a minute, then it starts over.",
    "The other machine answers again: the run goes on.",
    "An engine on the other machine stopped unexpectedly; its part is run again.",
    "The other machine is busy with other computers: wait, or disconnect one of those.",
    "The other machine was started again, or waited too long: its unfinished part is run again.",
    "The RePaint engine crashed again and again on this picture: try a smaller selection or another model.",
    "Ray is not installed here: run “python -m pip install 'ray>=2.60'” in RePaint's environment, then try again.",
    "Another model is being downloaded: wait until it is there, or stop it.",
    "Memory was short, so this was painted in smaller parts; a smaller selection may look better.",
    "A RePaint engine stopped unexpectedly; the others go on with its part, and it is being started again.",
    "The RePaint engine stopped unexpectedly; it is being started again.",
    "The download cannot start: make sure that the disk is not full, then click Download again.",
    "The download ended unexpectedly: click Download again, and it continues where it stopped.",
    "The kept steps of this picture are gone: run it again, then branch from it.",
    "The licence of this model has changed: read it, then click Download again.",
    "The seam of a tile would have shown, so it was painted again.",
    "There is not enough memory for this selection; select a smaller region or paint fewer variants.",
    "This model cannot be downloaded: choose another one from the list.",
)
