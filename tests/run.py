"""Runs the tests and says how they went: what `python3 installer.py test` starts when the environment is there.

    python -m tests.run                    everything: the tests in Krita, in GIMP, the engine's and all others side by
                                           side, and the essential ones once more in Debian 13's Krita
    python -m tests.run --quick            no editors, nothing that takes long: what one runs while working
    python -m tests.run --soak             the promises (tests/promises.py) at length, and a table of them
    python -m tests.run --hosts own|all    without, or with, the editors of other Debian releases (tests/hosts.py)
    python -m tests.run -- -k NAME         what stands after -- goes to pytest, in every editor

As root on Debian the editors are installed first; elsewhere their tests are skipped aloud.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from install import environment
from tests.promises import PROMISES, VARIABLE

ROOT = Path(__file__).resolve().parents[1]
KRITA_PACKAGES = [
    "krita",
    "xvfb",
    "xauth",
    "xdotool",
    "openbox",
    "imagemagick",
    "x11-utils",
    "dbus",
    "dbus-x11",
    "python3-pyqt5",
    "python3-sip",
    "python3-pyqt5.sip",
]
KRITA_PROGRAMS = ("krita", "Xvfb", "xdotool", "openbox", "import")
EDITORS = {"krita": "Krita", "gimp": "GIMP"}
KRITA_SET_UP = "tests/krita/test_set_up.py"
"""It starts a Krita for each test, and takes a third of the time of all Krita's tests."""
ESSENTIAL = ["-m", "essential", "-k", "not texture"]  # of tests/krita, for Debian 13's Krita in the usual run
HOSTS = {"own": [], "usual": ["trixie"], "all": ["trixie", "sid", "experimental"]}
OTHER_GIMPS = {"own": [], "usual": [], "all": ["sid"]}  # Debian 13's is always tested
LONG = (  # what --quick leaves out, beside tests that are marked slow
    "tests/krita",
    "tests/gimp",
    "tests/ray",
    "tests/box/test_box.py",
    "tests/box/test_set_up.py",
    "tests/bridge/test_branches.py",
    "tests/bridge/test_conversation.py",
    "tests/bridge/test_demo.py",
    "tests/bridge/test_disk.py",
    "tests/bridge/test_downloads.py",
    "tests/bridge/test_endurance.py",
    "tests/bridge/test_faults.py",
    "tests/bridge/test_latent.py",
    "tests/bridge/test_learning.py",
    "tests/bridge/test_pool.py",
    "tests/bridge/test_start.py",
    "tests/engine/test_adapt.py",
    "tests/engine/test_anchor.py",
    "tests/engine/test_batch_processes.py",
    "tests/engine/test_bench.py",
    "tests/engine/test_bench_photo.py",
    "tests/engine/test_bench_texture.py",
    "tests/engine/test_cli_files.py",
    "tests/engine/test_diffusers_scheduler.py",
    "tests/engine/test_forecast.py",
    "tests/engine/test_guided.py",
    "tests/engine/test_hub.py",
    "tests/engine/test_hub_pipelines.py",
    "tests/engine/test_lab_benchmarks.py",
    "tests/engine/test_lab_report.py",
    "tests/engine/test_latent_bench.py",
    "tests/engine/test_latent_perturbed.py",
    "tests/engine/test_latent_words.py",
    "tests/engine/test_network_class.py",
    "tests/engine/test_octaves.py",
    "tests/engine/test_rough.py",
    "tests/engine/test_train.py",
    "tests/setup/test_disk.py",
    "tests/setup/test_running.py",
    "tests/test_run.py",
)
QUICK = ["-q", "-m", "not slow", *(f"--ignore={path}" for path in LONG)]
BRIDGE = ["tests/bridge", "tests/ray"]
HOUSE = ["tests", "--ignore=tests/engine", *(f"--ignore={path}" for path in (*BRIDGE, "tests/krita", "tests/gimp"))]
TESTS_FAILED, NOTHING_SELECTED = 1, 5  # exit statuses of pytest
CANNOT_HERE = 3  # exit status of tests/hosts.py where no root file system can be made
SLOWEST = 10
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
"""Several threads wait for each other on a busy machine, and burn up to ten times the processor's time. numba's loops
raise the number for torch, too, so that one of the two is not enough."""
REAL = tuple(f"tests.{folder}." for folder in ("krita", "gimp", "box", "bridge", "ray", "setup"))
"""Tests of real editors and of other processes that run by themselves."""
UNSTEADY = 5  # failures of these in one part that may be accidents


