"""doctor and uninstall: an engine as set-up leaves it is broken in one way, and one sentence says so."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge_server.client.locks import FileLock
from bridge_server.client.setup import environments
from bridge_server.manage import plugins, version

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the environment is made of links here")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, packaged: Path) -> Path:
    """An environment as set-up makes it, of the kit's wheel and this Python's packages."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(environment)], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    (installed,) = {Path(place) for place in sys.path if place.endswith("site-packages")}
    for path in installed.iterdir():
        if not path.name.startswith(("__", "repaint_bridge")):
            (packages / path.name).symlink_to(path)
    (wheel,) = packaged.glob("kit/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    environments.write_stamp(environment, "", version(), "cpu", sys.version_info[:2])
    return environment


@pytest.fixture(scope="session")
def tried(whole: Path) -> Path:
    """The same after the fill that set-up tries: the loops are compiled, unless the checkout has them compiled."""
    source = ROOT / "engine/exemplar/matching_numba.py"
    (copy,) = whole.glob("lib/python*/site-packages/engine/exemplar/matching_numba.py")
    shutil.copystat(source, copy)  # numba takes what it kept for a source of the same time
    for kept in (source.parent / "__pycache__").glob("matching_numba*.nb?"):
        (copy.parent / "__pycache__").mkdir(exist_ok=True)
        shutil.copy2(kept, copy.parent / "__pycache__")
    python = whole / "bin/python"
    subprocess.run([str(python), "-m", "bridge_server.check"], check=True, capture_output=True, cwd=whole)
    return whole


class Engine:
    """A copy of such an environment that can be broken, in a home, and a plug-in with a kit."""

    def __init__(self, folder: Path, whole: Path, kit: Path) -> None:
        self.home = folder / "Zoë’s home"
        resources, base = self.home / ".local/share/krita", self.home / "rb"
        self.variables = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "REPAINT_BRIDGE_HOME": str(base)}
        self.environment = base / "data/engines" / f"{version()}-12345678"
        shutil.copytree(whole, self.environment, symlinks=True)
        (self.packages,) = self.environment.glob("lib/python*/site-packages")
        (self.weights,) = self.packages.glob("engine/weights/texture/unet/*.safetensors")
        self.stamp = self.environment / environments.STAMP
        plugins.install_krita(resources)
        self.plugin = resources / "pykrita/repaint_krita"
        shutil.copytree(kit, self.plugin / plugins.KIT)
        self.settings = self.home / ".config/kritarc"
        plugins.enable_in_krita(self.settings)
        self.state = base / "state"
        self.launch = base / "config/launch.json"
        self.write_launch(self.environment / "bin/python")

    def write_launch(self, interpreter: Path) -> None:
        self.launch.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["-m", "bridge_server", "serve"]
        content = {"version": 1, "interpreter": str(interpreter), "arguments": arguments, "state": str(self.state)}
        self.launch.write_text(json.dumps(content))
        self.launch.chmod(0o600)

    def run(self, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bridge_server", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env=self.variables, cwd=ROOT, input=answer, umask=0o022
        )

    def doctor(self) -> tuple[int, list[str], list[str]]:
        """Exit status, the sentences under “What to do”, and those under “If you like”."""
        done = self.run("doctor")
        assert not done.stderr, done.stderr
        rest, _, choices = done.stdout.partition("If you like:\n")
        _, _, todo = rest.partition("What to do:\n")
        assert bool(todo) != ("Nothing to do." in done.stdout), done.stdout
        lists = [[line.strip() for line in part.split("\n\n")[0].splitlines()] for part in (todo, choices)]
        return done.returncode, lists[0], lists[1]


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path, packaged: Path) -> Engine:
    """One that has painted before where the test is slow because it paints."""
    slow = request.node.get_closest_marker("slow") is not None
    return Engine(tmp_path, request.getfixturevalue("tried" if slow else "whole"), packaged / "kit")


def _without(package: str) -> Callable[[Engine], None]:
    def take(engine: Engine) -> None:
        for path in engine.packages.glob(f"{package}*"):
            path.unlink()

    return take


