"""What a run costs: seconds and peak memory of a process, and the machine's name."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass
class Cost:
    """Filled in by :func:`measured`.

    Attributes:
        seconds: wall clock.
        peak_mib: highest resident memory of the whole process meanwhile, or on CUDA the most memory that torch held on
            the device; None where the system does not tell.
    """

    seconds: float = 0.0
    peak_mib: float | None = None


@contextmanager
def measured(device: torch.device) -> Iterator[Cost]:
    """Measure a block: seconds on a monotonic clock (the device's queue drained before and after) and peak memory."""
    cost = Cost()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    resettable = device.type == "cuda" or _reset_peak()
    began = time.monotonic()
    try:
        yield cost
    finally:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        cost.seconds = time.monotonic() - began
        if device.type == "cuda":
            cost.peak_mib = torch.cuda.max_memory_allocated(device) / 2**20
        elif resettable:
            cost.peak_mib = _status("VmHWM")


def resident_mib() -> float | None:
    """Resident memory of this process now (Linux)."""
    return _status("VmRSS")


def device_name(device: torch.device) -> str:
    """The name of the GPU, or of the processor with the number of threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return f"{name}, {torch.get_num_threads()} threads of {os.cpu_count()}"


def load_average() -> float | None:
    """How many processes want to run, averaged over the last minute: timings on a busy machine are said to be so."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def _reset_peak() -> bool:
    """Make the kernel forget this process's highest memory so far (Linux, proc(5) clear_refs)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(key: str) -> float | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None
