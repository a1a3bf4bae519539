"""The rows of the journal: how they are written, and what can be read of those of this and of earlier formats."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

from bridge_server.client.checks import NUMBER
from bridge_server.client.errors import WireError
from bridge_server.client.records import CODE, COUNT, DETAILS, SENTENCE, STATE
from bridge_server.job import Finished, Job, finished_of, job_of

log = logging.getLogger("bridge.journal")

# 3: no job had maps or a mask of shares; 2: no job had a source; 1: all pictures had 8 bits; 0: still earlier, these
# wrote no number
FORMAT = 4
SCHEMA = f"""
CREATE TABLE jobs(
    job TEXT PRIMARY KEY, about TEXT NOT NULL, place INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    seconds REAL NOT NULL, code TEXT NOT NULL, sentence TEXT NOT NULL, details TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE results(
    job TEXT NOT NULL, variant INTEGER NOT NULL, about TEXT NOT NULL, claimed INTEGER NOT NULL,
    PRIMARY KEY(job, variant)) WITHOUT ROWID;
PRAGMA user_version={FORMAT};
"""
UNREADABLE = (WireError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def state_of(job: Job) -> tuple[Any, ...]:
    """The columns of a job's row that change."""
    return (job.state, job.attempts, job.seconds, job.code, job.sentence, job.details)


def write_job(base: sqlite3.Connection, job: Job) -> None:
    base.execute(
        "INSERT INTO jobs VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (job.job, json.dumps(job.about()), job.place, *state_of(job)),
    )


def write_result(base: sqlite3.Connection, finished: Finished) -> None:
    key = (finished.result.job, finished.result.variant)
    base.execute(
        "INSERT OR REPLACE INTO results VALUES(?, ?, ?, ?)", (*key, json.dumps(finished.about()), finished.claimed)
    )


def read(base: sqlite3.Connection) -> tuple[list[Job], int, bool]:
    """The jobs that can be read, oldest first, the format, and whether nothing is damaged.

    Raises sqlite3.DatabaseError if it is no data base at all.
    """
    number = int(base.execute("PRAGMA user_version").fetchone()[0])
    if number > FORMAT:
        return [], number, True
    whole = base.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
    jobs: dict[str, Job] = {}
    for table, take in (
        ("jobs", _old_job if number == 0 else _job),
        ("results", _old_result if number == 0 else _result),
    ):
        found, complete = _all(base, table)
        whole &= complete
        for row in found:
            try:
                take(jobs, row)
            except UNREADABLE as error:
                log.error("a row of %s cannot be read: %r", table, error)
                whole = False
    return sorted(jobs.values(), key=lambda job: job.place), number, whole


def _all(base: sqlite3.Connection, table: str) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a table, and whether they are all: where it is torn, it is read from both ends."""
    names = [column[1] for column in base.execute(f"PRAGMA table_info({table})")]
    if not names:
        return [], False
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for order in ("ASC", "DESC"):
        rows = _until_torn(base, f"SELECT * FROM {table} ORDER BY {', '.join(f'{n} {order}' for n in names[:1])}")
        for row in rows:
            if row is None:
                break
            found[row[:2]] = dict(zip(names, row, strict=True))
        else:
            return list(found.values()), True
    return list(found.values()), False


def _until_torn(base: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...] | None]:
    """Rows, and None where the data base is torn."""
    try:
        yield from base.execute(query)
    except sqlite3.DatabaseError as error:
        log.error("the journal is torn: %s", error)
        yield None


def _job(jobs: dict[str, Job], row: dict[str, Any]) -> None:
    job = job_of(row["job"], json.loads(row["about"]))
    _take_state(job, row)
    jobs[job.job] = job


def _take_state(job: Job, row: dict[str, Any]) -> None:
    job.place, job.attempts = COUNT.accept(row["place"]), COUNT.accept(row["attempts"])
    job.state, job.seconds = STATE.accept(row["state"]), NUMBER.accept(row["seconds"])
    job.code, job.sentence = CODE.accept(row["code"]), SENTENCE.accept(row["sentence"])
    job.details = DETAILS.accept(row["details"])


def _result(jobs: dict[str, Job], row: dict[str, Any]) -> None:
    _take_result(jobs, json.loads(row["about"]), row["claimed"])


def _take_result(jobs: dict[str, Job], about: Any, claimed: Any) -> None:
    finished = finished_of(about)
    finished.claimed = bool(claimed)
    jobs[finished.result.job].finished[finished.result.variant] = finished


# --------------------------------------------------------------------------- format 0: whole boxes came back, not parts


def _old_job(jobs: dict[str, Job], row: dict[str, Any]) -> None:
    request = json.loads(row["request"])
    box = {"x": 0, "y": 0, "width": request["width"], "height": request["height"]}
    branch = request.get("branch")
    origin = {**branch, "seed": request["seed"], "variants": request["variants"]} if branch is not None else None
    history = request.get("history", False)
    told = {"client": row["client"], "history": history, "created": row["created"]}
    job = job_of(row["job"], {**told, "order": {**request, "painted": box}, "origin": origin})
    _take_state(job, row)
    jobs[job.job] = job


def _old_result(jobs: dict[str, Job], row: dict[str, Any]) -> None:
    order = jobs[row["job"]].order
    step = json.loads(row["step"]) if row.get("step") else None
    result = {**row, "x": 0, "y": 0, "width": order.width, "height": order.height, "model": order.model}
    about = {"result": {**result, "unfinished": step is not None}, "step": step}
    _take_result(jobs, about, row["claimed"])
