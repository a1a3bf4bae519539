"""The bridge starts exactly once, and leaves in order."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge_server.__main__ import main
from bridge_server.client import events, launch, link, messages, session, settings
from bridge_server.client.editor.choices import Choices
from bridge_server.client.editor.fields import defaults
from bridge_server.client.editor.identity import client_id
from bridge_server.client.editor.sentences import UNREADABLE
from bridge_server.client.errors import BridgeError, CannotStart, NotInstalled
from bridge_server.client.setup import boxes
from tests.bridge.home import ROOT, SLOW, Home, alive, python, request, until
from tests.promises import Tried, many

_STARTER = """
import sys, time
from bridge_server.client import link
sys.stdin.readline()
one = link.find_or_start("s" + sys.argv[1], "starter", timeout=150)
print(one.welcome.instance, link.read_connection_file(__import__("pathlib").Path(sys.argv[2])).pid, flush=True)
sys.stdin.readline()
"""


def bridges(home: Home) -> list[int]:
    """The bridge processes of this home, by what the system says."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and alive(int(entry.name)):
            try:
                line = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"serve" in line and str(home.state).encode() in line:
                found.append(int(entry.name))
    return found


@pytest.mark.promise(4)
@pytest.mark.slow
def test_sixteen_starters_at_once_start_one_bridge(home: Home, tried: Tried) -> None:
    """In turns over no file, a stale one after kill -9, and a torn one."""
    instances = set()
    for number in tried.rounds(3, 60):
        starters = [
            python(_STARTER, str(k), str(home.state), stdin=subprocess.PIPE, stdout=subprocess.PIPE) for k in range(16)
        ]
        path = home.state / link.CONNECTION_FILE
        try:
            if number:
                home.kill()
            if number % 3 == 0:
                path.unlink(missing_ok=True)
            elif number % 3 == 2:
                path.write_bytes(path.read_bytes()[: random.randint(0, 40)])
            for one in starters:
                assert one.stdin is not None
                one.stdin.write(b"go\n")
                one.stdin.flush()
            answers = {one.stdout.readline() for one in starters if one.stdout is not None}
            assert len(answers) == 1, answers
            instance, pid = answers.pop().decode().split()
            assert bridges(home) == [int(pid)] == [home.bridge_pid()]
            instances.add(instance)
        finally:
            for one in starters:
                one.kill()
                one.communicate()
    assert len(instances) == many(3, 60)


