"""Processes die at bad moments: the plug-in, a script's run, GIMP itself. Nothing finished is lost."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.driven import Display

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


def begin(host: GimpHost) -> tuple[Desk, Image]:
    """An image with a selection and a run with previews."""
    desk = Desk(host)
    desk.open_window()
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    desk.choose("test/gaussian-slow", seed=7)
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


def test_plugin_killed_mid_run(host: GimpHost) -> None:
    """kill -9 of the plug-in: the bridge notices within 6 s, finishes what runs into the spool, begins nothing that was
    queued. The next click in the menu starts the plug-in again in the same GIMP, and everything comes back."""
    desk, image = begin(host)
    host.run("from bridge_server.client.editor.history import note\n" + QUEUE)
    before = desk.wait_bridge("the second job waits", lambda status: status.queued == 1)
    number, pid = host.run(f"import os\n[{image.code}.get_id(), os.getpid()]")
    host.expected = CRASH
    os.kill(pid, signal.SIGKILL)
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
    host.run(f"images['same'] = Gimp.Image.get_by_id({number})\nwindow = service.window\nNone")
    seeds = "sorted(v.seed for run in flow.runs for v in run.variants if v.picture is not None)"
    host.wait(f"{seeds} == [7, 8]", 60, "the finished picture is back, and the queued job was done")
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


def test_a_scripts_run_is_killed(host: GimpHost) -> None:
    """GIMP's own Cancel kills the process of a procedure: the image is as before, the job is cancelled, all goes on."""
    desk = Desk(host)
    image = desk.new(300, 200)
    desk.select(image, 100, 60, 80, 60)
    before = desk.fingerprint(image)
    calls = desk.bridge().calls_total
    host.expected = CRASH
    host.run(f"""
def later():
    global answer
    answer = call("plug-in-repaint-selection", {image.code}, model="test/gaussian-slow", seed=7)
    return False
GLib.timeout_add(50, later)
None
""")
    desk.wait_bridge("the script's run", lambda status: status.running and status.calls_total > calls)
    os.kill(script_process(host), signal.SIGKILL)
    desk.wait_bridge("the run of nobody is cancelled", lambda status: not status.running, seconds=8)
    assert host.run("answer[0]", seconds=20) in ("calling-error", "execution-error")
    assert desk.fingerprint(image) == before
    assert desk.call("plug-in-repaint-selection", image, model="test/gaussian", seed=7)[0] == "success"
    host.keys("Escape")
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
