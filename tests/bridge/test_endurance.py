"""Many clients, many moments, a day of use: what shows only after a while."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from bridge_server.client import events, launch
from tests.bridge.home import FAST, PATIENCE, PLAIN_RUN, SLOW, Home, Watched, alive, python, request, until
from tests.bridge.test_faults import LONG, pixels
from tests.promises import Tried, many


@pytest.mark.promise(7)
def test_each_of_many_clients_hears_every_end_once(shared: Home, tried: Tried) -> None:
    clients = [shared.session() for _ in range(many(6, 100))]
    each = many(3, 10)
    first = clients[0].session.submit(request(SLOW, options=PLAIN_RUN))  # meanwhile all others come in
    clients[0].wait(first, events.Progress)
    jobs = {watched: {watched.session.submit(request(side=24, seed=k)) for k in range(each)} for watched in clients}
    order: list[Watched] = []

    def all_ended() -> bool:
        for watched, mine in jobs.items():
            done = sum(event.job in mine for event in watched.all(events.Done))
            order.extend([watched] * (done - order.count(watched)))
        return len(order) == each * len(clients)

    until(all_ended, "all ends", patience=PATIENCE * many(1, 4), pause=0.1)
    for _ in tried.rounds(each * len(clients), each * len(clients)):
        pass
    for watched in clients:
        watched.check_ends()
        assert len(watched.all(*events.TERMINAL)) == each + (watched is clients[0])
    # in turns: when half of all is done nobody has much more than half of his own
    half = order[: len(order) // 2]
    most = max(half.count(watched) for watched in clients)
    tried.at_most("jobs of one client in the first half", most, each / 2 + 2, "jobs")


@pytest.mark.promise(8)
def test_cancel_at_any_moment(shared: Home, tried: Tried) -> None:
    watched = shared.session()
    for number in tried.rounds(4, 50):
        moment = ("before", "running", "twice", "after")[number % 4]
        job = watched.session.submit(request(**LONG) if moment != "after" else request(side=24))
        if moment in ("running", "twice"):
            watched.wait(job, events.Progress, count=random.randint(1, 12))
        elif moment == "after":
            watched.wait(job, events.Done)
        began = time.monotonic()
        watched.session.cancel(job)
        if moment == "twice":
            watched.session.cancel(job)
        end = watched.end(job)
        if moment != "after":
            assert isinstance(end, events.Cancelled)
            tried.at_most("acknowledged", time.monotonic() - began, 0.1, "s")
        status = until(lambda: _idle(shared), "an idle engine", pause=0.02)
        tried.at_most("calls after a cancel", status.calls_after_cancel, 1, "calls")
    watched.check_ends()


def _idle(home: Home):  # type: ignore[no-untyped-def]
    status = home.status()
    return status if status.engine == "ready" and not status.running else None


_KILLED = """
import signal, sys, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as in Krita
from bridge_server.client.session import Session
from tests.bridge.home import request, SLOW, PLAIN_RUN
session = Session("killed", client_id=sys.argv[1])
session.start()
print(session.submit(request(SLOW, variants=2, options=PLAIN_RUN)), flush=True)
while True:
    session.poll()
    time.sleep(0.01)
