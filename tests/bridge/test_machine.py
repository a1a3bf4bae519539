"""How many workers a machine gets, and what each of them may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge_server.client import launch, settings
from bridge_server.pool import machine
from bridge_server.pool.machine import Share

TWO = "GPU 0: NVIDIA H200 (UUID: GPU-1)\nGPU 1: NVIDIA H200 (UUID: GPU-2)\n  MIG 1g.18gb Device 0: (UUID: MIG-3)\n"


@pytest.fixture(autouse=True)
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two of NVIDIA's, a torch for CUDA, and eight processors; no settings."""
    monkeypatch.setenv(launch.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda _name: "2.13.0")
    monkeypatch.setattr(machine, "which", lambda name: "/usr/bin/" + name)
    monkeypatch.setattr(machine, "output", lambda _command, _seconds: TWO)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.delenv(name, raising=False)


def test_one_worker_for_each_gpu() -> None:
    assert machine.workers() == 2
    assert machine.shares(2) == [Share("0", 4), Share("1", 4)]
    assert [share.gpu for share in machine.shares(3)] == ["0", "1", "0"]
    assert machine.shares(2)[1].environ()["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_single_worker_has_the_machine_to_itself() -> None:
    assert machine.shares(1) == [Share()]
    assert Share().environ() == {}


@pytest.mark.parametrize(
    ("visible", "names"), [("1", ["1"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"]), ("-1", []), ("", [])]
)
def test_what_the_user_hides_stays_hidden(visible: str, names: list[str]) -> None:
    assert machine.gpus({"CUDA_VISIBLE_DEVICES": visible}) == names


@pytest.mark.parametrize("version", ["2.13.0+cpu", "2.13.0+rocm7.1", "2.13.0+xpu"])
def test_another_build_of_torch_has_no_use_for_them(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda _name: version)
    assert machine.workers() == 1
    assert machine.shares(2) == [Share("", 4), Share("", 4)]


def test_threads_that_the_user_has_limited_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" not in machine.shares(2)[0].environ()
    assert machine.shares(2)[0].environ()["NUMBA_NUM_THREADS"] == "4"


def test_what_is_asked_for_goes_before_what_is_set_and_that_before_the_gpus() -> None:
    settings.write("workers", 5)
    assert machine.workers() == 5
    assert machine.workers(3) == 3
    settings.write("workers", "many")
    assert machine.workers() == 2
    settings.write("workers", 10**6)
    assert machine.workers() == 2
