"""The journal: damaged in many ways, of another version, no file at all; nothing of it keeps a bridge from starting."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bridge_server.client import events, launch, messages
from bridge_server.client.geometry import Box
from bridge_server.client.records import BranchRequest, Order, Step
from bridge_server.job import Finished, Job
from bridge_server.journal import DAMAGED, LATER, Journal
from tests.bridge.home import Home, request, until

ORDER = Order(6, 5, Box(1, 2, 3, 2), "texture", "fast", 7, 2, {"steps": 9}, "t" * 900)
PIXELS = bytes(range(24))
JOBS = 40  # some 60 KB: more than a dozen pages


def result(job: str, variant: int) -> messages.Result:
    return messages.Result(job, variant, 7 + variant, 1, 2, 3, 2, "texture", 1.5, 9, variant == 1, "u8")


def fill(state: Path) -> None:
    """A journal of jobs of all kinds: with both results, with one and its inputs, a branch."""
    journal = Journal(state)
    journal.load()
    for number in range(JOBS):
        name = f"job-{number:02}"
        origin = BranchRequest("job-00", 1, 4, "idea", 2, 9) if number % 5 == 4 else None
        job = Job(name, f"client-{number % 3}", ORDER, origin, number % 2 == 0, time.time() + number, number)
        journal.spool.incoming.mkdir(exist_ok=True)
        inputs = {what: journal.spool.incoming / what for what in ("pixels", "selection")}
        for path in inputs.values():
            path.write_bytes(b"x")
        journal.add(job, inputs)
        for variant in range(2 - number % 2):
            journal.spool.write_piece(name, variant, 0, PIXELS, 24)
            journal.finish(job, Finished(result(name, variant), Step(9, 1, 2, 3) if variant == 1 else None))
        if number % 2 == 0:
            job.state, job.seconds = "done", 3.5
            journal.save(job)
            journal.spool.drop_inputs(name)
    journal.close()


def load(state: Path) -> tuple[dict[str, Job], str]:
    journal = Journal(state)
    jobs = journal.load()
    assert [job.place for job in jobs] == sorted({job.place for job in jobs})
    for job in jobs:
        for variant in job.finished:
            assert journal.spool.read_result(job.job, variant, 0, 100) == PIXELS
    notice = journal.notice
    journal.close()
    return {job.job: job for job in jobs}, notice


def page(number: int, content: Callable[[], bytes]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        assert path.stat().st_size > (number + 1) * 4096
        with open(path, "r+b") as file:
            file.seek(number * 4096)
            file.write(content())

    return damage


def statement(sql: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        base = sqlite3.connect(path)
        base.execute(sql)
        base.commit()
        base.close()

    return damage


def noise() -> bytes:
    return random.Random(5).randbytes(4096)


def free_page(path: Path) -> None:
    """What no row lies in, so that reading all rows does not tell; the next write would."""
    for table in ("jobs", "results"):
        statement(f"DELETE FROM {table}")(path)
    first = int.from_bytes(path.read_bytes()[32:36], "big")  # of the list of free pages
    page(first - 1, noise)(path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    **{f"page {k} zeroed": page(k, lambda: bytes(4096)) for k in (0, 1, 2, 3, 7)},
    **{f"page {k} random": page(k, noise) for k in (0, 1, 2, 3, 7)},
    "a free page random": free_page,
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut off within a page": lambda path: os.truncate(path, 4096 * 5 + 77),
    "text": lambda path: path.write_bytes(b"this is no data base" * 300) and None,
    "no JSON": statement("UPDATE jobs SET about='{\"client\":' WHERE job='job-07'"),
    "JSON of another kind": statement("UPDATE jobs SET about='[1, 2]' WHERE job='job-07'"),
    "values out of range": statement("UPDATE jobs SET about=replace(about, '\"width\": 6', '\"width\": -6')"),
    "no UTF-8": statement("UPDATE jobs SET about=CAST(x'fffe7b7d' AS TEXT) WHERE job='job-07'"),
    "deep JSON": statement(f"UPDATE jobs SET about='{'[' * 100000}' WHERE job='job-07'"),
    "an unknown state": statement("UPDATE jobs SET state='sleeping' WHERE job='job-07'"),
    "a number that is text": statement("UPDATE jobs SET place='first' WHERE job='job-07'"),
    "a result that is no JSON": statement("UPDATE results SET about='' WHERE job='job-07'"),
    "a result of no job": statement("UPDATE results SET about=replace(about, 'job-07', 'job-99') WHERE job='job-07'"),
    "no table of results": statement("DROP TABLE results"),
    "another schema": statement("ALTER TABLE jobs RENAME COLUMN about TO told"),
    "a folder": lambda path: path.unlink() or path.mkdir(),
    "a folder for its log": lambda path: path.with_name("journal.sqlite-wal").mkdir(),
    "a pipe": lambda path: path.unlink() or os.mkfifo(path),
}


@pytest.mark.promise(13)
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_journal_is_put_aside_and_nothing_finished_is_lost(tmp_path: Path, kind: str) -> None:
    fill(tmp_path)
    before, _ = load(tmp_path)
    assert len(before) == JOBS
    DAMAGES[kind](tmp_path / "journal.sqlite")
    after, notice = load(tmp_path)
    assert notice == DAMAGED
    assert list(tmp_path.glob("journal.sqlite*.broken"))
    assert after.keys() == before.keys()
    for name, job in before.items():
        found = after[name]
        assert (found.client, found.order, found.origin, found.history) == (
            job.client, job.order, job.origin, job.history
        )  # fmt: skip
        assert {k: (f.result, f.step) for k, f in found.finished.items()} == {
            k: (f.result, f.step) for k, f in job.finished.items()
        }
        assert found.state == job.state
    again, notice = load(tmp_path)
    assert again == after
    assert not notice


def test_a_lost_journal_is_written_anew_from_the_spool(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "journal.sqlite").unlink()
    (tmp_path / "spool" / "job-03" / "about.json").write_text("{")
    (tmp_path / "spool" / "job-04" / "variant-0").write_bytes(b"short")
    (tmp_path / "spool" / "no-job").mkdir()
    (tmp_path / "spool" / "a file").write_text("?")
    found, notice = load(tmp_path)
    assert not notice
    assert sorted(found) == [f"job-{k:02}" for k in range(JOBS) if k != 3]
    assert list(found["job-04"].finished) == [1]
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == sorted(found)


def test_rows_that_are_left_of_a_torn_journal_count_where_the_spool_does_not_tell(tmp_path: Path) -> None:
    fill(tmp_path)
    for about in (tmp_path / "spool").glob("*/about.json"):
        about.unlink()
    path = tmp_path / "journal.sqlite"
    content = path.read_bytes()
    pages = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    leaves = [number for number, each in enumerate(pages) if each[0] == 10 and b'"client"' in each]
    page(leaves[1], noise)(path)
    found, notice = load(tmp_path)
    assert notice == DAMAGED
    assert JOBS / 2 < len(found) < JOBS
    assert any(job.finished for job in found.values())


def test_a_later_journal_is_put_aside_and_the_spool_is_taken(tmp_path: Path) -> None:
    fill(tmp_path)
    statement("PRAGMA user_version=99")(tmp_path / "journal.sqlite")
    found, notice = load(tmp_path)
    assert notice == LATER
    assert len(found) == JOBS
    base = sqlite3.connect(tmp_path / "journal.sqlite.new")
    assert base.execute("SELECT count(*) FROM jobs").fetchone() == (JOBS,)
    base.close()


def test_old_jobs_go_but_those_of_a_history_stay(tmp_path: Path) -> None:
    fill(tmp_path)
    statement("UPDATE jobs SET about=replace(about, '\"created\": ', '\"created\": -')")(tmp_path / "journal.sqlite")
    found, notice = load(tmp_path)
    assert sorted(found) == [f"job-{k:02}" for k in range(0, JOBS, 2)]
    assert not notice
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == sorted(found)


_OLD = """
CREATE TABLE jobs(
    job TEXT PRIMARY KEY, place INTEGER NOT NULL, client TEXT NOT NULL, request TEXT NOT NULL, created REAL NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, seconds REAL NOT NULL, code TEXT NOT NULL, sentence TEXT NOT NULL,
    details TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results(
    job TEXT NOT NULL, variant INTEGER NOT NULL, seed INTEGER NOT NULL, seconds REAL NOT NULL, calls INTEGER NOT NULL,
    claimed INTEGER NOT NULL{step}, PRIMARY KEY(job, variant)) WITHOUT ROWID;
"""


@pytest.mark.parametrize("version", ["the first", "the last"])
def test_a_journal_of_an_earlier_version_is_taken_over(tmp_path: Path, version: str) -> None:
    """They knew no parts of boxes; the first one no kept steps either."""
    launch.private_folder(tmp_path)
    base = sqlite3.connect(tmp_path / "journal.sqlite")
    base.executescript(_OLD.format(step=", step TEXT NOT NULL DEFAULT ''" if version == "the last" else ""))
    wanted = {
        "width": 4, "height": 3, "model": "texture", "preset": "fast", "seed": 11, "variants": 2,
        "options": {"hard": True}, "tag": "x", "history": True,
    }  # fmt: skip
    branch = {"parent": "one", "variant": 1, "call": 6, "kind": "idea", "jump": 0, "times": 0}
    for job, content, state in (("one", wanted, "done"), ("two", {**wanted, "branch": branch}, "queued")):
        row = (job, 5, "studio", json.dumps(content), time.time(), state, 0, 2.5, "", "", "")
        base.execute("INSERT INTO jobs VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    step = {"call": 6, "remaining": 4, "harmonise": 5, "idea": 6}
    extra = ", ?" if version == "the last" else ""
    base.execute(
        f"INSERT INTO results VALUES('one', 1, 12, 2.5, 6, 0{extra})",
        [json.dumps(step)] if version == "the last" else [],
    )
    base.commit()
    base.close()
    (tmp_path / "spool" / "one").mkdir(parents=True)
    (tmp_path / "spool" / "one" / "variant-1").write_bytes(PIXELS * 2)
    journal = Journal(tmp_path)
    one, two = journal.load()
    assert not journal.notice
    assert one.order == Order(4, 3, Box(0, 0, 4, 3), "texture", "fast", 11, 2, {"hard": True}, "x")
    assert (one.client, one.state, one.history, one.seconds) == ("studio", "done", True, 2.5)
    finished = one.finished[1]
    kept = version == "the last"
    assert finished.result == messages.Result("one", 1, 12, 0, 0, 4, 3, "texture", 2.5, 6, kept, "u8")
    assert finished.step == (Step(**step) if kept else None)
    assert two.origin == BranchRequest("one", 1, 6, "idea", 2, 11)
    assert journal.spool.read_result("one", 1, 0, 100) == PIXELS * 2
    journal.close()
    assert (tmp_path / "journal.sqlite.old").exists()
    (tmp_path / "journal.sqlite").unlink()
    (found,) = Journal(tmp_path).load()
    assert (found.order, found.state, found.finished) == (one.order, "done", one.finished), "its folder tells it now"


@pytest.mark.promise(13)
def test_a_bridge_starts_over_whatever_lies_where_its_files_should_be(home: Home) -> None:
    launch.private_folder(home.state)
    for name in ("connection.json", "bridge.lock", "start.lock", "logs/bridge.log", "logs/worker-output.log"):
        (home.state / name).mkdir(parents=True)
        (home.state / name / "something of the user's").touch()
    os.mkfifo(home.state / "journal.sqlite")
    for name in ("spool", "steps"):
        (home.state / name).write_text("a file")
    watched = home.session()
    assert len(watched.run(request())) == 1
    assert [each.sentence for each in watched.all(events.Notice)] == [DAMAGED]
    broken = {path.name for path in home.state.rglob("*.broken")}
    assert {"connection.json.broken", "bridge.lock.broken", "journal.sqlite.broken", "spool.broken"} <= broken
    assert list((home.state / "connection.json.broken").iterdir()), "nothing of it is lost"


def test_the_artist_is_told_of_files_that_were_put_aside(home: Home) -> None:
    launch.private_folder(home.state)
    (home.state / "connection.json").mkdir()
    watched = home.session("studio")
    assert len(watched.run(request())) == 1
    (notice,) = watched.all(events.Notice)
    assert "connection.json.broken" in notice.sentence
    assert notice.sentence.endswith(".")
    home.hang_up()
    again = home.session("studio")
    assert len(again.run(request())) == 1
    assert not again.all(events.Notice), "it is said once"


@pytest.mark.promise(13)
def test_a_bridge_starts_over_a_damaged_journal_and_hands_back_what_was_finished(home: Home) -> None:
    watched = home.session("studio", history=True)
    job = watched.session.submit(replace(request(tag="which document"), variants=2))
    assert isinstance(watched.end(job), events.Done)
    results = {each.variant: each for each in watched.of(job, events.Result)}
    home.hang_up()
    home.kill()
    (home.state / "journal.sqlite").write_bytes(noise())
    (home.state / "journal.sqlite-wal").unlink(missing_ok=True)  # what is there is enough to mend it
    later = home.session("studio", history=True)
    found = until(lambda: later.all(events.Recovered), "the job")[0]
    assert (found.job, found.tag, found.state, found.results) == (job, "which document", "done", 2)
    assert [each.sentence for each in later.all(events.Notice)] == [DAMAGED]
    later.session.resume(job)
    assert isinstance(later.end(job), events.Done)
    assert {each.variant: each for each in later.of(job, events.Result)} == results
