"""What of a batch is done: one line of JSON a job, in the folder of the results; lines are only ever added.

A line is written after the pictures are whole under their names, so that a line that is missing costs a job done twice,
and nothing else. Before the first job the names of all results are written down: what stands under one of them is this
batch's, and everything else in the folder is somebody's.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from engine.batch.spec import Outcome, Spec, file_digest
from engine.errors import BadInput, EngineError
from engine.untrusted import parsed

NAME = "manifest.jsonl"
FORMAT = "repaint-batch-1"


@dataclass
class Manifest:
    """The manifest of one folder of results.

    Attributes:
        done: of each job that is done, by the name of its output: its key and its pictures' SHA-256.
        made: SHA-256 of each picture by its name.
        planned: names of results that this batch was going to write.
    """

    out: Path
    done: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    _file: IO[bytes] | None = None

    @classmethod
    def of(cls, out: Path) -> Manifest:
        """What a folder holds, nothing if it is not there yet.

        Raises:
            BadInput: another file has its name.
        """
        found, path = cls(out), out / NAME
        try:
            lines = path.read_bytes().splitlines()
        except FileNotFoundError:
            return found
        except OSError as error:
            raise BadInput("bad_output", f"{path} cannot be read; choose another folder.", repr(error)) from error
        if lines and _line(lines[0]) != {"format": FORMAT}:
            raise BadInput("bad_output", f"{path} is not a manifest of this version; choose another folder.")
        for values in map(_line, lines[1:]):
            found._take(values)
        return found

    def _take(self, values: Any) -> None:
        """A line; one that a full disk or a crash cut short tells nothing."""
        if not isinstance(values, dict):
            return
        planned, name, files = values.get("planned"), values.get("output"), values.get("files")
        if isinstance(planned, list):
            self._plan(list(map(str, planned)))
        elif isinstance(name, str) and isinstance(files, dict):
            self._done(name, str(values.get("key")), {str(file): str(digest) for file, digest in files.items()})

    def _plan(self, names: list[str]) -> None:
        """What earlier lines say of these pictures no longer holds."""
        self.planned.update(names)
        for name in names:
            self.made.pop(name, None)

    def _done(self, name: str, key: str, files: dict[str, str]) -> None:
        self.done[name] = (key, files)
        self.made.update(files)

    def name(self, path: str | Path) -> str:
        """What a result is called in here."""
        return Path(path).relative_to(self.out).as_posix()

    def has(self, spec: Spec, key: str) -> bool:
        """Whether this very job is done, and its pictures have not been made anew since."""
        before, files = self.done.get(self.name(spec.output), ("", {}))
        return before == key and all(self.made.get(name) == digest for name, digest in files.items())

    def is_foreign(self, path: Path) -> bool:
        """Whether a file stands there that this batch did not make, or that somebody changed since."""
        name = self.name(path)
        if not path.exists():
            return False
        return file_digest(path) != self.made[name] if name in self.made else name not in self.planned

    def begin(self, names: list[str]) -> None:
        """Open for writing, clear away what a run that was killed left half-written, and write down what is going to be
        written.

        Raises:
            BadInput: another batch writes into this folder.
            EngineError: it cannot be written.
        """
        path = self.out / NAME
        try:
            is_new = not path.exists()
            self._file = open(path, "ab")  # noqa: SIM115 (as long as the batch runs)
        except OSError as error:
            raise BadInput("bad_output", f"{path} cannot be written; choose another folder.", repr(error)) from error
        if not _locked(self._file):
            raise BadInput("bad_output", f"Another batch is writing into {self.out}; wait for it.")
        for folder in {self.out, *((self.out / name).parent for name in names)}:
            _clear(folder)
        if is_new or path.stat().st_size == 0:
            self._write({"format": FORMAT})
        else:
            self._file.write(b"\n")  # after a line that was cut short
        self._write_plan([name for name in names if name not in self.planned])

    def renew(self, paths: list[Path]) -> None:
        """Pictures of an earlier time are about to be made anew, and may be if this batch is cut short.

        Raises:
            EngineError: ``disk_full``.
        """
        self._write_plan([name for name in map(self.name, paths) if name in self.made])

    def add(self, spec: Spec, outcome: Outcome) -> None:
        """A job is done.

        Raises:
            EngineError: ``disk_full``.
        """
        name, files = self.name(spec.output), {self.name(path): digest for path, digest in outcome.files.items()}
        told = {"output": name, "key": outcome.key, "seed": spec.seed, "seconds": round(outcome.seconds, 3)}
        self._write({**told, "files": files})
        self._done(name, outcome.key, files)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write_plan(self, names: list[str]) -> None:
        if names:
            self._write({"planned": names})
            self._plan(names)

    def _write(self, values: dict[str, Any]) -> None:
        assert self._file is not None
        try:
            self._file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise not_written(NAME, error) from error


def not_written(name: str, error: OSError) -> EngineError:
    """What to raise where a line could not be added to a file."""
    if error.errno in (28, 122):
        return EngineError("disk_full", f"{name} was not written: the disk is full.", repr(error))
    return EngineError("not_written", f"{name} was not written; check its folder.", repr(error))


def _line(line: bytes) -> Any:
    try:
        return parsed(line)
    except ValueError:
        return None


def _locked(file: IO[bytes]) -> bool:
    """Whether this process may write there alone; where the system has no such locks, it always may."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _clear(folder: Path) -> None:
    """Remove what :func:`engine.files.imagefile.write` left there in processes that are no more."""
    for left in folder.glob(".repaint-*-*"):
        number = left.name.split("-")[1]
        if number.isdecimal() and not _lives(int(number)):
            with suppress(OSError):
                left.unlink()


def _lives(process: int) -> bool:
    """Whether there is such a process, or none can tell (Windows, where asking would end it)."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True
