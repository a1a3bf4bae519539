"""What a set-up starts from: a folder ``kit`` with the project's wheel, its lock file and its licence.

``lock.json``::

    {"version": 1, "index": "https://…/simple",                used where neither pip nor uv was told another one
     "python": ["3.11", "3.12"],                               the versions that suit, the best one first
     "project": PACKAGE,                                       its one file lies in the kit itself
     "uv": PACKAGE, "packages": [PACKAGE, …],
     "disk": {"cpu": 1900000000, "cpu-win32-amd64-3.12": …},   bytes of an environment: by flavour, or nearer
     "licence": "GPL-3.0-or-later",                            may be left out, and so may
     "needs": {"cuda": {"driver": "580", "capability": "7.5"}}}    the oldest driver and card of a flavour

    PACKAGE = {"name": "numpy", "version": "2.4.0", "marker": "", "flavour": "", "index": "",
               "files": [{"name": "numpy-….whl", "sha256": …, "size": …}, …]}

``flavour`` "" belongs to all; a package may stand there several times. The flavours that there are for a computer are
those of torch. A package's own ``index`` is asked after those of the settings and may be left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Set

from bridge_server.client.errors import SetUpFailed
from bridge_server.client.setup import sentences, tags
from bridge_server.client.setup.sentences import say
from bridge_server.client.setup.tags import Target

PROJECT = "repaint-bridge"
BOX = "box"
"""The flavour of an environment that holds the bridge alone: another machine paints for it."""
_OF_THE_BRIDGE = ("pyzmq",)


@dataclass(frozen=True)
class Wheel:
    """One file that is needed: ``project`` in its normal form, ``index`` an address of its own or ""."""

    project: str
    version: str
    name: str
    sha256: str
    size: int
    index: str = ""


def lock_digest(folder: Path) -> str:
    """Names a kit by all that it installs."""
    return hashlib.sha256((folder / "lock.json").read_bytes()).hexdigest()


def project_version(folder: Path) -> str:
    """The version of the project in a kit, by the name of its wheel; "" if there is none."""
    names = [path.name for path in folder.glob("repaint_bridge-*.whl")]
    return names[0].split("-")[1] if len(names) == 1 else ""


class Kit:
    """A kit, read. Raises SetUpFailed if it is not whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.lock: Dict[str, Any] = json.loads((folder / "lock.json").read_text(encoding="utf-8"))
            self.digest = lock_digest(folder)
            (own,) = self.lock["project"]["files"]
            self.version = str(self.lock["project"]["version"])
            self.wheel = Wheel(PROJECT, self.version, own["name"], own["sha256"], own["size"])
            self.pythons = [(int(each.split(".")[0]), int(each.split(".")[1])) for each in self.lock["python"]]
            if self.lock["version"] != 1 or not self.pythons:
                raise ValueError("a lock file of another kind")
            if (folder / own["name"]).stat().st_size != own["size"]:
                raise ValueError("the wheel has another size")
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise SetUpFailed(say(sentences.KIT_BROKEN), f"{folder}: {error!r}") from None

    @property
    def index(self) -> str:
        return str(self.lock.get("index", ""))

    @property
    def licence(self) -> str:
        return str(self.lock.get("licence", "GPL-3.0-or-later"))

    def flavours(self, target: Target) -> Set[str]:
        """The flavours that there are on this platform."""
        torch = [each for each in self._packages(target) if each["name"] == "torch"]
        return {each.get("flavour") or "cpu" for each in torch}

    def wheels(self, target: Target, flavour: str) -> List[Wheel]:
        """One file of every package that belongs into the environment, the project's own excepted.

        Raises SetUpFailed if one has none for ``target``.
        """
        chosen = [each for each in self._packages(target) if each.get("flavour", "") in ("", flavour)]
        if flavour == BOX:
            chosen = [each for each in chosen if each["name"] in _OF_THE_BRIDGE]
        return [_best(each, target) for each in chosen]

    def _packages(self, target: Target) -> List[Dict[str, Any]]:
        return [each for each in self.lock["packages"] if tags.holds(each.get("marker", ""), target)]

    def uv(self, target: Target) -> Wheel:
        """The wheel that holds uv for this computer."""
        return _best(self.lock["uv"], target)

    @property
    def roots(self) -> Wheel | None:
        """The wheel of certifi, which is for every Python."""
        found = [each for each in self.lock["packages"] if each["name"] == "certifi"]
        file = found[0]["files"][0] if found else {}
        return Wheel("certifi", found[0]["version"], file["name"], file["sha256"], file["size"]) if found else None

    def disk(self, target: Target, flavour: str) -> int:
        """Bytes of a finished environment, or a guess by its wheels."""
        known = self.lock.get("disk", {})
        guess = 4 * sum(wheel.size for wheel in [*self.wheels(target, flavour), self.wheel])
        nearest = "{}-{}-{}.{}".format(flavour, target.name, *target.python)
        return int(known.get(nearest) or known.get(flavour) or guess)

    def environment_name(self, target: Target, flavour: str) -> str:
        """For instance "0.6.0-1a2b3c4d": another one for other packages, another flavour or another Python."""
        told = f"{self.digest} {flavour} {target.python}"
        return f"{self.version}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _best(package: Dict[str, Any], target: Target) -> Wheel:
    ranked = [(tags.rank(file["name"], target), file) for file in package["files"]]
    suitable = [(order, file["name"], file) for order, file in ranked if order is not None]
    if not suitable:
        computer = f"{target.name}, Python {target.python[0]}.{target.python[1]}"
        raise SetUpFailed(say(sentences.NOT_FOR_COMPUTER, name=package["name"], computer=computer))
    file = min(suitable)[2]
    if Path(file["name"]).name != file["name"]:
        raise SetUpFailed(say(sentences.KIT_BROKEN), f"not a plain name: {file['name']}")
    name = package["name"].lower().replace("_", "-").replace(".", "-")
    return Wheel(name, package["version"], file["name"], file["sha256"], file["size"], package.get("index", ""))
