"""The work on a batch: what is still to be done, and what becomes of the outcomes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from engine.batch.checks import written
from engine.batch.executor import Executor
from engine.batch.listing import Entry
from engine.batch.manifest import Manifest, not_written
from engine.batch.spec import Outcome, Spec, key
from engine.errors import BadInput, EngineError

FAILURES = "failures.csv"
HEADING = ("job", "picture", "output", "code", "sentence", "details")
FATAL = ("disk_full",)
"""Codes of failures after which every other job would fail, too."""


@dataclass
class Tally:
    """How many jobs there are, and what became of them."""

    jobs: int
    skipped: int = 0
    done: int = 0
    failed: int = 0


def pending(entries: Sequence[Entry], manifest: Manifest, again: bool) -> Iterator[Entry | None]:
    """For each entry itself if it is to be done, None if it is done and nothing of it changed.

    Args:
        again: do everything.

    Yields:
        an entry with a problem where a result would be overwritten that is not this batch's.
    """
    for entry in entries:
        assert entry.spec is not None
        if again:
            yield entry
            continue
        name = manifest.name(entry.spec.output)
        is_there = name in manifest.done and all(path.exists() for path in written(entry.spec))
        if is_there and manifest.has(entry.spec, key(entry.spec)):
            yield None
            continue
        foreign = next((path for path in written(entry.spec) if path.is_file() and manifest.is_foreign(path)), None)
        yield entry if foreign is None else replace(entry, problem=_foreign(foreign, manifest))


def _foreign(path: Path, manifest: Manifest) -> str:
    what = (
        "was changed since it was made" if manifest.name(path) in manifest.made else "is there and is not of this batch"
    )
    return f"{path.name} {what}; move it away, or add --again to overwrite it."


def work(
    entries: Sequence[Entry],
    executor: Executor,
    manifest: Manifest,
    tally: Tally,
    stopping: Callable[[], bool],
) -> Generator[tuple[Entry, Outcome], None, None]:
    """Do the jobs; yields each with its outcome, when that is written down.

    Args:
        tally: is kept up to date.
        stopping: whether no further job is to be begun.

    Raises:
        EngineError: the disk is full; what is done is written down.
    """
    by_number = {entry.spec.number: entry for entry in entries if entry.spec}
    full: EngineError | None = None

    def jobs() -> Iterator[Spec]:
        nonlocal full
        for entry in entries:
            if full is not None or stopping():
                return
            assert entry.spec is not None
            try:
                manifest.renew(written(entry.spec))
            except EngineError as error:
                full = error
                return
            yield entry.spec

    failures = _Failures(manifest.out / FAILURES)
    try:
        with closing(executor.finished(jobs())) as outcomes:
            for outcome in outcomes:
                entry = by_number[outcome.number]
                assert entry.spec is not None
                try:
                    if outcome.code in FATAL:
                        raise EngineError(outcome.code, outcome.sentence, outcome.details)
                    if outcome.code:
                        failures.add(entry, outcome)
                        tally.failed += 1
                    else:
                        manifest.add(entry.spec, outcome)
                        tally.done += 1
                except EngineError as error:
                    full = error
                    continue
                yield entry, outcome
    finally:
        failures.close()
        manifest.close()
    if full is not None:
        raise full


class _Failures:
    """The table of the jobs that failed in this run; there is none if none did."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        try:
            heading = ",".join(HEADING).encode()
            if path.exists() and not heading.startswith(path.read_bytes()[: len(heading)]):  # cut short on a full disk
                raise BadInput(
                    "bad_output", f"{path} does not belong to a batch; move it away, or choose another folder."
                )
            path.unlink(missing_ok=True)
        except OSError as error:
            raise BadInput("bad_output", f"{path} cannot be removed; choose another folder.", repr(error)) from error

    def add(self, entry: Entry, outcome: Outcome) -> None:
        assert entry.spec is not None
        try:
            if self._file is None:
                self._file = open(self._path, "w", encoding="utf-8", newline="")  # noqa: SIM115 (closed by its owner)
                csv.writer(self._file).writerow(HEADING)
            row = (entry.where, entry.spec.picture, entry.spec.output, outcome.code, outcome.sentence, outcome.details)
            csv.writer(self._file).writerow(row)
            self._file.flush()
        except OSError as error:
            raise not_written(FAILURES, error) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
