"""Processes die at bad moments: the plug-in, a script's run, GIMP itself. Nothing finished is lost."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.driven import Display, HostFailure

from .conftest import bridge_in
from .desk import Desk, Image
from .host import GimpHost

CRASH = re.compile("Plug-in crashed")
QUEUE = (
    "from bridge_server.client.editor.flow import request\n"
    "flow.session.submit(request(flow.run.capture, Settings('test/gaussian-slow', 'fast', 8), note(flow.run)))"
)


@pytest.fixture
def host(work: Path, display: Display) -> Iterator[GimpHost]:
    """A GIMP of this test's own, with a bridge of its own: another GIMP at the same one has the user's name there."""
    folder = work / f"own-{time.monotonic_ns()}"
    with bridge_in(folder / "bridge"):
        made = GimpHost(folder, display)
        made.start()
        yield made
        made.kill()


def begin(host: GimpHost, variants: int = 1) -> tuple[Desk, Image]:
    """An image with a selection and a run with previews; seeds from 7 on."""
    desk = Desk(host)
    desk.open_window()
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    desk.choose("test/gaussian-slow", seed=7, variants=variants)
    desk.press(image)
    desk.wait_preview()
    return desk, image


def search_and_run(host: GimpHost, action: str) -> None:
    """GIMP's own search for menu entries, by the keyboard."""
    host.xdo("windowactivate", "--sync", host.window_of("GIMP$"))
    host.keys("Escape", "slash")
    host.window_of("Search Actions")
    host.xdo("type", "--delay", "30", action)
    time.sleep(1.0)
    host.keys("Return")


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()


