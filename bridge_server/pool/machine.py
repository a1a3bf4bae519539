"""What this machine has for workers, found without torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bridge_server.client import settings
from bridge_server.client.setup.device import SECONDS
from bridge_server.client.setup.programs import output, which

MOST = 64
"""Workers of one machine."""
_DRIVER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Share:
    """Of one worker: the GPU that it sees (as in ``CUDA_VISIBLE_DEVICES``, "" for all or none) and its threads (0: as
    many as it likes)."""

    gpu: str = ""
    threads: int = 0

    def environ(self) -> dict[str, str]:
        """What says so to the worker's libraries; threads that the user has limited stay so."""
        found = {"CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu else {}
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
            if self.threads and name not in os.environ:
                found[name] = str(self.threads)
        return found


def workers(asked: int | None = None) -> int:
    """How many there are to be: those asked for, else as the user has set, else one for each CUDA device.

    0 where there is only the bridge, because another machine paints (`client.setup.boxes`).
    """
    if importlib.util.find_spec("torch") is None:
        return 0
    if asked is None:
        kept = settings.read().get("workers")
        asked = kept if isinstance(kept, int) and 1 <= kept <= MOST else None
    return asked or max(1, min(MOST, len(gpus())))


def shares(count: int) -> list[Share]:
    """What each of so many workers gets; a single one has the machine to itself."""
    if count <= 1:
        return [Share()]
    found, threads = gpus(), max(1, cores() // max(1, count))
    return [Share(found[number % len(found)] if found else "", threads) for number in range(count)]


def cores() -> int:
    """Processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def gpus(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The CUDA devices that a worker could use, as ``CUDA_VISIBLE_DEVICES`` names them; none if torch is built for the
    CPU alone."""
    if not _torch_has_cuda():
        return []
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    tool = which("nvidia-smi")
    told = re.findall(r"^GPU (\d+):", output([tool, "-L"], SECONDS), re.M) if tool else []
    return told or [str(number) for number in range(len(list(_DRIVER.glob("*"))))]


def _torch_has_cuda() -> bool:
    try:
        return not re.search(r"\+(cpu|rocm|xpu)", importlib.metadata.version("torch"))
    except importlib.metadata.PackageNotFoundError:
        return False
