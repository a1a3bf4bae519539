"""What must survive: jobs and finished variants, as rows of ``journal.sqlite`` in the user's state folder.

Their pixels lie in the `Spool`.  A variant is in the spool and in the journal before anyone hears of it; rows are
single transactions.  A journal of an earlier format is taken over; one that is damaged, or of a later format, is put
aside, and what can be read of it and of the descriptions in the spool stands in a new one.
Wall-clock time is used for one purpose, the age of jobs that nobody asked for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge_server import rows
from bridge_server.client.launch import plain_file, set_aside
from bridge_server.job import Finished, Job, finished_of, job_of
from bridge_server.spool import DiskFull, Spool

log = logging.getLogger("bridge.journal")

KEEP_SECONDS = 7 * 24 * 3600
DAMAGED = (
    "The list of your RePaint pictures was damaged and has been put aside; what could be read of it is still here, "
    "so look through the pictures before you go on."
)
LATER = (
    "The list of your RePaint pictures is of a later version and has been put aside; install that version again, or go "
    "on with the pictures that are here."
)


BROKEN, OLD, NEW = "broken", "old", "new"  # what a file that is put aside ends in


class Journal:
    """Open once per bridge (its lock guards that).  Raises DiskFull wherever something cannot be written.

    ``notice``: a sentence for the artist, if the journal had to be put aside.
    """

    def __init__(self, state: Path) -> None:
        self.spool = Spool(state)
        self.notice = ""
        self._path = state / "journal.sqlite"
        with _full():
            self._jobs = self._open()

    def _open(self) -> dict[str, Job]:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = self._path.with_name(self._path.name + suffix)
            if os.path.lexists(path) and not plain_file(path):
                self.notice = DAMAGED
        self._connect()
        try:
            if not self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._base.executescript(rows.SCHEMA)
            found, number, whole = rows.read(self._base)
        except sqlite3.DatabaseError as error:
            if _no_space(error):
                raise
            log.error("the journal cannot be read: %s", error)
            found, number, whole = [], rows.FORMAT, False
        jobs = {job.job: job for job in found}
        if number != rows.FORMAT or not whole:
            self._renew(jobs.values(), BROKEN if not whole else OLD if number < rows.FORMAT else NEW)
            self.notice = DAMAGED if not whole else LATER if number > rows.FORMAT else self.notice
        if self.notice:
            log.error(self.notice)
        return jobs

    def _connect(self) -> None:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        self._base = sqlite3.connect(self._path, isolation_level=None)
        self._base.text_factory = lambda text: text.decode("utf-8", "replace")
        with contextlib.suppress(sqlite3.DatabaseError):  # of a damaged one; reading it will tell
            # exclusive: no shared-memory file, which a full disk could turn into a bus error
            self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=NORMAL")
            self._base.execute("PRAGMA cache_size=-1024")

    def _renew(self, jobs: Iterable[Job], kind: str) -> None:
        """Put the file aside as one of that kind, and write a new one with these jobs."""
        self._base.close()
        set_aside(self._path, kind)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._connect()
        self._base.executescript(rows.SCHEMA)
        for job in jobs:
            rows.write_job(self._base, job)
            for finished in job.finished.values():
                rows.write_result(self._base, finished)
            if kind == OLD:  # nothing lies beside its pixels yet
                with contextlib.suppress(DiskFull):  # there is no folder
                    self._describe(job)

    def close(self) -> None:
        self._base.close()

    def load(self) -> list[Job]:
        """All jobs, oldest first, also those that only the spool knows.

        Jobs too old that are no part of a history, and what else lies in the spool, are deleted on the way.
        """
        jobs = self._jobs
        place = max((job.place for job in jobs.values()), default=-1)
        with _full():
            for job in sorted(self._described(), key=lambda job: job.created):
                known = jobs.get(job.job)
                if known is None:
                    place += 1
                    job.place = place
                    jobs[job.job] = job
                    rows.write_job(self._base, job)
                    known = replace(job, finished={})
                for variant in job.finished.keys() - known.finished.keys():
                    jobs[job.job].finished[variant] = job.finished[variant]
                    rows.write_result(self._base, job.finished[variant])
        oldest = time.time() - KEEP_SECONDS
        for job in [job for job in jobs.values() if job.created < oldest and not job.history]:
            self.remove(jobs.pop(job.job))
        return list(jobs.values())

    def _described(self) -> Iterator[Job]:
        """Jobs whose rows are, or may be, lost, by their descriptions in the spool; what has none there is deleted."""
        for name in self.spool.jobs():
            if name in self._jobs and not self.notice:
                continue
            try:
                about = self.spool.described(name)
                job = job_of(name, about["job"])
                for each in about["results"]:
                    finished = finished_of(each)
                    if self.spool.has_result(name, finished.result.variant, job.order.painted_bytes):
                        job.finished[finished.result.variant] = finished
            except (OSError, *rows.UNREADABLE) as error:
                if name not in self._jobs:
                    log.warning("a folder of the spool belongs to no job: %r", error)
                    self.spool.remove(name)
                continue
            if not self.spool.has_inputs(name, job.order.inputs):
                job.state = "done" if job.finished else "cancelled"
            yield job

    # ------------------------------------------------------------------------------------------------------ jobs

    def add(self, job: Job, inputs: Mapping[str, Path]) -> None:
        """Take a job with its complete uploads (a branch has none).  After DiskFull nothing of it is left."""
        try:
            self.spool.add(job.job, inputs)
            self._describe(job)
            with _full():
                rows.write_job(self._base, job)
        except DiskFull:
            self.spool.remove(job.job)
            raise

    def save(self, job: Job) -> None:
        """Write the state, attempts and end of a job."""
        self._write(
            "UPDATE jobs SET state=?, attempts=?, seconds=?, code=?, sentence=?, details=? WHERE job=?",
            (*rows.state_of(job), job.job),
        )

    def remove(self, job: Job) -> None:
        """Forget a job and its files; never fails for lack of space."""
        self.spool.remove(job.job)
        self._write("DELETE FROM results WHERE job=?", (job.job,))
        self._write("DELETE FROM jobs WHERE job=?", (job.job,))

    # --------------------------------------------------------------------------------------------------- results

    def finish(self, job: Job, finished: Finished) -> None:
        """Make the variant's pieces a result.  Raises ValueError if bytes are missing."""
        variant = finished.result.variant
        self.spool.finish(job.job, variant, job.order.painted_bytes)
        job.finished[variant] = finished
        try:
            self._describe(job)
            with _full():
                rows.write_result(self._base, finished)
        except DiskFull:
            del job.finished[variant]
            raise

    def claim(self, job: Job, variant: int) -> None:
        """The editor has this variant."""
        job.finished[variant].claimed = True
        self._write("UPDATE results SET claimed=1 WHERE job=? AND variant=?", (job.job, variant))

    def drop(self, job: Job, variant: int) -> None:
        """Forget a finished variant and delete its files."""
        job.finished.pop(variant, None)
        self.spool.drop_result(job.job, variant)
        self._write("DELETE FROM results WHERE job=? AND variant=?", (job.job, variant))

    def _describe(self, job: Job) -> None:
        results = [finished.about() for finished in job.finished.values()]
        self.spool.describe(job.job, {"job": job.about(), "results": results})

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with _full():
            self._base.execute(statement, values)


@contextlib.contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if _no_space(error):
            raise DiskFull(error) from error
        raise


def _no_space(error: Exception) -> bool:
    codes = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
    return isinstance(error, OSError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in codes
