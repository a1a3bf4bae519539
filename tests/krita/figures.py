"""Measures one Krita: python -m tests.krita.figures   (REPAINT_BRIDGE_KRITA names another than the machine's own;
``--live``: only the last of it)

Prints version, load, and one line for each figure of docs/reports/hosts.md: starts (warmed home, to the main window);
the time from the click to the first preview and previews per second (bundled photograph, 80² selected, embedded model,
warm); the slots' processor and wall-clock time and the host's share at 2048², wholly selected; network calls after a
cancel; the seconds until a killed engine is said; what branches at half of a run cost; the seam of the result; the
colour difference of an identity job in every colour space; with *Live*, ten blemishes of 64 px in 24 megapixels, from
the mouse's release to the final picture. Times are medians (least … most).
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from bridge_server.__main__ import main as bridge_command
from bridge_server.client.link import find_or_start
from engine.bench.measures import seam_jump
from tests.desk import photograph, write_launch_file

from .conftest import start_krita
from .desk import Desk
from .host import REPOSITORY, Display, KritaHost
from .test_documents import SPACES, identity
from .test_live import lasso, switch

TIMES = 5


def main() -> None:
    only_live = sys.argv[1:] == ["--live"]
    write_launch_file(warm="exemplar" if only_live else "texture")
    find_or_start("figures", "figures").close()
    display = Display()
    with tempfile.TemporaryDirectory() as folder:
        host = start_krita(Path(folder), display)
        try:
            starts = _starts(host)
            desk = Desk(host)
            version, python = host.run("import sys\n[app.version(), sys.version.split()[0]]")
            print(f"Krita {version}, Python {python}, load {os.getloadavg()[0]:.1f}")
            print("start:", _spread(starts), flush=True)
            host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
            if not only_live:
                _previews(desk)
                _large(desk)
                _killed_engine(desk)
                _identity(desk)
            _live(desk, Path(folder))
            host.stop()
        finally:
            host.kill()
            display.close()
            bridge_command(["stop"])


def _starts(host: KritaHost) -> list[float]:
    starts = []
    for _ in range(TIMES):
        host.stop()
        began = time.monotonic()
        host.start()
        starts.append(time.monotonic() - began)
    return starts


def _previews(desk: Desk) -> None:
    """A1, A4, A7, A10 with the embedded model."""
    host = desk.host
    document = desk.open(REPOSITORY / "engine/assets/demo.jpg")
    desk.choose("texture", seed=7)
    desk.select(document, 200, 150, 80, 80)
    original = desk.pixels(document)
    firsts, rates, after_cancel = [], [], []
    for _ in range(TIMES):
        desk.press()
        desk.wait_preview(120)
        firsts.append(host.run("flow.run.timings['first_preview']"))
        before, began = host.run("[flow.run.variants[0].version, time.monotonic()]")
        time.sleep(1.5)
        after, ended = host.run("[flow.run.variants[0].version, time.monotonic()]")
        rates.append((after - before) / (ended - began))
        host.run("pump.cancel()")
        desk.wait_end()
        after_cancel.append(desk.wait_bridge("idle", lambda status: not status.running).calls_after_cancel)
    print("click to first preview:", _spread(firsts), flush=True)
    print("previews a second:", _spread(rates, ""), " calls after a cancel:", after_cancel, flush=True)
    desk.press()
    print(desk.wait_end(600))
    calls, steps = host.run(
        "v = flow.runs[-1].variants[0]\n[v.calls, [[s.call, s.remaining, s.harmonise, s.idea] for s in v.steps]]"
    )
    half = next(step for step in steps if step[0] >= calls / 2)
    print("branch at call", half[0], "of", calls, "costs (continue, harmonise, idea):",
          [f"{100 * cost / calls:.0f} %" for cost in half[1:]])  # fmt: skip
    new = np.zeros((document.height, document.width), bool)
    new[150:230, 200:280] = True
    filled = desk.pixels(document)
    outside = int(np.abs(filled.astype(int) - original)[~new].max())
    seam = seam_jump(filled[..., 2::-1], new)
    print(f"largest change outside the selection: {outside}, seam jump: {seam:.2f}", flush=True)


def _live(desk: Desk, folder: Path) -> None:
    """Ten blemishes in a row, each by a lasso alone, by the default model."""
    host = desk.host
    desk.open(photograph(folder / "portrait.png", 6000, 4000))
    desk.choose("exemplar", seed=7)
    host.run("app.action('KisToolSelectOutline').trigger()\napp.activeWindow().activeView().canvas().setZoomLevel(1.0)")
    switch(desk, True)
    times, sizes = [], []
    for number in range(10):
        lasso(desk, 70 * (number % 5) - 140, 140 * (number // 5) - 70, 32)
        released = host.run("time.monotonic()")
        host.wait(f"len(flow.runs) == {number + 1} and not flow.busy and not flow.has_steps", seconds=60)
        times.append(host.run("flow.runs[-1].clicked + flow.runs[-1].timings['ended']") - released)
        sizes.append(host.run("b = flow.runs[-1].target.bounds\n[b.width, b.height]"))
    switch(desk, False)
    print(
        "live, 24 megapixels, release to final picture:",
        _spread(times),
        "first:",
        round(times[0], 2),
        sizes,
        flush=True,
    )


def _large(desk: Desk) -> None:
    """A1 on the GUI thread."""
    host = desk.host
    large = desk.new(2048, 2048)
    desk.choose("test/gaussian")
    desk.select(large, 0, 0, 2048, 2048)
    host.run("pump.probe.reset()\nbegan = time.monotonic()")
    desk.press()
    host.wait("flow.run is not None and flow.run.variants[0].version >= 3", seconds=120)
    host.run("pump.cancel()")
    desk.wait_end()
    slots, seconds = host.run("[pump.probe.summary(), time.monotonic() - began]")
    share = slots["host_ms"] / 1000 / seconds
    print("slots at 2048²:", slots, f"host's own work in them: {100 * share:.0f} % of the time", flush=True)
    desk.close(large)


def _killed_engine(desk: Desk) -> None:
    """A8: until a killed engine is said."""
    host = desk.host
    document = desk.new(300, 200)
    desk.choose("test/gaussian-slow")
    desk.select(document, 100, 100, 60, 60)
    desk.press()
    desk.wait_preview()
    worker = desk.wait_bridge("it works", lambda status: status.worker_pid and status.running).worker_pid
    host.run("""
said, start = [], time.monotonic()
driver.watchers["said"] = lambda: flow.is_error and not said and said.append(time.monotonic() - start)
""")
    os.kill(worker, signal.SIGKILL)
    host.wait("said", seconds=10)
    print(f"a killed engine is said after {host.run('said[0]'):.2f} s;", "then:", desk.wait_end(120), flush=True)


def _identity(desk: Desk) -> None:
    """A11: what was read, put back as it is; in parentheses the same colours by Krita's own conversion and back."""
    found = []
    for space in SPACES:
        document = desk.new(200, 160, *space)
        desk.select(document, 60, 50, 40, 40)
        _, ours, the_documents = identity(desk, document)
        found.append(f"{space[0]} {space[1]} {ours:.2f} ({the_documents:.2f})")
        desk.close(document)
    print("identity, largest ΔE00:", ", ".join(found), flush=True)


def _spread(values: list[float], unit: str = " s") -> str:
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f} … {max(values):.2f})"


if __name__ == "__main__":
    main()
