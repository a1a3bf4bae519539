"""The pixels of jobs on disk: ``spool/JOB/`` holds what a job was given, its finished variants, and `ABOUT`, which says
what they are, so that a lost journal can be written anew.

A killed process leaves nothing torn: files are written beside and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from bridge_server.client.launch import NOT_WRITABLE, private_folder, write_private
from bridge_server.client.records import MAX_MAPS

ABOUT = "about.json"
INPUTS = ("pixels", "selection", "source", "share_mask", *(f"map-{number}" for number in range(MAX_MAPS)))
DISK_FULL = "The disk is full, so the picture could not be kept: make some space, then click RePaint again."
_LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)


class DiskFull(Exception):
    """What has to be kept cannot be written; ``sentence`` says why, and what to do."""

    def __init__(self, error: Exception) -> None:
        super().__init__(repr(error))
        self.sentence = DISK_FULL
        if isinstance(error, OSError) and error.errno in _LOCKED and error.filename:
            self.sentence = NOT_WRITABLE.format(place=Path(error.filename).parent)


class Spool:
    """The folder ``spool`` of a state folder.  Raises DiskFull wherever something cannot be written."""

    def __init__(self, state: Path) -> None:
        self._folder = private_folder(state / "spool")
        self.incoming = self._folder / "incoming"
        shutil.rmtree(self.incoming, ignore_errors=True)  # uploads of an earlier bridge are never completed

    def jobs(self) -> list[str]:
        """The names of all folders."""
        return [path.name for path in self._folder.iterdir() if path != self.incoming]

    def add(self, job: str, inputs: Mapping[str, Path]) -> None:
        """Take the complete uploads of a job (a branch has none)."""
        with _full():
            folder = private_folder(self._folder / job)
            for what, path in inputs.items():
                path.replace(folder / what)

    def describe(self, job: str, about: dict[str, Any]) -> None:
        """Write what `described` reads."""
        with _full():
            write_private(self._folder / job / ABOUT, json.dumps(about))

    def described(self, job: str) -> Any:
        """Raises OSError or ValueError if it cannot be read."""
        return json.loads((self._folder / job / ABOUT).read_text(encoding="utf-8"))

    def remove(self, job: str) -> None:
        """Delete all of a job; never fails."""
        path = self._folder / job
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()

    # ------------------------------------------------------------------------------------------------------- inputs

    def has_inputs(self, job: str, inputs: Iterable[str]) -> bool:
        return all((self._folder / job / what).is_file() for what in inputs)

    def drop_inputs(self, job: str) -> None:
        """The job has ended and will not run again: only its results are kept."""
        for what in INPUTS:
            (self._folder / job / what).unlink(missing_ok=True)

    def read_input(self, job: str, what: str, offset: int, length: int) -> bytes:
        """A piece of one of `INPUTS`."""
        return _read(self._folder / job / what, offset, length)

    # ------------------------------------------------------------------------------------------------------ results

    def write_piece(self, job: str, variant: int, offset: int, piece: bytes | memoryview, size: int) -> None:
        """Append a piece of an unfinished variant of ``size`` bytes; offset 0 begins it anew.

        Raises ValueError on a gap.
        """
        path = self._folder / job / f"variant-{variant}.part"
        with _full(), open(path, "wb" if offset == 0 else "ab") as file:
            if file.tell() != offset or offset + len(piece) > size:
                raise ValueError("a piece out of order")
            file.write(piece)

    def finish(self, job: str, variant: int, size: int) -> None:
        """Make the variant's pieces a result.  Raises ValueError if bytes are missing."""
        part = self._folder / job / f"variant-{variant}.part"
        if part.stat().st_size != size:
            raise ValueError("a variant is not complete")
        with _full():
            part.replace(part.with_suffix(""))

    def has_result(self, job: str, variant: int, size: int) -> bool:
        path = self._folder / job / f"variant-{variant}"
        return path.is_file() and path.stat().st_size == size

    def read_result(self, job: str, variant: int, offset: int, length: int) -> bytes:
        """A piece of a finished variant."""
        return _read(self._folder / job / f"variant-{variant}", offset, length)

    def drop_result(self, job: str, variant: int) -> None:
        """Delete a finished variant and the state that was kept with it."""
        for name in (f"variant-{variant}", f"state-{variant}"):
            (self._folder / job / name).unlink(missing_ok=True)


class Upload:
    """A blob that arrives piece by piece into a file; a full disk shows in ``error``, the stream goes on."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size, self.received = path, size, 0
        self.error: DiskFull | None = None
        self._file: BinaryIO | None = None
        try:
            private_folder(path.parent)
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed in add and drop
        except OSError as error:
            self.error = DiskFull(error)

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
                self.error = DiskFull(error)
        if self._file is not None and (self.error or self.received == self.size):
            self._file.close()
            self._file = None
        if self.error:
            self.drop()

    @property
    def whole(self) -> int:
        """Its size once everything has arrived, else 0."""
        return self.size if self.received == self.size and not self.error else 0

    def drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        with contextlib.suppress(OSError):  # it was never there, or the folder can only be read: cleared at a start
            self.path.unlink()


@contextlib.contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFull(error) from error


def _read(path: Path, offset: int, length: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)