def test_a_second_bridge_declines(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.link()
    monkeypatch.setattr("bridge_server.__main__.LOCK_SECONDS", 0.3)
    assert main(["serve", "--state", str(home.state)]) == 4
    assert "Another" in capsys.readouterr().err
    assert bridges(home) == [home.bridge_pid()]


def test_it_leaves_when_idle_and_not_before(home: Home) -> None:
    launch.write_launch_file(sys.executable, [*home.arguments[:-1], "1"], home.state)
    one = home.link()
    pid = home.bridge_pid()
    until(lambda: one.ask(messages.GetStatus(), messages.Status).uptime > 3, "more than the second", pause=0.3)
    worker = home.status().worker_pid
    one.send(messages.Bye())
    one.flush()
    until(lambda: not alive(pid), "the bridge leaves")
    assert not alive(worker)
    assert not (home.state / link.CONNECTION_FILE).exists()
    assert "leaving: idle" in home.log()


def test_a_session_has_another_engine_started(home: Home) -> None:
    """After an update: the bridge ends, and the one that the launch file names now starts without being asked for."""
    home.ready()
    watched = home.session()
    until(lambda: watched.all(events.Connected), "a session")
    pid = home.bridge_pid()
    watched.session.restart_bridge()
    until(lambda: not alive(pid), "the end of the old one")
    until(lambda: len(watched.all(events.Connected)) >= 2 and home.bridge_pid() != pid, "the new one")
    assert [event.code for event in watched.all(events.Disconnected)] == ["lost"]
    main(["stop"])  # as set-up does with a bridge that has nothing to do
    until(lambda: len(watched.all(events.Disconnected)) > 1, "the session rests")
    seen = len(watched.all(events.Connected))
    watched.session.restart_bridge()
    until(lambda: len(watched.all(events.Connected)) > seen, "it starts one all the same")


def test_stop_is_orderly_and_keeps_unfinished_jobs(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.ready()
    watched = home.session()
    job = watched.session.submit(request(SLOW))
    watched.wait(job, events.Progress)
    status = home.status()
    assert main(["stop"]) == 0
    assert "stopped" in capsys.readouterr().out
    until(lambda: not alive(status.pid) and not alive(status.worker_pid), "both are gone")
    # this session still has a job, so it starts a new bridge, which goes on with it
    assert isinstance(watched.end(job), events.Done)
    watched.check_ends()


def test_after_a_stop_an_idle_session_rests_until_it_is_needed(
    home: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr(session, "find", lambda client, app: looks.append(client) or link.find(client, app))
    watched = home.session()
    until(lambda: watched.all(events.Connected), "a connection")
    pid = home.bridge_pid()
    assert main(["stop"]) == 0
    until(lambda: watched.all(events.Disconnected), "the news")
    until(lambda: not alive(pid), "the end")
    until(lambda: len(looks) >= 4, "it looks for a bridge now and then")
    assert bridges(home) == []
    assert main(["status"]) == 1
    assert "is not running" in capsys.readouterr().out
    assert len(watched.run(request())) == 1


def test_without_a_launch_file_a_sentence_says_what_to_run(home: Home) -> None:
    launch.launch_file().unlink()
    with pytest.raises(NotInstalled, match="click Set up"):
        launch.read_launch_file()
    watched = home.session()
    news = until(lambda: watched.all(events.Disconnected), "the sentence")
    assert news[0].code == "not_installed"
    assert "open RePaint" in news[0].sentence
    launch.write_launch_file(sys.executable, home.arguments, home.state)
    until(lambda: watched.all(events.Connected), "a connection, by itself")


@pytest.mark.parametrize(
    ("interpreter", "arguments"),
    [("/no/such/python", []), (sys.executable, ["-c", "raise SystemExit(3)"])],
)
def test_a_bridge_that_cannot_start_is_said(home: Home, interpreter: str, arguments: list[str]) -> None:
    launch.write_launch_file(interpreter, arguments, home.state)
    with pytest.raises(CannotStart) as caught:
        link.find_or_start("x", "x")
    assert "click Repair" in caught.value.sentence


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "[" * 10**5, '{"interpreter": 5}', '{"interpreter":"a","arguments":"b","state":"c"}']
)
@pytest.mark.usefixtures("home")
def test_a_torn_launch_file_is_as_none(content: str) -> None:
    launch.launch_file().write_text(content)
    with pytest.raises(NotInstalled):
        launch.read_launch_file()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("spoil", [os.mkfifo, Path.mkdir, lambda path: path.write_text("[" * 10**5)])
def test_whatever_lies_where_an_editors_own_files_should_be_holds_nobody_up(
    home: Home, spoil: Callable[[Path], object]
) -> None:
    config = launch.launch_file().parent
    launch.launch_file().unlink()
    launch.private_folder(home.state)
    for path in (launch.launch_file(), settings.settings_file(), config / "choices.json", home.state / "krita-client"):
        spoil(path)
    with pytest.raises(NotInstalled):
        launch.read_launch_file()
    assert settings.read() == {}
    assert boxes.connected() == ""
    choices = Choices(config / "choices.json")
    assert (choices.user, choices.notice) == (defaults(), UNREADABLE)
    assert client_id("krita") == client_id("krita") is not None
    assert choices.keep({"seed": 1})
    settings.write("workers", 2)
    launch.write_launch_file(sys.executable, home.arguments, home.state)
    assert (settings.read(), launch.read_launch_file().state) == ({"workers": 2}, home.state)


def test_an_engine_that_cannot_be_imported_is_said(home: Home, tmp_path: Path) -> None:
    """A project whose engine is broken: jobs end in a sentence, the bridge stays."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("raise ImportError('no torch here')")
    shutil.copytree(ROOT / "bridge_server", tmp_path / "bridge_server")
    arguments = [str(tmp_path / "bridge_server" / "__main__.py"), *home.arguments[1:]]
    launch.write_launch_file(sys.executable, arguments, home.state)
    watched = home.session()
    job = watched.session.submit(request())
    end = watched.end(job)
    assert isinstance(end, events.Failed)
    assert end.code == "engine_down"
    assert "restart the engine" in end.sentence
    assert "no torch here" in home.log()
    assert home.status().engine == "down"


def test_close_returns_soon_whatever_happens(home: Home) -> None:
    launch.write_launch_file(sys.executable, ["-c", "import time; time.sleep(60)"], home.state)
    watched = home.session()
    watched.session.submit(request())
    until(lambda: link.children and link.children[-1].poll() is None, "it has been started")
    began = time.monotonic()
    watched.session.close(1.0)
    assert time.monotonic() - began < 5
    for child in link.children:
        child.kill()
        child.wait()


def test_the_connection_file_is_not_taken_from_another_bridge(home: Home) -> None:
    home.link()
    pid = home.bridge_pid()
    path = home.state / link.CONNECTION_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "instance": "another"}))
    os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid), "the end")
    assert path.exists()
    with pytest.raises(BridgeError):
        link.find("x", "x")