def wait_gone(host: GimpHost, pid: int, seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not gone(pid):
        if time.monotonic() > deadline:
            host.screenshot("still-alive")
            raise HostFailure(f"process {pid} still lives after {seconds} s")
        time.sleep(0.02)


def kill(host: GimpHost, pid: int) -> None:
    host.expected = CRASH
    os.kill(pid, signal.SIGKILL)


def cancel_in_dialog(host: GimpHost, _pid: int) -> None:
    """A progress that a plug-in without an image shows stands in a dialog with a Cancel, which kills the plug-in.
    RePaint shows none there, but whatever it asks of GIMP may."""
    host.run("Gimp.progress_init('Something of GIMP')\nNone")
    window = host.window_of("^Progress$")
    time.sleep(0.3)  # until it lies where it stays
    size = dict(line.split("=") for line in host.xdo("getwindowgeometry", "--shell", window).splitlines())
    host.screenshot("gimps-progress")
    x, y = int(size["WIDTH"]) - 60, int(size["HEIGHT"]) - 30
    host.xdo("mousemove", "--window", window, x, y, "sleep", "0.1", "click", 1)


@pytest.mark.parametrize("end", [kill, cancel_in_dialog])
def test_plugin_killed_mid_run(host: GimpHost, end: Callable[[GimpHost, int], None]) -> None:
    """kill -9 of the plug-in, or GIMP's own Cancel: the bridge notices within 6 s, finishes what runs into the spool,
    begins nothing that was queued. The next click in the menu starts the plug-in again in the same GIMP, and everything
    comes back."""
    desk, image = begin(host, variants=3)
    host.run("from bridge_server.client.editor.history import note\n" + QUEUE)
    before = desk.wait_bridge("the second job waits", lambda status: status.queued == 1)
    number, pid = host.run(f"import os\n[{image.code}.get_id(), os.getpid()]")
    end(host, pid)
    wait_gone(host, pid)
    assert desk.bridge().running, "it was killed in the middle"
    desk.wait_bridge("the client is lost", lambda status: status.clients < before.clients, seconds=6)
    idle = desk.wait_bridge("what ran is finished", lambda status: not status.running, seconds=60)
    time.sleep(0.5)
    after = desk.bridge()
    assert (after.queued, after.calls_total) == (1, idle.calls_total), "nothing is begun for nobody"
    search_and_run(host, "Variants…")
    host.run("1", seconds=30)  # the driver of the new process
    assert host.run("import os\nos.getpid()") != pid
    again = Desk(host)
    same = Image("same", 300, 200)
    host.run(f"images['same'] = Gimp.Image.get_by_id({number})\nNone")
    host.run("window, body = service.window, service.window.body\nNone")
    seeds = "sorted(v.seed for run in flow.runs for v in run.variants if v.picture is not None)"
    host.wait(f"{seeds} == [7, 8, 8, 9]", 60, "the finished pictures are back, and the queued job was done")
    assert again.names(same) == ["RePaint preview", "Background"], "the half-made layer is left to the artist"
    host.run("run = next(r for r in flow.runs for v in r.variants if v.seed == 7)\npump.choose(run, 0)\nNone")
    host.wait("not flow.has_steps and len(images['same'].get_layers()) == 3", 30, "the picture is in a layer")
    assert again.names(same)[0] == "RePaint test/gaussian-slow · seed 7"
    host.stop()


def test_gimp_killed_and_started_again(host: GimpHost) -> None:
    """kill -9 of GIMP mid-run: the pictures of the saved image are there again in the next GIMP."""
    desk, image = begin(host)
    assert desk.wait_end().startswith("Done")
    wanted = desk.layer_pixels(image, "RePaint test/gaussian-slow · seed 7")
    path = host.work / "saved.xcf"
    place = str(host.gimp.inside(path))
    host.run(
        f"Gimp.file_save(Gimp.RunMode.NONINTERACTIVE, {image.code}, Gio.File.new_for_path({place!r}), None)",
        seconds=30,
    )
    desk.choose("test/gaussian-slow", seed=8)
    desk.press()
    desk.wait_preview()
    host.kill()
    desk.wait_bridge("what ran is finished", lambda status: not status.running, seconds=60)
    host.start(path)
    again = Desk(host)
    host.run("images['saved'] = Gimp.get_images()[0]\nNone")
    assert again.menu("variants", Image("saved", 300, 200)) == "success"
    seeds = "sorted(v.seed for run in flow.runs for v in run.variants if v.picture is not None)"
    host.wait(f"{seeds} == [7, 8]", 60, "both pictures are back")
    saved = Image("saved", 300, 200)
    host.run(f"{saved.code}.remove_layer({saved.code}.get_layers()[0])\nNone")
    host.run("run = next(r for r in flow.runs for v in r.variants if v.seed == 7)\npump.choose(run, 0)\nNone")
    host.wait("not flow.has_steps and len(images['saved'].get_layers()) == 2", 30, "the picture is in a layer")
    assert np.array_equal(again.layer_pixels(saved, "RePaint test/gaussian-slow · seed 7"), wanted)
    host.stop()


def click_cancel_in_status_bar(host: GimpHost, quiet: np.ndarray) -> None:
    """GIMP shows the progress of a procedure, and a Cancel at its right end, in the status bar of the image's window:
    what differs there from the screenshot ``quiet``."""
    size = dict(
        line.split("=") for line in host.xdo("getwindowgeometry", "--shell", host.window_of("GIMP$")).splitlines()
    )
    bottom = int(size["Y"]) + int(size["HEIGHT"])
    strip = slice(bottom - 50, bottom)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        changed = np.abs(picture(host, "gimps-progress")[strip].astype(int) - quiet[strip]).max(axis=2) > 8
        rows, columns = np.nonzero(changed)
        if len(rows) and columns.max() - columns.min() > 40:
            host.click(columns.max() - 20, bottom - 50 + (rows.min() + rows.max()) // 2)
            return
        time.sleep(0.1)
    raise HostFailure("GIMP shows no progress in its status bar")


def picture(host: GimpHost, name: str) -> np.ndarray:
    shot = host.screenshot(name)
    assert shot is not None
    read = cv2.imread(str(shot))
    assert read is not None
    return np.asarray(read)


def test_gimps_cancel_of_a_scripts_run(host: GimpHost) -> None:
    """A script's run shows its progress in GIMP's status bar. A click on Cancel there kills its process: the image is
    as before, what the bridge has begun ends for nobody, and the next run works, from the window and from a script."""
    desk = Desk(host)
    desk.open_window()
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    desk.choose("test/gaussian-slow", seed=9)
    host.run("window.move(850, 50)\nNone")  # off GIMP's status bar
    before, calls = desk.fingerprint(image), desk.bridge().calls_total
    host.xdo("windowactivate", "--sync", host.window_of("GIMP$"))
    time.sleep(0.5)
    quiet = picture(host, "quiet")
    host.run(f"""
def later():
    global answer
    answer = call("plug-in-repaint-selection", {image.code}, model="test/gaussian-slow", preset="quality", seed=7)
    return False
GLib.timeout_add(50, later)
None
""")
    ran = desk.wait_bridge("the script's run", lambda status: status.running and status.calls_total > calls)
    pid = script_process(host)
    click_cancel_in_status_bar(host, quiet)
    wait_gone(host, pid)
    assert desk.bridge().running, "it was cancelled in the middle"
    desk.wait_bridge("its client is lost", lambda status: status.clients < ran.clients, seconds=6)
    assert host.run("answer[:2]", seconds=20) == ["cancel", "Cancelled"]
    assert desk.fingerprint(image) == before
    desk.press(image)
    assert desk.wait_end().startswith("Done")
    assert desk.names(image) == ["RePaint test/gaussian-slow · seed 9", "Background"]
    assert desk.call("plug-in-repaint-selection", image, model="test/gaussian", seed=7)[0] == "success"
    host.stop()


def script_process(host: GimpHost) -> int:
    """The youngest process of the plug-in's file."""
    name = str(host.gimp.inside(host.configuration / "plug-ins/repaint_gimp/repaint_gimp.py"))
    found = [
        int(path.name)
        for path in Path("/proc").iterdir()
        if path.name.isdigit() and name.encode() in (path / "cmdline").read_bytes()
    ]
    return max(found)