@dataclass(frozen=True)
class Part:
    """One run of pytest. ``status``: its exit status; ``told``: how it went, in words; ``failed``: names of tests;
    ``seconds``: how long each took; ``cases``: the report itself; ``chooses``: as of `Run`."""

    name: str
    status: int
    told: str
    failed: tuple[str, ...] = ()
    seconds: tuple[tuple[float, str], ...] = ()
    cases: tuple[ElementTree.Element, ...] = ()
    chooses: dict[str, str] = field(default_factory=dict)

    def lines(self) -> str:
        return "\n    ".join([f"{self.name:<28} {self.told}", *self.failed])


class Run:
    """A pytest that has been started. With ``later`` its output is shown when it has ended. One with ``patience`` waits
    for nothing but the processor, and leaves it to those whose tests have time limits.

    ``chooses``: environment variables that choose an editor, or what its tests do.
    """

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        chooses: dict[str, str] | None = None,
        later: bool = False,
        patience: bool = False,
    ):
        self._name = name
        self._chooses = chooses or {}
        self._folder = tempfile.TemporaryDirectory()
        self._report = Path(self._folder.name) / "report.xml"
        self._output: IO[bytes] | None = tempfile.TemporaryFile() if later else None  # noqa: SIM115
        command = [sys.executable, "-m", "pytest", f"--junitxml={self._report}", *words]
        if patience and os.name == "posix":
            command = ["nice", *command]
        environment = {**os.environ, **self._chooses}
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._output, stderr=subprocess.STDOUT if later else None
        )

    def part(self) -> Part:
        """Waits for the end."""
        ended = self._process.wait()
        status = ended if ended >= 0 else 128 - ended  # killed by a signal
        if self._output is not None:
            self._output.seek(0)
            print(f"\n{self._name}:\n{self._output.read().decode(errors='replace')}", flush=True)
            self._output.close()
        try:
            root = ElementTree.parse(self._report).getroot()
        except (OSError, ElementTree.ParseError):
            return Part(self._name, status or 1, "no report, see above")
        finally:
            self._folder.cleanup()

        cases = list(root.iter("testcase"))
        minutes = sum(float(suite.get("time", "0")) for suite in root.iter("testsuite")) / 60

        def names(*kinds: str) -> set[str]:
            found = [case for case in cases if not kinds or any(case.find(kind) is not None for kind in kinds)]
            return {_name(case) for case in found}

        failed, skipped = names("failure", "error"), names("skipped")
        passed = len(names() - failed - skipped)
        told = f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped in {minutes:.1f} min"
        seconds = tuple((float(case.get("time", "0")), _name(case)) for case in cases)
        return Part(self._name, status, told, tuple(sorted(failed)), seconds, tuple(cases), self._chooses)


def _name(case: ElementTree.Element) -> str:
    return case.get("classname", "") + "::" + case.get("name", "")


def prepare_krita() -> None:
    """Installs what this machine's Krita needs."""
    missing = [tool for tool in KRITA_PROGRAMS if not shutil.which(tool)]
    if missing and environment.is_debian() and os.geteuid() == 0:
        print(f"Installing real Krita for the tests: {', '.join(missing)} missing.", flush=True)
        environment.apt(KRITA_PACKAGES)
    elif missing:
        print(f"SKIPPING the tests in real Krita: {', '.join(missing)} missing (Debian, root: installed).")


def prepare_editors() -> None:
    """Installs what this machine's Krita and the root file systems need, and makes GIMP's. The tests themselves say
    what is missing, and fail in CI."""
    prepare_krita()
    debian_root = environment.is_debian() and os.geteuid() == 0
    programs = {"debootstrap": "debootstrap", "bubblewrap": "bwrap"}
    if debian_root and not all(shutil.which(program) for program in programs.values()):
        environment.apt(list(programs))
    print("Real GIMP 3: its root file system is looked at (some minutes, the first time) …", flush=True)
    if _build("trixie", "gimp") == CANNOT_HERE:
        print("SKIPPING the tests in real GIMP 3 (Debian, root: installed).", flush=True)


