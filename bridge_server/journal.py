"""What must survive: jobs, finished variants and their pixels, in the user's state folder.

``journal.sqlite`` (write-ahead log) holds a row per job and per finished variant; ``spool/JOB/`` holds its pixels,
selection and finished variants as raw bytes.  A variant is in the spool and in the journal before anyone hears of it.
A killed process leaves nothing torn: files are written beside and renamed, rows are single transactions.
Wall-clock time is used for one purpose, the age of jobs that nobody asked for.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bridge_server.client.launch import private_folder
from bridge_server.client.messages import StepEntry

KEEP_SECONDS = 7 * 24 * 3600
TERMINAL = ("done", "failed", "cancelled")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs(
    job TEXT PRIMARY KEY, place INTEGER NOT NULL, client TEXT NOT NULL, request TEXT NOT NULL, created REAL NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL, seconds REAL NOT NULL, code TEXT NOT NULL, sentence TEXT NOT NULL,
    details TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results(
    job TEXT NOT NULL, variant INTEGER NOT NULL, seed INTEGER NOT NULL, seconds REAL NOT NULL, calls INTEGER NOT NULL,
    claimed INTEGER NOT NULL, step TEXT NOT NULL DEFAULT '', PRIMARY KEY(job, variant)) WITHOUT ROWID;
"""


class DiskFull(Exception):
    """There is no space for what has to be kept (or the disk cannot be written for another reason)."""


@dataclass
class Finished:
    """A variant whose pixels are in the spool; with a ``step`` it was stopped there and its state is there, too."""

    variant: int
    seed: int
    seconds: float
    calls: int
    claimed: bool = False
    step: StepEntry | None = None


@dataclass
class Job:
    """A job as the journal and the bridge's memory hold it.

    ``request``: the fields of the submit message; of a branch the parent's, with the branch message under "branch".
    """

    job: str
    client: str
    place: int
    request: dict[str, Any]
    state: str = "queued"
    attempts: int = 0
    seconds: float = 0.0
    code: str = ""
    sentence: str = ""
    details: str = ""
    finished: dict[int, Finished] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def bytes_per_variant(self) -> int:
        return int(self.request["width"]) * int(self.request["height"]) * 4