def _damage_package(engine: Engine) -> None:
    (engine.packages / "zmq").unlink()
    shutil.copytree(ROOT / "tests/editor", engine.packages / "zmq")


def _cut(engine: Engine) -> None:
    os.truncate(engine.weights, engine.weights.stat().st_size // 2)


def _change_weights(engine: Engine) -> None:
    with open(engine.weights, "r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(bytes(100))


def _python_gone(engine: Engine) -> None:
    config = engine.environment / "pyvenv.cfg"
    config.write_text(config.read_text().replace(str(Path(sys.base_prefix)), "/gone"))


def _older(engine: Engine) -> None:
    content = json.loads(engine.stamp.read_text())
    engine.stamp.write_text(json.dumps({**content, "project": "0.0.9"}))


def _half(engine: Engine) -> None:
    engine.launch.unlink()
    (engine.home / "rb/data" / environments.PROGRESS).touch()


def _wrong_kit(engine: Engine) -> None:
    (wheel,) = engine.plugin.glob("kit/*.whl")
    os.truncate(wheel, 1000)


BROKEN: dict[str, tuple[Callable[[Engine], object], str]] = {
    "a package deleted": (_without("tqdm"), "Parts of the engine are missing (tqdm): click Repair."),
    "no pyzmq": (_without("pyzmq"), "Parts of the engine are missing (pyzmq): click Repair."),
    "no safetensors": (_without("safetensors"), "Parts of the engine are missing (safetensors): click Repair."),
    "a package damaged": (_damage_package, "The package pyzmq is incomplete: click Repair."),
    "Python gone": (_python_gone, "The Python that the engine needs is gone: click Repair."),
    "half of the weights": (_cut, "A file of the model is incomplete"),
    "other weights": (_change_weights, "is not what it should be: click Repair."),
    "no weights": (
        lambda engine: shutil.rmtree(engine.packages / "engine/weights"),
        "A file of the model is incomplete",
    ),
    "no launch file": (lambda engine: engine.launch.unlink(), "The engine is not set up yet: click Set up."),
    "launch file broken": (lambda engine: engine.launch.write_text("{"), "not set up for this user yet"),
    "launch file of others": (lambda engine: engine.launch.chmod(0o666), "Another user of this computer owns or can"),
    "engine gone": (lambda engine: shutil.rmtree(engine.environment), "The folder of the engine is gone"),
    "half set up": (_half, "was begun and not finished; it continues"),
    "half repaired": (lambda engine: engine.stamp.unlink(), "click Repair."),
    "wrong kit": (_wrong_kit, "“kit” is incomplete: install the plug-in again from its zip."),
    "older engine": (_older, f"The engine's version is 0.0.9, and {version()} came with this plug-in: click Update."),
    "half a plug-in": (lambda engine: (engine.plugin / "docker.py").unlink(), "install its zip again"),
}
PAINTS = ("a package deleted", "other weights", "wrong kit", "older engine", "half a plug-in")
"""Here packages are loaded, which takes some seconds."""


@pytest.mark.parametrize("state", [pytest.param(s, marks=[pytest.mark.slow] if s in PAINTS else []) for s in BROKEN])
def test_doctor_names_what_is_broken(state: str, engine: Engine) -> None:
    """In one sentence, and only that."""
    harm, words = BROKEN[state]
    harm(engine)
    status, todo, choices = engine.doctor()
    assert (status, len(todo), choices) == (1, 1, []), (todo, choices)
    assert words in todo[0]


@pytest.mark.parametrize("checkout", [True, False])
def test_doctor_does_not_offer_repair_for_an_engine_that_set_up_did_not_make(checkout: bool, engine: Engine) -> None:
    """Of a checkout, or of a package that pipx or uv installed."""
    place = engine.home / "project"
    place.mkdir()
    if checkout:
        (place / "installer.py").touch()
    engine.environment.rename(place / ".venv")
    (place / ".venv" / environments.STAMP).unlink()
    engine.environment = place / ".venv"
    _python_gone(engine)
    engine.write_launch(place / ".venv/bin/python")
    _, todo, _ = engine.doctor()
    again = f"delete the folder {place / '.venv'}, then run “python3 installer.py krita” (or gimp) in {place}."
    by_tool = "install the package repaint-bridge again, with the tool that installed it."
    assert todo == [f"The Python that the engine needs is gone: {again if checkout else by_tool}"]


@pytest.mark.slow
def test_doctor_says_that_the_bridge_does_not_start(engine: Engine) -> None:
    (engine.packages / "more.pth").write_text("import sys; sys.modules['bridge_server.server'] = None")
    status, todo, _ = engine.doctor()
    assert (status, len(todo)) == (1, 1), todo
    assert todo[0].startswith("The engine does not paint: The RePaint engine could not be started: ")


@pytest.fixture
def small_disk(engine: Engine) -> Iterator[Path]:
    """The state folder is a disk of 1 MiB."""
    engine.launch.unlink()  # doctor is fast then
    engine.state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(engine.state)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs here")
    yield engine.state
    subprocess.run(["umount", "-l", str(engine.state)], check=True)


def test_doctor_says_that_the_disk_is_full(engine: Engine, small_disk: Path) -> None:
    with contextlib.suppress(OSError), open(small_disk / "ballast", "wb") as file:
        file.write(bytes(2 << 20))
    status, todo, _ = engine.doctor()
    assert status == 1
    assert todo[0] == f"Make room on the disk of {small_disk}: it is full."


def test_doctor_says_that_nothing_can_be_written(engine: Engine, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro,size=900m", str(small_disk)], check=True)
    status, todo, _ = engine.doctor()
    assert status == 1
    assert todo[0] == f"Look at {small_disk}: nothing can be written there (Read-only file system)."


@pytest.mark.slow
def test_doctor_has_nothing_to_do_when_a_fill_comes_out(engine: Engine) -> None:
    assert engine.doctor() == (0, [], [])


def test_doctor_offers_a_plug_in_that_is_missing(engine: Engine) -> None:
    shutil.rmtree(engine.environment)
    plugins.uninstall_krita(engine.plugin.parents[1])
    _, todo, choices = engine.doctor()
    assert todo == ["Run “python3 installer.py krita” (or gimp): no engine is set up for you yet."]
    assert choices == ["Run “python3 installer.py krita” to install the plug-in, or install its zip in the editor."]


def test_uninstall_tells_first_and_keeps_what_was_not_asked_for(engine: Engine) -> None:
    base = engine.home / "rb"
    for name in ("data/models/mine/model.bin", "state/spool/1.png", "state/logs/bridge.log", "cache/learned/x"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(bytes(1000))
    before = sorted(base.rglob("*"))
    done = engine.run("uninstall", answer="n\n")
    assert done.returncode == 1
    told, stays = done.stdout.split("Will be kept, unless --models or --history is given:")
    assert f"the plug-in in {engine.plugin.parents[1]}" in told
    assert str(base / "data/engines") in told
    assert str(base / "data/models") in stays
    assert str(base / "state/spool") in stays
    assert sorted(base.rglob("*")) == before
    lock = FileLock(base / "data" / environments.LOCK)
    assert lock.acquire(0.0)
    refused = engine.run("uninstall", "--yes")
    lock.release()
    assert (refused.returncode, "being set up" in refused.stderr) == (1, True)
    assert engine.plugin.is_dir(), "a refused removal leaves the plug-ins, too"
    assert plugins.enabled_in_krita(engine.settings)
    (base / "data/notes.txt").touch()
    stays = engine.run("uninstall", answer="n\n").stdout.partition("--history is given:")[2]
    models, others = stays.split("Will be kept:")
    assert ("data/models" in models, "Files that RePaint did not make" in others) == (True, True)
    (base / "data/notes.txt").unlink()
    done = engine.run("uninstall", answer="y\n")
    assert done.returncode == 0, done.stderr
    assert not engine.plugin.exists()
    assert not plugins.enabled_in_krita(engine.settings)
    left = [path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()]
    assert sorted(left) == ["data/models/mine/model.bin", "state/spool/1.png"]
    assert engine.run("uninstall", "--models", "--history", "--yes").returncode == 0
    assert not base.exists() or not any(path.is_file() for path in base.rglob("*"))
    assert "There is nothing to remove." in engine.run("uninstall").stdout