def prepare_ray() -> None:
    """Installs Ray for its tests, which are skipped where there is none for this Python, and fail in CI."""
    if importlib.util.find_spec("ray") is None:
        (wanted,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["ray"]
        print("Installing Ray for its tests (80 MB) …", flush=True)
        if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", wanted]).returncode:
            print("SKIPPING the tests of Ray: it cannot be installed here.", flush=True)


def _build(host: str, editor: str) -> int:
    return subprocess.run([sys.executable, "-m", "tests.hosts", "build", host, editor], cwd=ROOT).returncode


def in_other_editor(host: str, editor: str, words: Sequence[str]) -> Part:
    """An editor's tests once more in that of another Debian release."""
    name = f"{EDITORS[editor]} of Debian {host}"
    print(f"\n{name}: preparing its root file system (minutes, the first time) …", flush=True)
    built = _build(host, editor)
    if built == CANNOT_HERE and os.environ.get("CI") != "true":
        print(f"SKIPPING the tests in {name}.", flush=True)
        return Part(name, 0, "skipped, see above")
    if built:
        return Part(name, built, "not tested: its root file system could not be built, see above")
    return Run(name, words, {f"REPAINT_BRIDGE_{editor.upper()}": host}, later=True).part()


Lane = Sequence[Callable[[], Part]]


def side_by_side(lanes: Sequence[Lane]) -> list[Part]:
    """The lanes all at once, the parts of each one after the other. Ctrl+C ends the runs of pytest that are under way;
    then no other one begins."""
    over = threading.Event()

    def walk(lane: Lane) -> list[Part]:
        return [part() for part in lane if not over.is_set()]

    with ThreadPoolExecutor(len(lanes)) as pool:
        walks = [pool.submit(walk, lane) for lane in lanes]
        try:
            return [part for each in walks for part in each.result()]
        except BaseException:
            over.set()
            raise


def one(
    name: str, words: Sequence[str], chooses: dict[str, str] | None = None, later: bool = True, patience: bool = False
) -> Lane:
    """A lane of one run."""
    return [lambda: Run(name, words, chooses, later, patience).part()]


def engine(words: Sequence[str], name: str) -> Lane:
    """The engine's tests, with one thread. They wait for nothing but the processor."""
    return [lambda: Run(name, ["tests/engine", *words], ONE_THREAD, later=True, patience=True).part()]


def engine_in_two(words: Sequence[str], every: int, without: Sequence[str] = ()) -> tuple[Lane, Lane]:
    """The engine's tests in two runs: the second has every second, or third … module, the first one the others."""
    modules = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests/engine").glob("test_*.py"))]
    modules = [path for path in modules if path not in without]
    later = modules[1::every]
    first = [path for path in modules if path not in later]

    def part(number: int, left_out: Sequence[str]) -> Lane:
        return engine([*words, *(f"--ignore={path}" for path in left_out)], f"Engine {number}")

    return part(1, later), part(2, first)


def everything(hosts: str, words: Sequence[str]) -> list[Part]:
    """Where words name tests, these alone, in every editor."""
    prepare_editors()
    prepare_ray()
    chooses = {"REPAINT_BRIDGE_TEST_DOWNLOADS": "1"} if hosts == "all" else {}
    chosen = ["tests/krita", *(ESSENTIAL if hosts != "all" else []), *words]
    kritas = [partial(in_other_editor, host, "krita", chosen) for host in HOSTS[hosts]]
    gimps = [partial(in_other_editor, host, "gimp", ["tests/gimp", *words]) for host in OTHER_GIMPS[hosts]]
    if _name_tests(words):
        return side_by_side([[*one("Chosen tests", words, chooses, later=False), *kritas, *gimps]])
    in_krita = one("Krita", ["tests/krita", f"--ignore={KRITA_SET_UP}", *words], chooses, later=False)
    in_gimp = one("GIMP", ["tests/gimp", *words], chooses)
    engine_first, engine_later = engine_in_two(words, 3)  # so that both cores have work to the end
    lanes: list[Lane] = [
        [*in_krita, *kritas],
        [*in_gimp, *one("Krita, set-up", [KRITA_SET_UP, *words], chooses), *gimps],
        one("Bridge", [*BRIDGE, *words], chooses),
        [*one("House", [*HOUSE, *words], chooses, patience=True), *engine_later],
        engine_first,
    ]
    return side_by_side(lanes)


def quick(words: Sequence[str]) -> list[Part]:
    words = [*QUICK, *words]
    if _name_tests(words):
        return [Run("Chosen tests", words).part()]
    lanes = [one("Bridge", ["tests/bridge", *words], later=False), one("House", [*HOUSE, *words])]
    return side_by_side([*lanes, *engine_in_two(words, 2, LONG)])


def _name_tests(words: Sequence[str]) -> bool:
    return any(word.startswith("tests/") for word in words)


def once_more(part: Part) -> Part:
    """Tests of `REAL` editors and processes that failed are run a second time, alone on the machine: a window manager
    or a busy machine can lose a click, and make a process wait too long. What passes then is named and does not fail
    the run; more than `UNSTEADY` are no accident, and neither is a failure of any other test, or of a run that did not
    come to its end."""
    if (
        part.status != TESTS_FAILED
        or not 0 < len(part.failed) <= UNSTEADY
        or not all(name.startswith(REAL) for name in part.failed)
    ):
        return part
    tests = [re.sub(r"^([^:]*)::", lambda found: found[1].replace(".", "/") + ".py::", name) for name in part.failed]
    print(f"\n{part.name}: once more, alone: {', '.join(tests)}", flush=True)
    again = Run(part.name, tests, part.chooses).part()
    if again.status:
        return replace(part, told=f"{part.told}; at the second attempt: {again.told}")
    return replace(part, status=0, told=f"{part.told}; at the second attempt these passed:")


def soak(words: Sequence[str]) -> list[Part]:
    """The tests that hold a promise, in full and alone on the machine, then a table."""
    prepare_krita()
    chosen = ["-m", "promise", "--ignore=tests/gimp", "--timeout=2700"]
    part = Run("Promises", [*chosen, *words], {VARIABLE: "1"}).part()
    print("\n" + table(part.cases), flush=True)
    return [part]


def table(cases: Sequence[ElementTree.Element]) -> str:
    """One row for each promise, in Markdown: how often it was tried, the worst that was seen, whether it held."""
    rows = ["| | promise | tried | worst | minutes | held |", "|---|---|---|---|---|---|"]
    for number, text in PROMISES.items():
        mine = [case for case in cases if str(number) in _properties(case, "promise")]
        if not mine:
            continue
        count = sum(int(value) for case in mine for value in _properties(case, "count") or ["1"])
        worst = "; ".join(value for case in mine for value in _properties(case, "worst"))
        minutes = sum(float(case.get("time", "0")) for case in mine) / 60
        bad = [_name(case) for case in mine for kind in ("failure", "error", "skipped") if case.find(kind) is not None]
        held = "no: " + ", ".join(bad) if bad else "yes"
        rows.append(f"| {number} | {text} | {count} | {worst} | {minutes:.1f} | {held} |")
    return "\n".join(rows)


def _properties(case: ElementTree.Element, name: str) -> list[str]:
    return [each.get("value", "") for each in case.iter("property") if each.get("name") == name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--hosts", choices=list(HOSTS), default="usual")
    parser.add_argument("pytest", nargs="*")
    chosen = parser.parse_args()
    words: list[str] = chosen.pytest
    if chosen.soak:
        parts = soak(words)
    else:
        parts = quick(words) if chosen.quick else everything(chosen.hosts, words)
        parts = [once_more(part) for part in parts]
    single = [each for part in parts for each in part.seconds]
    modules: defaultdict[str, float] = defaultdict(float)
    for seconds, name in single:
        modules[name.partition("::")[0]] += seconds
    for title, found in (("tests", single), ("modules", [(seconds, name) for name, seconds in modules.items()])):
        print(f"\nThe slowest {title}:")
        print("\n".join(f"{seconds:6.1f} s  {name}" for seconds, name in sorted(found, reverse=True)[:SLOWEST]))
    print("\n" + "\n".join(part.lines() for part in parts), flush=True)
    return max((part.status for part in parts if not (words and part.status == NOTHING_SELECTED)), default=0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except environment.Stop as stop:
        sys.exit(f"error: {stop}")
    except KeyboardInterrupt:
        sys.exit(130)
