"""Measures RePaint in a real GIMP: python -m tests.gimp.figures [--rounds 5]

Start of GIMP with a warmed home, click → first preview in the layer, and how long GIMP takes to answer a question of
another plug-in (its main loop's turn) at rest and while a 2048² canvas is read and previews are painted into it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from bridge_server.__main__ import main as bridge_command
from bridge_server.client import launch
from bridge_server.client.link import find_or_start
from tests.desk import write_launch_file
from tests.driven import Display

from .desk import Desk
from .host import GimpHost, chosen_gimp

ASKER = """
import json, os, time
from gi.repository import Gimp
times = {{}}
while not os.path.exists({stop!r}):
    if os.path.exists({go!r}):
        began = time.monotonic()
        Gimp.get_images()
        times.setdefault(open({go!r}).read(), []).append(time.monotonic() - began)
    time.sleep(0.005)
with open({out!r}, "w") as file:
    json.dump(times, file)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    display = Display()
    with tempfile.TemporaryDirectory(dir=chosen_gimp().temporary) as folder:
        work = Path(folder)
        os.environ[launch.HOME_VARIABLE] = str(work / "bridge")
        write_launch_file()
        find_or_start("tests", "tests").close()
        host = GimpHost(work / "gimp", display)
        starts: list[float] = []
        try:
            for _ in range(rounds):
                began = time.monotonic()
                host.start()
                starts.append(time.monotonic() - began)
                host.stop()
            print(f"load {os.getloadavg()[0]:.1f}; start: {_spread(starts)}")
            _measure(host, work, rounds)
        finally:
            host.kill()
            bridge_command(["stop"])
            display.close()


def _measure(host: GimpHost, work: Path, rounds: int) -> None:
    go, stop, out = (work / name for name in ("go", "stop", "times.json"))
    inside = {name: str(host.gimp.inside(path)) for name, path in (("go", go), ("stop", stop), ("out", out))}
    host.start(batch=ASKER.format(**inside))
    desk = Desk(host)
    desk.open_window()
    host.wait("flow.connected and flow.engine == 'ready'", seconds=90)
    desk.choose("test/gaussian-slow")
    image = desk.new(512, 384)
    desk.select(image, 200, 150, 77, 77)
    previews = []
    for _ in range(rounds):
        desk.press(image)
        desk.wait_preview()
        previews.append(host.run("flow.run.timings['first_preview']"))
        desk.press(button="cancel_button")
        desk.wait_end()
        desk.wait_bridge("idle", lambda status: not status.running)
    print("click to first preview:", _spread(previews))
    large = desk.new(2048, 2048)
    desk.select(large, 0, 0, 2048, 2048)
    go.write_text("at rest")
    time.sleep(3)
    desk.choose("test/gaussian")
    desk.work_on(large)
    host.run("pump.probe.reset()\nNone")
    go.write_text("running")
    desk.press()
    host.wait("flow.run is not None and flow.run.variants[0].version >= 5", seconds=120)
    go.unlink()
    print("slots:", host.run("pump.probe.summary()"))
    desk.press(button="cancel_button")
    desk.wait_end()
    stop.touch()
    while not out.exists():
        time.sleep(0.05)
    for when, times in json.loads(out.read_text()).items():
        ordered = sorted(1000 * seconds for seconds in times)
        p99, most = ordered[int(0.99 * (len(ordered) - 1))], ordered[-1]
        middle = statistics.median(ordered)
        print(
            f"GIMP answers, {when}: median {middle:.1f} ms, p99 {p99:.1f} ms, most {most:.1f} ms ({len(ordered)} times)"
        )
    host.stop()


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} … {max(seconds):.2f})"


if __name__ == "__main__":
    main()