def _full(error: Exception) -> bool:
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.OperationalError)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Journal:
    """Open once per bridge (its lock guards that).  Raises DiskFull wherever something cannot be written."""

    def __init__(self, state: Path) -> None:
        self.spool = private_folder(state / "spool")
        self.incoming = self.spool / "incoming"
        shutil.rmtree(self.incoming, ignore_errors=True)  # uploads of an earlier bridge are never completed
        self._path = state / "journal.sqlite"
        self.salvaged = False
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if _full(error):
                raise DiskFull(repr(error)) from error
            self._path.replace(self._path.with_name("journal.broken"))
            for suffix in ("-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self.salvaged = True
            self._open()

    def _open(self) -> None:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        self._base = sqlite3.connect(self._path, isolation_level=None)
        # exclusive: no shared-memory file, which a full disk could turn into a bus error
        self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=NORMAL")
        self._base.execute("PRAGMA cache_size=-1024")
        self._base.executescript(_SCHEMA)
        if "step" not in [column[1] for column in self._base.execute("PRAGMA table_info(results)")]:  # of version 0.1
            self._base.execute("ALTER TABLE results ADD COLUMN step TEXT NOT NULL DEFAULT ''")

    def close(self) -> None:
        self._base.close()

    def load(self) -> list[Job]:
        """All jobs, oldest first.

        Jobs too old that are no part of a history, and spool folders without a job, are deleted on the way.
        """
        oldest = time.time() - KEEP_SECONDS
        with self._base:
            aged = self._base.execute("SELECT job, request FROM jobs WHERE created < ?", (oldest,)).fetchall()
            for job, request in aged:
                if not json.loads(request).get("history"):
                    self._base.execute("DELETE FROM jobs WHERE job=?", (job,))
            self._base.execute("DELETE FROM results WHERE job NOT IN (SELECT job FROM jobs)")
        jobs = {}
        rows = self._base.execute(
            "SELECT job, client, place, request, state, attempts, seconds, code, sentence, details"
            " FROM jobs ORDER BY place"
        )
        for job, client, place, request, *rest in rows:
            jobs[job] = Job(job, client, place, json.loads(request), *rest)
        for job, variant, seed, seconds, calls, claimed, step in self._base.execute("SELECT * FROM results"):
            entry = StepEntry(**json.loads(step)) if step else None
            jobs[job].finished[variant] = Finished(variant, seed, seconds, calls, bool(claimed), entry)
        for folder in self.spool.iterdir():
            if folder.name not in jobs:
                shutil.rmtree(folder, ignore_errors=True)
        return list(jobs.values())

    # ------------------------------------------------------------------------------------------------------ jobs

    def add(self, job: Job, pixels: Path | None, selection: Path | None) -> None:
        """Take a job with its two complete uploads (a branch has none).  After DiskFull nothing of it is left."""
        folder = self.spool / job.job
        try:
            private_folder(folder)
            if pixels is not None and selection is not None:
                pixels.replace(folder / "pixels")
                selection.replace(folder / "selection")
            self._write(
                "INSERT INTO jobs VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (job.job, job.place, job.client, json.dumps(job.request), time.time(), *_state_of(job)),
            )
        except (OSError, DiskFull) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise DiskFull(repr(error)) from error

    def save(self, job: Job) -> None:
        """Write the state, attempts and end of a job."""
        self._write(
            "UPDATE jobs SET state=?, attempts=?, seconds=?, code=?, sentence=?, details=? WHERE job=?",
            (*_state_of(job), job.job),
        )

    def remove(self, job: Job) -> None:
        """Forget a job and its files; never fails for lack of space."""
        shutil.rmtree(self.spool / job.job, ignore_errors=True)
        self._write("DELETE FROM results WHERE job=?", (job.job,))
        self._write("DELETE FROM jobs WHERE job=?", (job.job,))

    def drop_inputs(self, job: Job) -> None:
        """The job has ended and will not run again: only its results are kept."""
        for what in ("pixels", "selection"):
            (self.spool / job.job / what).unlink(missing_ok=True)

    def read_input(self, job: str, what: str, offset: int, length: int) -> bytes:
        """A piece of "pixels" or "selection"."""
        return _read(self.spool / job / what, offset, length)

    # --------------------------------------------------------------------------------------------------- results

    def write_piece(self, job: Job, variant: int, offset: int, piece: bytes | memoryview) -> None:
        """Append a piece of an unfinished variant; offset 0 begins it anew.  Raises ValueError on a gap."""
        path = self.spool / job.job / f"variant-{variant}.part"
        try:
            with open(path, "wb" if offset == 0 else "ab") as file:
                if file.tell() != offset or offset + len(piece) > job.bytes_per_variant:
                    raise ValueError("a piece out of order")
                file.write(piece)
        except OSError as error:
            raise DiskFull(repr(error)) from error

    def finish(self, job: Job, finished: Finished) -> None:
        """Make the variant's pieces a result.  Raises ValueError if bytes are missing."""
        part = self.spool / job.job / f"variant-{finished.variant}.part"
        if part.stat().st_size != job.bytes_per_variant:
            raise ValueError("a variant is not complete")
        try:
            part.replace(part.with_suffix(""))
        except OSError as error:
            raise DiskFull(repr(error)) from error
        self._write(
            "INSERT OR REPLACE INTO results VALUES(?, ?, ?, ?, ?, 0, ?)",
            (job.job, finished.variant, finished.seed, finished.seconds, finished.calls, _text_of(finished.step)),
        )
        job.finished[finished.variant] = finished

    def read_result(self, job: str, variant: int, offset: int, length: int) -> bytes:
        """A piece of a finished variant."""
        return _read(self.spool / job / f"variant-{variant}", offset, length)

    def claim(self, job: Job, variant: int) -> None:
        """The editor has this variant."""
        job.finished[variant].claimed = True
        self._write("UPDATE results SET claimed=1 WHERE job=? AND variant=?", (job.job, variant))

    def drop(self, job: Job, variant: int) -> None:
        """Forget a finished variant and delete its files."""
        job.finished.pop(variant, None)
        for name in (f"variant-{variant}", f"state-{variant}"):
            (self.spool / job.job / name).unlink(missing_ok=True)
        self._write("DELETE FROM results WHERE job=? AND variant=?", (job.job, variant))

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._base.execute(statement, values)
        except sqlite3.Error as error:
            if _full(error):
                raise DiskFull(repr(error)) from error
            raise


class Upload:
    """A blob that arrives piece by piece into a file; a full disk shows in ``error``, the stream goes on."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size, self.received = path, size, 0
        self.error = ""
        self._file: BinaryIO | None = None
        try:
            private_folder(path.parent)
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed in take and drop
        except OSError as error:
            self.error = repr(error)

    def add(self, offset: int, piece: bytes | memoryview) -> None:
        """Raises ValueError if the piece is not the next one."""
        if offset != self.received or offset + len(piece) > self.size:
            raise ValueError("a piece out of order")
        self.received += len(piece)
        if self._file is not None and not self.error:
            try:
                written = 0
                while written < len(piece):
                    written += self._file.write(memoryview(piece)[written:])
            except OSError as error:
                self.error = repr(error)
        if self._file is not None and (self.error or self.received == self.size):
            self._file.close()
            self._file = None
        if self.error:
            self.path.unlink(missing_ok=True)

    @property
    def whole(self) -> int:
        """Its size once everything has arrived, else 0."""
        return self.size if self.received == self.size and not self.error else 0

    def drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self.path.unlink(missing_ok=True)


def _text_of(step: StepEntry | None) -> str:
    return json.dumps(asdict(step)) if step is not None else ""


def _state_of(job: Job) -> tuple[Any, ...]:
    return (job.state, job.attempts, job.seconds, job.code, job.sentence, job.details)


def _read(path: Path, offset: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
