"""What an artist meets with another Python, or with half an installation: a plug-in that starts, or a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .desk import Desk
from .host import REPOSITORY, GimpHost, chosen_gimp

FOREIGN = """#!/bin/sh
# To the plug-in, as the python3 of a virtual environment: a Python elsewhere, without the system's modules.
case "$1" in
*repaint_gimp.py) exec {copy} -S "$@" ;;
*) exec /usr/bin/python3 "$@" ;;
esac
"""


def test_another_python_first_on_the_path(work: Path) -> None:
    """GIMP started in a terminal with a virtual environment: the plug-in finds the system's Python by itself."""
    folder = work / "foreign"
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin/python3"
    gimp = chosen_gimp()
    copy = folder / "python"
    shutil.copy((gimp.root or Path("/")) / "usr/bin/python3", copy)
    python.write_text(FOREIGN.format(copy=gimp.inside(copy)))
    python.chmod(0o755)
    host = GimpHost(folder, None)
    host.environment["PATH"] = f"{gimp.inside(python.parent)}:{host.environment['PATH']}"
    host.start()
    try:
        desk = Desk(host)
        image = desk.new(120, 90)
        desk.select(image, 40, 30, 32, 24)
        assert desk.call("plug-in-repaint-selection", image, model="test/gaussian", seed=7)[0] == "success"
        host.stop()
    finally:
        host.kill()


def test_engine_not_set_up(work: Path) -> None:
    """The plug-in alone, as unpacked from a zip: the artist is told what to run, at once."""
    folder = work / "alone"
    home = folder / "nothing"
    host = GimpHost(folder, None, {"REPAINT_BRIDGE_HOME": str(home)})
    host.start()
    try:
        desk = Desk(host)
        image = desk.new(120, 90)
        desk.select(image, 40, 30, 32, 24)
        before = desk.fingerprint(image)
        status, message, layers = desk.call("plug-in-repaint-selection", image, seconds=20, seed=7)
        assert (status, layers) == ("execution-error", [None])
        assert "not set up for this user yet" in message
        assert "click Set up" in message
        assert desk.fingerprint(image) == before
        host.stop()
    finally:
        host.kill()


def test_incomplete_copy_says_what_to_run(work: Path) -> None:
    folder = work / "incomplete" / "repaint_gimp"
    folder.mkdir(parents=True)
    shutil.copyfile(REPOSITORY / "gimp_plugin/repaint_gimp/repaint_gimp.py", folder / "repaint_gimp.py")
    gimp = chosen_gimp()
    done = subprocess.run(
        [*gimp.within("/usr/bin/python3"), str(gimp.inside(folder / "repaint_gimp.py"))],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 1
    assert "unpack repaint_gimp-….zip of the project's releases here." in done.stderr
