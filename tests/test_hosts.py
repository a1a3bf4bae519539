"""Root file systems for other editors: nothing half-built is ever used, failures are said in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import hosts
from .bridge.home import alive, until
from .driven import mortal

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPAINT_BRIDGE_HOSTS", str(tmp_path / "hosts"))
    return tmp_path / "hosts"


def test_nothing_half_built_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = hosts.ROOTS["trixie"]
    monkeypatch.setenv(hosts.CHOICE_VARIABLE, "trixie")
    with pytest.raises(hosts.CannotBuild, match=r"tests\.hosts build trixie"):
        hosts.chosen_krita()
    (root.folder / "etc").mkdir(parents=True)
    (root.folder / "usr/bin").mkdir(parents=True)
    (root.folder / "usr/bin/krita").touch()
    with pytest.raises(hosts.CannotBuild):
        hosts.chosen_krita()
    root.stamp("krita").write_text("krita\n")  # of an older list of packages
    with pytest.raises(hosts.CannotBuild):
        hosts.chosen_krita()
    root.stamp("krita").write_text("\n".join(root.packages["krita"]) + "\n")
    krita = hosts.chosen_krita()
    assert krita.program == cache / "root-trixie/usr/bin/krita"
    assert not root.has("gimp")


@pytest.mark.usefixtures("cache")
def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hosts.CHOICE_VARIABLE, raising=False)
    assert hosts.chosen_krita() == hosts.Krita("native")
    monkeypatch.setenv(hosts.CHOICE_VARIABLE, "potato")
    with pytest.raises(hosts.CannotBuild, match="not “potato”"):
        hosts.chosen_krita()


def test_paths_inside_and_outside(cache: Path) -> None:
    krita = hosts.Krita("trixie", cache)
    assert krita.inside(cache / "tmp/a") == Path("/tmp/a")
    assert krita.sees(cache / "tmp/a")
    assert not krita.sees(REPOSITORY)
    assert hosts.Krita("native").inside(REPOSITORY) == REPOSITORY


@pytest.mark.skipif(bool(hosts.why_not() or hosts.cannot_lend()), reason=hosts.why_not() or hosts.cannot_lend() or "-")
def test_lent_folders_are_seen_inside_and_only_read(tmp_path: Path) -> None:
    """The program is the process that was started, so that signals reach it, and its mounts end with it."""
    root, lent = tmp_path / "root", tmp_path / "a folder"
    for name in ("dev", "proc"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    lent.mkdir()
    (lent / "file").write_text("lent")
    editor = hosts.Editor("tiny", root)
    code = 'echo $$; cat "/else/where/file"; if echo more > "/else/where/file"; then echo written; fi; read -r line'
    command = editor.within("sh", {Path("/usr"): Path("/usr"), lent: Path("/else/where")})
    with subprocess.Popen([*command, "-c", code], stdin=-1, stdout=-1, stderr=-1, text=True) as program:
        told, errors = program.communicate("\n", timeout=30)
    assert told == f"{program.pid}\nlent"
    assert "Read-only" in errors
    assert str(root) not in Path("/proc/mounts").read_text()
    assert list((root / "else/where").iterdir()) == []


@pytest.mark.usefixtures("cache")
@pytest.mark.skipif(bool(hosts.why_not()), reason=hosts.why_not() or "possible")
def test_failed_build_is_one_sentence_and_leaves_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """debootstrap itself, with a mirror on this machine where nothing answers."""
    monkeypatch.setattr(hosts, "_mirror", lambda _log: "http://127.0.0.1:9/debian")
    for _ in range(2):
        with pytest.raises(hosts.CannotBuild) as caught:
            hosts.build(hosts.ROOTS["trixie"])
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert "root-trixie.log" in sentence
        assert not hosts.ROOTS["trixie"].folder.exists()


def test_a_second_builder_waits(cache: Path) -> None:
    """The lock of a builder that is at work keeps the next one away from the files."""
    if hosts.why_not():
        pytest.skip(hosts.why_not())
    cache.mkdir()
    lock = cache / "root-trixie.lock"
    holder = subprocess.Popen(["flock", str(lock), "sh", "-c", "echo held; read line"], stdin=-1, stdout=-1)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        command = [sys.executable, "-m", "tests.hosts", "build", "trixie"]
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=3)
        assert not list(cache.glob("root-trixie*part"))
        assert not (cache / "root-trixie").exists()
    finally:
        holder.communicate(b"\n")


@pytest.mark.skipif(mortal("true") == ["true"], reason="no setpriv")
def test_what_tests_start_ends_with_them() -> None:
    """However they end; in a session of its own, too."""
    code = "import subprocess; from tests.driven import mortal; "
    code += (
        "started = subprocess.Popen(mortal('sleep', '600'), start_new_session=True); print(started.pid, flush=True); "
    )
    code += "started.wait()"
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "it runs")
        parent.kill()
    until(lambda: not alive(pid), "its end", patience=20)
