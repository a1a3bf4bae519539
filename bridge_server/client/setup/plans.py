"""The plan of a set-up: what an artist sees before the click."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import List, Tuple

from bridge_server.client import launch
from bridge_server.client.errors import BridgeError, SetUpFailed
from bridge_server.client.setup import boxes, environments, pythons, sentences
from bridge_server.client.setup import device as devices
from bridge_server.client.setup.kit import BOX, PROJECT, Kit, Wheel
from bridge_server.client.setup.pythons import Python
from bridge_server.client.setup.runner import of_system
from bridge_server.client.setup.sentences import say
from bridge_server.client.setup.tags import Target

log = logging.getLogger("repaint.setup")

SPARE = 200_000_000  # bytes that stay free
MUCH = 1.5


NOWHERE = Target("", "", (0, 0))


@dataclass(frozen=True)
class Plan:
    """What will be done; sizes in bytes.

    ``python`` and ``device`` are words for people ("Python 3.12 of this computer", "NVIDIA GeForce …").  ``download``:
    what is still to be fetched; ``disk``: what stays on the disk; ``problem``: "" or the sentence why it cannot start.
    ``box``: the machine that is to paint, "HOST:PORT" or "HOST:PORT KEY", for the flavour of that name.
    The last four are SetUp's own: the interpreter, "" if one must be fetched, how wheels see it, which packages are
    wanted, and which of them are not in the environment yet.
    """

    folder: Path
    python: str
    device: str
    flavour: str
    download: int
    disk: int
    free: int
    licence: str
    problem: str = ""
    box: str = ""
    interpreter: str = ""
    target: Target = NOWHERE
    wheels: Tuple[Wheel, ...] = ()
    lacking: Tuple[Wheel, ...] = ()


def plan(kit: Path, source: Path | None = None, flavour: str = "auto", box: str = "") -> Plan:
    """Look at the kit and at this computer; a second or two, so call it in a thread. Raises nothing.

    ``source``: a folder of wheels, from which all is taken; ``flavour``: "auto" or one of cpu, cuda, rocm, mps.
    ``box``: the line that "repaint-bridge serve-workers" shows on the machine that is to paint. Without one, a computer
    for which a box paints already is set up in this way again.
    """
    try:
        box = boxes.read(box) if box else boxes.painting()
        return _plan(kit, source, BOX if box else flavour, box)
    except BridgeError as error:
        problem = error.sentence
    except OSError as error:
        log.exception("no plan")
        problem = of_system(error, launch.user_folders().data).sentence
    except (ValueError, KeyError, TypeError):
        log.exception("no plan")
        problem = say(sentences.KIT_BROKEN)
    return Plan(environments.engines(), "", "", "cpu", 0, 0, 0, "", problem)


def _plan(kit: Path, source: Path | None, flavour: str, box: str) -> Plan:
    data = launch.user_folders().data
    free = shutil.disk_usage(str(_nearest(data))).free
    read = Kit(kit)
    python, chosen, words = _chosen(read, flavour, box)
    target = python.target
    folder = environments.engines() / read.environment_name(target, chosen)
    wanted = tuple(read.wheels(target, chosen))
    lacking = tuple(lacking_in(folder, read, wanted))
    place = source or environments.wheels()
    absent = [wheel for wheel in to_fetch(folder, read, target, lacking) if not there(place, wheel)]
    download = 0 if source else sum(wheel.size - _part(place, wheel) for wheel in absent)
    disk = read.disk(target, chosen)
    stays = 0 if environments.read_stamp(folder) else disk
    problem = ""
    closed = [each for each in astuple(launch.user_folders()) if not _writable(each)]
    if source and absent:
        problem = say(sentences.SOURCE_LACKS, place=source, name=absent[0].name)
    elif closed:
        problem = say(sentences.READ_ONLY, place=closed[0])
    elif free < download + stays + SPARE:
        need = f"{(download + stays + SPARE) / 1e9:.1f} GB"
        problem = say(sentences.NO_ROOM, need=need, free=f"{free / 1e9:.1f} GB")
    said = say(sentences.OF_COMPUTER if python.executable else sentences.OWN_PYTHON, version=python.version)
    own = (box, python.executable, target, wanted, lacking)
    return Plan(folder, said, words, chosen, download, disk, free, read.licence, problem, *own)


def _chosen(kit: Kit, wanted: str, box: str) -> Tuple[Python, str, str]:
    """The Python, its ``executable`` empty if it must be fetched, the flavour, and words for the device.

    A Python of this computer, unless a build for another one is much smaller: not every build is for every Python.
    """
    device = devices.find()
    trouble: BridgeError | None = None

    def fitting(python: Python) -> List[Tuple[int, Python, str, str]]:
        """That Python with the size of its environment, or nothing if there are no wheels for it."""
        nonlocal trouble
        there = kit.flavours(python.target)
        if box:
            flavour, words = BOX, say(sentences.BOX_PAINTS, place=box.split()[0])
        else:
            flavour, words = devices.chosen(device, there, kit.lock.get("needs", {}), wanted)
            flavour = flavour if flavour in there or not there else min(there)
        try:
            kit.wheels(python.target, flavour)
        except SetUpFailed as error:
            trouble = trouble or error
            return []
        return [(kit.disk(python.target, flavour), python, flavour, words)]

    fetched: List[Tuple[int, Python, str, str]] = []
    for version in kit.pythons:
        fetched += fitting(Python("", "{}.{}".format(*version), pythons.to_bring(version)))
    smallest = min((size for size, _, _, _ in fetched), default=0)
    for found in pythons.find(kit.pythons, environments.pythons()):
        for size, python, flavour, words in fitting(found):
            if not smallest or size <= MUCH * smallest:
                return python, flavour, words
    if not fetched:
        raise trouble or SetUpFailed(say(sentences.KIT_BROKEN))
    return min(fetched, key=lambda each: each[0])[1:]


def lacking_in(folder: Path, kit: Kit, wanted: Tuple[Wheel, ...]) -> List[Wheel]:
    """What must still be installed: everything, or what is broken in an environment that was whole once."""
    everything = [*wanted, kit.wheel]
    if environments.read_stamp(folder) is None or environments.site_packages(folder) is None:
        return everything
    broken = environments.broken_files(folder)
    return [wheel for wheel in everything if wheel.project in broken]


def to_fetch(folder: Path, kit: Kit, target: Target, lacking: Sequence[Wheel]) -> List[Wheel]:
    """What must be in the folder of wheels: what is lacking, and uv if there is something for it to do."""
    tool = [kit.uv(target)] if lacking or not environments.interpreter_works(folder) else []
    return [*tool, *(wheel for wheel in lacking if wheel.project != PROJECT)]


def there(folder: Path, wheel: Wheel) -> bool:
    """Whether a file of the right size lies in the folder."""
    try:
        return (folder / wheel.name).stat().st_size == wheel.size
    except OSError:
        return False


def _part(folder: Path, wheel: Wheel) -> int:
    try:
        return min(wheel.size, (folder / (wheel.name + ".part")).stat().st_size)
    except OSError:
        return 0


def _nearest(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.is_dir() or path == path.parent)


def _writable(folder: Path) -> bool:
    return os.access(str(_nearest(folder)), os.W_OK)
