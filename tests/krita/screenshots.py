"""Makes README's picture in a real Krita: python -m tests.krita.screenshots [--out docs/images] [--model texture]

Opens the bundled photograph with its selection, clicks RePaint with three variants and takes the screen while the
preview forms (krita.png) and after the end (krita-done.png).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import tests.conftest  # noqa: F401  (the run's own home, before anything of the project is imported)
from bridge_server.__main__ import main as bridge_command

from .conftest import start_krita
from .desk import Desk, write_launch_file
from .host import REPOSITORY, Display

ARRANGE = """
for docker in app.activeWindow().qwindow().findChildren(QtWidgets.QDockWidget):
    if docker.objectName() in ("PresetDocker", "ColorSelectorNg", "sharedtooldocker"):
        docker.hide()
dock().show()
"""
SELECT = """
mask = QtGui.QImage({path!r}).convertToFormat(QtGui.QImage.Format.Format_Grayscale8)
rows = b"".join(bytes(mask.constScanLine(y).asstring(mask.width())) for y in range(mask.height()))
s = krita.Selection()
s.select(0, 0, mask.width(), mask.height(), 0)
s.setPixelData(rows, 0, 0, mask.width(), mask.height())
{document}.setSelection(s)
{document}.setModified(False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs/images")
    parser.add_argument("--model", default="texture")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--part", type=float, default=0.8, help="of the run at which the picture is taken")
    chosen = parser.parse_args()
    write_launch_file(warm="texture")
    display = Display(1280, 800)
    with tempfile.TemporaryDirectory() as folder:
        host = start_krita(Path(folder), display)
        try:
            desk = Desk(host)
            host.wait("flow.connected and flow.engine == 'ready'", seconds=120)
            host.run(ARRANGE)
            document = desk.open(REPOSITORY / "engine/assets/demo.png")
            desk.choose(chosen.model, seed=chosen.seed, variants=3)
            host.run(SELECT.format(path=str(REPOSITORY / "engine/assets/demo-selection.png"), document=document.code))
            host.run("app.action('KisToolSelectRectangular').trigger()")
            host.xdo("mousemove", 1279, 799)
            desk.press()
            host.wait(f"flow.fraction >= {chosen.part}", seconds=900)
            _keep(host.screenshot("forming", Path(folder)), chosen.out / "krita.png")
            print(desk.wait_end(900), host.run("flow.runs[-1].timings"))
            _keep(host.screenshot("done", Path(folder)), chosen.out / "krita-done.png")
            host.stop()
        finally:
            host.kill()
            display.close()
            bridge_command(["stop"])


def _keep(shot: Path | None, target: Path) -> None:
    """Into the repository, without the time and the program's name inside."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["convert", str(shot), "-strip", "-define", "png:compression-level=9", str(target)], check=True)
    print(target, target.stat().st_size // 1024, "KiB")


if __name__ == "__main__":
    main()
