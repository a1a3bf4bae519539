"""An engine that dies, and memory that is not there."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.driven import HostFailure

from .desk import Desk, died_of_closing


def kill_worker(desk: Desk) -> None:
    os.kill(
        desk.wait_bridge("a worker works", lambda status: status.worker_pid and status.running).worker_pid,
        signal.SIGKILL,
    )


def test_worker_killed_once_is_said_and_healed(desk: Desk) -> None:
    document = desk.new(400, 300)
    desk.choose("test/gaussian-slow", seed=11)
    desk.select(document, 100, 100, 80, 60)
    assert desk.repaint().startswith("Done")
    undisturbed = desk.fingerprint(document)
    desk.undo()
    desk.press()
    desk.wait_preview()
    desk.host.run("""
said, start = [], time.monotonic()
driver.watchers["said"] = lambda: flow.is_error and not said and said.append(time.monotonic() - start)
""")
    kill_worker(desk)
    desk.host.wait("said", seconds=10, what="the engine's death is said")
    sentence = desk.status()
    desk.screenshot("engine-died")
    assert desk.host.run("said[0]") < 2.0
    assert "engine" in sentence.lower()
    assert desk.wait_end(90).startswith("Done")
    assert desk.fingerprint(document) == undisturbed
    assert len(desk.tree(document)) == 2


def test_worker_killed_twice_ends_in_one_sentence(desk: Desk) -> None:
    document = desk.new(400, 300)
    desk.choose("test/gaussian-slow", seed=12)
    desk.select(document, 100, 100, 80, 60)
    before = desk.fingerprint(document)
    desk.press()
    desk.wait_preview()
    first = desk.bridge().worker_pid
    kill_worker(desk)
    desk.wait_bridge("the job runs again", lambda s: s.worker_pid not in (0, first) and s.running, seconds=60)
    kill_worker(desk)
    sentence = desk.wait_end(60)
    desk.screenshot("engine-died-twice")
    assert desk.host.run("flow.is_error")
    assert sentence.count("\n") == 0
    assert "Traceback" not in sentence
    assert sentence.endswith(".")
    assert desk.names(document) == ["Background"]
    assert desk.fingerprint(document) == before
    assert desk.repaint(120).startswith("Done")
    assert desk.names(document)[-1].startswith("RePaint test/gaussian-slow")


# ---------------------------------------------------------------- no memory


@contextmanager
def memory_left(desk: Desk, left: int) -> Iterator[None]:
    """The engine's process gets so many bytes more and no others: a real limit, of the kernel."""
    worker = desk.bridge().worker_pid
    status = Path(f"/proc/{worker}/status").read_text()
    has = 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmData")))
    _, most = resource.prlimit(worker, resource.RLIMIT_DATA)
    resource.prlimit(worker, resource.RLIMIT_DATA, (has + left, most))
    try:
        yield
    finally:
        resource.prlimit(worker, resource.RLIMIT_DATA, (most, most))


@pytest.mark.essential
def test_out_of_memory(desk: Desk) -> None:
    """It goes on in smaller parts and says so; where even these do not fit, it ends in one sentence with what to do.
    The document, the earlier picture and the engine stay, and the next run works."""
    document = desk.new(400, 400)
    desk.choose("test/gaussian-large", seed=21)
    desk.select(document, 20, 20, 30, 30)
    assert desk.repaint().startswith("Done")
    worker = desk.bridge().worker_pid
    desk.select(document, 100, 100, 200, 200)
    with memory_left(desk, 400 << 20):  # a call at 256² wants 1 GiB, one at 128² 256 MiB
        said = desk.repaint()
    desk.screenshot("smaller-parts")
    assert said.startswith("Done")
    assert said.endswith("Memory was short, so this was painted in smaller parts; a smaller selection may look better.")
    assert not desk.host.run("flow.is_error")
    names, before = desk.names(document), desk.fingerprint(document)
    with memory_left(desk, 40 << 20):  # one at 64² 64 MiB
        said = desk.repaint()
    desk.screenshot("out-of-memory")
    assert said == "There is not enough memory for this selection; select a smaller region or paint fewer variants."
    assert desk.host.run("flow.is_error and not flow.can_restart")
    assert desk.names(document) == names
    assert desk.fingerprint(document) == before
    assert desk.host.run("[v.picture is not None for run in flow.runs for v in run.variants]") == [True, True]
    assert desk.repaint().startswith("Done")
    assert desk.bridge().worker_pid == worker, "the engine has lived through it"
    desk.undo()
    assert desk.names(document) == names


FELL = """
Fatal Python error: Segmentation fault

Current thread's C stack trace (most recent call first):
  Binary file "/usr/lib/x86_64-linux-gnu/libc.so.6", at +0x406b0 [0x7f74d024a6b0]
  Binary file "/usr/lib/x86_64-linux-gnu/libkritaui.so.20", at {} [0x7f74d2b885a1]
  Binary file "/usr/lib/x86_64-linux-gnu/libQt5Core.so.5", at _ZN7QObject5eventEP6QEvent+0x193 [0x7f74d0b3eb03]
"""


@pytest.mark.parametrize(
    ("log", "forgiven"),
    [
        (FELL.format("_ZN12KisNodeModel18processUpdateQueueEv+0xc1"), True),
        (FELL.format("_ZN7KisViewD1Ev+0x2f"), True),
        (FELL.format("_ZN7KisView8setModeEv+0x2f"), False),
        (FELL.format("_ZN7KisViewD1Ev+0x2f") + FELL.format("_ZN8KisImage4sizeEv+0x10"), False),
        ("Segmentation fault in _ZN7KisViewD1Ev", False),
        ("", False),
    ],
    ids=["layer list", "view", "view in use", "another one later", "no stack", "nothing"],
)
def test_only_known_deaths_of_closing_are_forgiven(log: str, forgiven: bool) -> None:
    assert died_of_closing(log) == forgiven


def test_a_script_error_that_krita_shows_fails_a_test(desk: Desk) -> None:
    """Of whatever plug-in, and though nobody waits for it."""
    with pytest.raises(HostFailure, match="Script Error\nNameError: name 'brush'"):
        desk.host.run("""
dialog = QtWidgets.QDialog()
dialog.setWindowTitle("Script Error")
QtWidgets.QLabel("NameError: name 'brush' is not defined", dialog)
dialog.show()
driver._look_for_errors()
dialog.close()
""")
