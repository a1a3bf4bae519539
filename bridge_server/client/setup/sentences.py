"""Everything that set-up says.  ``translate`` is the editor's own `tr`, if it has one; braces are filled in here."""

# ruff: noqa: E501 (one sentence, one line)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

translate: Callable[[str], str] = str


def say(sentence: str, **fields: Any) -> str:
    """The sentence in the artist's language, its braces filled in."""
    text = translate(sentence)
    for name, value in fields.items():
        text = text.replace("{" + name + "}", str(value))
    return text


# ---- found ----
MISSING = "The engine is not set up yet: click Set up."
UNFINISHED = "The set-up of the engine was begun and not finished; it continues where it stopped."
PYTHON_GONE = "The Python that the engine needs is gone: click Repair."
PARTS_GONE = "Parts of the engine are missing ({names}): click Repair."
NOT_WHOLE = "The engine is incomplete: click Repair."
NOT_STARTING = "The engine does not start ({reason}): click Repair."
WEIGHTS_CUT = "A file of the model is incomplete ({name}): click Repair."
OLD = "The engine's version is {old}, and {new} came with this plug-in: click Update."
NO_BOX = "No other machine is connected any more: click Set up for an engine on this one."
FOLDER_GONE = "The folder of the engine is gone ({place}): click Set up."

# ---- the plan ----
OF_COMPUTER = "Python {version} of this computer"
OWN_PYTHON = "Python {version}, downloaded for the engine alone"
NO_GPU = "No GPU was found: the processor does the work"
KIT_BROKEN = "The plug-in's folder “kit” is incomplete: install the plug-in again from its zip."
NOT_FOR_COMPUTER = "The engine cannot run on this computer: there is no {name} for {computer}."
NO_ROOM = "There is too little room on the disk: {need} are needed and {free} are free; make room, then try again."
READ_ONLY = "RePaint may not write to {place}: make it writable for yourself, then try again."
SOURCE_LACKS = (
    "The folder {place} lacks {name}: make it again with “installer.py package --offline”, or choose another folder."
)
PROCESSOR = "The processor does the work"
BOX_PAINTS = "The machine {place} does the work"
NOT_THE_LINE = (
    "This is not the line of another machine: copy all of “repaint-bridge connect …”, as that machine shows it."
)
NO_BUILD = "{name} (there is no build for it yet: the processor does the work)"
OLD_DRIVER = "{name} (its driver {driver} is too old, {need} is needed: the processor does the work)"
OLD_CARD = "{name} (too old for the engine: the processor does the work)"

# ---- the steps ----
DOWNLOAD = "Download the packages"
COPY = "Check the packages"
GET_PYTHON = "Get Python {version}"
INSTALL = "Install the packages"
TRY = "Try a small fill"
CONNECT = "Connect to the other machine"
SWITCH = "Make it the engine"
OTHER_EDITOR = "Another program is setting the engine up; this shows how far it is."
CANCELLED = "Stopped; what has arrived is kept. Click Continue to go on from there."
READY = "The engine is set up."

# ---- what can go wrong ----
NO_NETWORK = "{host} cannot be reached: check the network, then try again; it goes on where it stopped."
STALLED = "{host} stopped sending: check the network, then try again; it goes on where it stopped."
SERVER_ERROR = "{host} has a problem (it says {status}): try again later; it goes on where it stopped."
DENIED = "{host} asks for a user name and a password (it says {status}): check those in pip's settings, then try again."
PROXY_DENIED = (
    "The proxy of this network wants a user name and a password: put them into pip's setting “proxy”, then try again."
)
NO_SSL = "The Python of this editor cannot speak https: choose “Set up from a folder”, or set up from another editor."
PROXY_KIND = "The proxy {proxy} is of a kind that set-up cannot use: name an http proxy in pip's setting “proxy”, then try again."
WEB_PAGE = "{host} sent a web page instead of packages: sign in to this network with a browser, or correct pip's setting “proxy”, then try again."
BAD_ADDRESS = "The address of {host} is not right: correct pip's settings “index-url” and “find-links”, then try again."
NOT_THERE = "{name} is not at {host}: check pip's setting “index-url” and try again, or use a newer plug-in."
NO_INDEX = "{name} is not in the folders of pip's setting “find-links”, and “no-index” forbids looking elsewhere: correct them, then try again."
WRONG_HASH = "{name} from {host} is not the file that it should be: try again, and if that does not help, choose another network or index."
CERTIFICATE = (
    "{host} cannot prove its identity: check the clock of this computer and pip's setting “cert”, then try again."
)
DISK_FULL = "The disk is full: make room on the disk of {place}, then try again; it goes on where it stopped."
NO_PYTHON = (
    "Python {version} could not be downloaded: install Python {version} yourself or check the network, then try again."
)
NOT_ALLOWED = "{program} may not be started here: allow it in the settings of the antivirus program, or move your data folder, then try again."
INSTALL_FAILED = "The packages could not be installed: try once more, and if that does not help, look at the log."
TRY_FAILED = "The engine was installed but does not work ({reason}): look at the log, then try again."
NOT_CONNECTED = "The other machine does not answer: check that “repaint-bridge serve-workers” is still running there, then try again."
TRY_STUCK = "The engine was installed but did not answer: restart the computer, then try again."
NO_LOCKS = "The disk of {place} does not support file locks, which RePaint needs: set REPAINT_BRIDGE_HOME to a folder on another disk, then try again."
IN_USE = "Files of the old engine are in use ({place}): close Krita and GIMP, start one of them and try again."
UNEXPECTED = "Set-up was stopped by an error: try once more, and if that does not help, look at the log."

# ---- an engine that is there ----
NO_ENGINE = "There is no engine in {place}: choose the project's folder after “installer.py” was run in it."
ENGINE_BROKEN = "The engine in {place} does not work ({reason}): look at the log, then try again."

# ---- broken parts ----
CANNOT_START = "The Python of the engine does not start: click Repair."
PACKAGE_BROKEN = "The package {name} is incomplete: click Repair."
WEIGHTS_BROKEN = "The model's file {name} is not what it should be: click Repair."
CANNOT_LOAD = "{name} cannot be loaded ({reason}): click Repair."

# ---- removal ----
ENGINES = "The engine with its packages"
PYTHONS = "Python, downloaded for the engine"
DOWNLOADS = "Left-over downloads of the set-up"
SETTINGS = "Settings and choices"
LEARNED = "What was learned from your pictures"
LOGS = "Logs and the files of the running engine"
MODELS = "Models that you downloaded"
HISTORY = "The history: your pictures and their steps"
OTHERS = "Files that RePaint did not make"
BEING_SET_UP = (
    "The engine is being set up by another program: wait until it is done, or cancel it there, then try again."
)
BRIDGE_BUSY = "The engine is still working: stop the runs in Krita and GIMP, then try again."
IN_HOME = "REPAINT_BRIDGE_HOME is {place}, where your other files lie, so nothing was removed: set it to a folder of RePaint's own, then try again."