"""


@pytest.mark.promise(12)
def test_whatever_is_killed_each_job_ends_once(mortal: Home, tried: Tried) -> None:
    whole = [(r.seed, r.rgba) for r in mortal.session().run(request(**LONG, variants=2))]
    for number in tried.rounds(3, 60):
        kind = ("worker", "bridge", "client")[number % 3]
        name = f"k{number}"
        client = python(_KILLED, name, stdout=-1)
        try:
            assert client.stdout is not None
            job = client.stdout.readline().decode().strip()
            time.sleep(random.uniform(0.2, 2.0))
            worker = mortal.status().worker_pid
            if kind == "worker":
                os.kill(worker, signal.SIGKILL)
            elif kind == "bridge":
                mortal.kill()
                until(lambda worker=worker: not alive(worker), "no orphan")
        finally:
            if kind != "client":
                time.sleep(0.3)  # it reconnects, or is killed while it does
                assert client.poll() is None, f"it went down with the {kind}"
            client.kill()
            client.wait()
        mortal.ready()
        watched = mortal.session(name)
        found = until(lambda watched=watched: watched.all(events.Recovered), "the job")
        assert [event.job for event in found] == [job]
        watched.session.resume(job)
        assert isinstance(watched.end(job), events.Done)
        assert pixels(watched, job) == whole
        watched.check_ends()
        watched.session.close(2.0)


@pytest.mark.promise(14)
def test_a_machine_that_slept_goes_on(mortal: Home, tried: Tried) -> None:
    """SIGSTOP to bridge and engine: both find that time has passed without them."""
    for _ in tried.rounds(1, 3):
        watched = mortal.session()
        job = watched.session.submit(request(**LONG, variants=2))
        watched.wait(job, events.Progress, count=5)
        status = mortal.status()
        sleepers = (status.pid, status.worker_pid)
        for pid in sleepers:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(many(8, 30))
        for pid in sleepers:
            os.kill(pid, signal.SIGCONT)
        assert isinstance(watched.end(job), events.Done)
        assert len(watched.of(job, events.Result)) == 2
        watched.check_ends()
        after = mortal.status()
        assert (after.pid, after.worker_pid) == sleepers
        mortal.hang_up()


@pytest.mark.promise(16)
def test_a_day_of_use_leaves_nothing_behind(mortal: Home, tried: Tried) -> None:
    """Jobs of a client that comes and goes; every tenth time the bridge is started anew."""

    def sizes() -> tuple[float, int, int, int]:
        watched = mortal.session()
        watched.run(request(FAST))
        watched.session.close(2.0)
        status = until(lambda: _idle(mortal), "an idle engine", pause=0.05)
        files = sum(1 for path in mortal.state.rglob("*") if path.is_file() and "logs" not in path.parts)
        descriptors = len(list(Path(f"/proc/{status.pid}/fd").iterdir()))
        journal = sum(path.stat().st_size for path in mortal.state.glob("journal.sqlite*"))
        return status.memory_mib, files, descriptors, journal

    for _ in range(2):
        before = sizes()
    for number in tried.rounds(12, 500):
        if number % 10 == 9:
            until(lambda: mortal.status().clients == 1, "the goodbye of the last client")  # the one that asks
            mortal.kill()
            mortal.ready()
        watched = mortal.session()
        watched.run(request(FAST, side=random.choice((24, 96, 200)), seed=number))
        watched.session.close(2.0)
        mortal.sessions.clear()
    after = sizes()
    for what, one, other, room, unit in zip(
        ("memory", "files", "descriptors", "journal"), before, after, (24, 4, 4, 1 << 22),
        ("MiB more", "more", "more", "bytes more"), strict=True,
    ):  # fmt: skip
        tried.at_most(what, other - one, room, unit)


_CLOCK = """
import runpy, sys, time
real, file, bridge = time.time, sys.argv.pop(1), sys.argv.pop(1)
def shown():
    with open(file) as offset:
        return real() + float(offset.read())
time.time = shown
runpy.run_path(bridge, run_name="__main__")
"""


@pytest.mark.promise(14)
def test_a_clock_that_is_set_back_or_ahead_changes_nothing(home: Home, tried: Tried, tmp_path: Path) -> None:
    """A bridge with a wall clock that jumps while jobs wait, run and are kept."""
    clock, program = tmp_path / "clock", tmp_path / "clock.py"
    clock.write_text("0")
    program.write_text(_CLOCK)
    launch.write_launch_file(sys.executable, [str(program), str(clock), *home.arguments], home.state)
    day = 86_400
    offsets = [-day, 3600, -366 * day, 30 * day, -7200, 366 * day]
    jobs: list[str] = []
    for number in tried.rounds(3, len(offsets)):
        watched = home.session("studio", history=True)
        first = watched.session.submit(request(SLOW, seed=number, options=PLAIN_RUN))
        jobs += [first, watched.session.submit(request(FAST, seed=100 + number))]
        watched.wait(first, events.Progress, count=3)
        clock.write_text(str(offsets[number]))
        assert all(isinstance(watched.end(job), events.Done) for job in jobs[-2:])
        watched.check_ends()
        home.hang_up()
        home.kill()
        later = home.session("studio", history=True)
        count = len(jobs)
        until(lambda later=later, count=count: len(later.all(events.Recovered)) == count, "the whole history")
        assert [event.job for event in later.all(events.Recovered)] == jobs, "in the order of the clicks"
        home.hang_up()
    home.kill()  # it keeps its journal for itself
    base = sqlite3.connect(home.state / "journal.sqlite")
    created = [json.loads(about)["created"] for (about,) in base.execute("SELECT about FROM jobs ORDER BY place")]
    base.close()
    assert created != sorted(created), "the bridge saw the clock jump"
    shown = home.session("studio", history=True)
    until(lambda: len(shown.all(events.Recovered)) == len(jobs), "the history")
    for job in jobs:
        shown.session.resume(job)
        assert isinstance(shown.end(job), events.Done)
        assert len(shown.of(job, events.Result)) == 1
