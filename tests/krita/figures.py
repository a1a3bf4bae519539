"""Measures one Krita: python -m tests.krita.figures   (REPAINT_BRIDGE_KRITA names another than the machine's own)

Prints its version, how long it takes to start (warmed home, to the main window; five starts), the time from the click
to the first preview in the layer (bundled photograph, 80² selected, embedded model, warm; five clicks) and the
processor and wall-clock time of the plug-in's slots at 2048², wholly selected.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from bridge_server.__main__ import main as bridge_command
from bridge_server.client.link import find_or_start

from .conftest import start_krita
from .desk import Desk, write_launch_file
from .host import REPOSITORY, Display

TIMES = 5


def main() -> None:
    write_launch_file(warm="texture")
    find_or_start("figures", "figures").close()
    display = Display()
    with tempfile.TemporaryDirectory() as folder:
        host = start_krita(Path(folder), display)
        try:
            starts = []
            for _ in range(TIMES):
                host.stop()
                began = time.monotonic()
                host.start()
                starts.append(time.monotonic() - began)
            desk = Desk(host)
            version, python = host.run("import sys\n[app.version(), sys.version.split()[0]]")
            host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
            document = desk.open(REPOSITORY / "engine/assets/demo.png")
            desk.choose("texture", seed=7)
            desk.select(document, 200, 150, 80, 80)
            previews = []
            for _ in range(TIMES):
                desk.press()
                desk.wait_preview(120)
                previews.append(host.run("flow.run.timings['first_preview']"))
                host.run("pump.cancel()")
                desk.wait_end()
                desk.wait_bridge("idle", lambda status: not status.running)
            large = desk.new(2048, 2048)
            desk.choose("test/gaussian")
            desk.select(large, 0, 0, 2048, 2048)
            host.run("pump.probe.reset()")
            desk.press()
            host.wait("flow.run is not None and flow.run.variants[0].version >= 3", seconds=120)
            host.run("pump.cancel()")
            desk.wait_end()
            slots = host.run("pump.probe.summary()")
            print(f"Krita {version}, Python {python}, load {os.getloadavg()[0]:.1f}")
            print("start:", _spread(starts), " click to first preview:", _spread(previews))
            print("slots:", slots)
            host.stop()
        finally:
            host.kill()
            display.close()
            bridge_command(["stop"])


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} … {max(seconds):.2f})"


if __name__ == "__main__":
    main()
