"""What will do the work: found without torch, in well under a second."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Set, Tuple

from bridge_server.client.setup import sentences
from bridge_server.client.setup.programs import output, which
from bridge_server.client.setup.sentences import say
from bridge_server.client.setup.tags import numbers

SECONDS = 5.0  # a driver that hangs is no driver
TOPOLOGY = Path("/sys/class/kfd/kfd/topology/nodes")
_NVIDIA = ["--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]


@dataclass(frozen=True)
class Device:
    """``flavour``: the build that would use it, "cpu" without a GPU; ``name`` for people; versions as text or ""."""

    flavour: str
    name: str = ""
    driver: str = ""
    capability: str = ""


def find() -> Device:
    """The GPU of this computer: NVIDIA, AMD (ROCm on Linux) or Apple's."""
    if sys.platform == "darwin":
        return Device("mps", "Apple GPU") if machine() == "arm64" else Device("cpu")
    return _nvidia() or (_amd() if sys.platform.startswith("linux") else None) or Device("cpu")


def machine() -> str:
    """``platform.machine()``, but of the hardware where the editor runs translated."""
    if sys.platform == "darwin" and output(["/usr/sbin/sysctl", "-n", "hw.optional.arm64"], SECONDS).strip() == "1":
        return "arm64"
    return platform.machine()


def _nvidia() -> Device | None:
    system = Path(os.environ.get("SYSTEMROOT") or "C:/Windows") / "System32"
    folders = [str(system)] if sys.platform == "win32" else ["/usr/bin", "/usr/local/bin", "/usr/lib/wsl/lib"]
    for tool in (which("nvidia-smi"), which("nvidia-smi", os.pathsep.join(folders))):
        lines = output([tool, *_NVIDIA], SECONDS).strip().splitlines() if tool else []
        if lines and lines[0].count(",") == 2:
            name, driver, capability = (part.strip() for part in lines[0].split(","))
            return Device("cuda", name, driver, capability)
    return None


def _amd() -> Device | None:
    """By the kernel's own list, which needs no tool; the name by rocminfo, if it is there."""
    found = False
    for path in TOPOLOGY.glob("*/properties"):
        with contextlib.suppress(OSError):  # not everybody may read each of them
            found = found or bool(re.search(r"^gfx_target_version [1-9]", path.read_text(), re.M))
    tool = which("rocminfo") or which("rocminfo", "/opt/rocm/bin")
    told = output([tool], SECONDS) if tool else ""
    agents = [agent for agent in told.split("*******")[1:] if re.search(r"Device Type:\s+GPU", agent)]
    names = [
        match.group(1).strip() for match in (re.search(r"Marketing Name:(.*)", agent) for agent in agents) if match
    ]
    return Device("rocm", names[0] if names and names[0] else "AMD GPU") if found or agents else None


def chosen(device: Device, there: Set[str], needs: Mapping[str, Any], wanted: str = "auto") -> Tuple[str, str]:
    """The flavour to set up, and the words for what will do the work.

    ``there``: the lock file's flavours for this platform; ``needs``: its oldest drivers and cards, by flavour.
    """
    if wanted not in ("auto", device.flavour):
        return (wanted, wanted.upper()) if wanted in there - {"cpu"} else ("cpu", say(sentences.PROCESSOR))
    if device.flavour == "cpu":
        return "cpu", say(sentences.NO_GPU)
    if device.flavour not in there:
        return "cpu", say(sentences.NO_BUILD, name=device.name)
    need = needs.get(device.flavour, {})
    if device.capability and numbers(device.capability) < numbers(need.get("capability", "")):
        return "cpu", say(sentences.OLD_CARD, name=device.name)
    if device.driver and numbers(device.driver) < numbers(need.get("driver", "")):
        words = say(sentences.OLD_DRIVER, name=device.name, driver=device.driver, need=need["driver"])
        return "cpu", words
    return device.flavour, device.name
