"""A notebook: the folder of one experiment, in which every finished cell is kept.

``settings.json`` says what is being run with what, ``cells.jsonl`` has one line for each finished cell, ``pictures``
what they painted.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.errors import BadInput, EngineError
from engine.lab.experiment import Number, Result, Setting

SETTINGS, CELLS, PICTURES = "settings.json", "cells.jsonl", "pictures"
SAME = ("experiment", "small", "options", "models", "device", "version")
"""What a folder's settings must have in common with those of a run that goes on with it."""


@dataclass(frozen=True)
class Record:
    """A finished cell.

    Attributes:
        pictures: files by name.
        seconds: that it took.
    """

    settings: dict[str, Setting]
    numbers: dict[str, Number]
    pictures: dict[str, Path]
    seconds: float

    def picture(self, name: str) -> np.ndarray:
        """(H, W, 3 or 4) or (H, W) uint8."""
        return np.asarray(Image.open(self.pictures[name]))

    def number(self, name: str) -> float | None:
        """A single number; None where it could not be measured."""
        value = self.numbers.get(name)
        return value if isinstance(value, int | float) else None


class Notebook:
    """The records of one experiment, in the order in which they were finished.

    Attributes:
        folder: where they are.
        facts: what ``settings.json`` says.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Open the folder for an experiment, or go on with what is there.

        Args:
            facts: JSON; those of :data:`SAME` must be the same in a folder that is there.

        Raises:
            BadInput: the folder holds something else, is damaged, or cannot be written.
            EngineError: ``disk_full``.
        """
        self.folder, self.facts = folder, dict(facts)
        self._records: dict[str, Record] = {}
        try:
            if (folder / SETTINGS).exists():
                self._check(json.loads((folder / SETTINGS).read_text(encoding="utf-8")))
                self._read()
            elif folder.is_dir() and any(folder.iterdir()):
                sentence = f"{folder} holds something, but no {SETTINGS}; choose another folder with --out."
                raise BadInput("bad_notebook", sentence)
        except ValueError as error:
            sentence = f"{folder / SETTINGS} is damaged; choose another folder with --out, or remove this one."
            raise BadInput("bad_notebook", sentence, repr(error)) from error
        except OSError as error:
            raise _unwritten(folder, error) from error
        self.write(SETTINGS, json.dumps(self.facts, indent=1, ensure_ascii=False) + "\n")
        try:
            (folder / PICTURES).mkdir(exist_ok=True)
        except OSError as error:
            raise _unwritten(folder, error) from error

    def _check(self, before: Any) -> None:
        if not isinstance(before, dict):
            raise ValueError("no object")
        for key in SAME:
            if before.get(key) != self.facts.get(key):
                was = json.dumps(before.get(key), ensure_ascii=False)
                raise BadInput(
                    "other_notebook",
                    f"{self.folder} was begun with another {key}, {was}; choose another folder with --out.",
                )

    def _read(self) -> None:
        path = self.folder / CELLS
        if not path.exists():
            return
        whole, _, rest = path.read_bytes().rpartition(b"\n")
        if rest:  # a line that a crash or a full disk cut short
            with open(path, "r+b") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                sentence = f"{path} is damaged in line {number}; remove that line to run its cell again."
                raise BadInput("bad_notebook", sentence, repr(error)) from error

    def _take(self, values: Any) -> None:
        pictures = {name: self.folder / PICTURES / Path(file).name for name, file in values["pictures"].items()}
        record = Record(dict(values["settings"]), dict(values["numbers"]), pictures, float(values["seconds"]))
        if all(path.is_file() for path in pictures.values()):
            self._records[_key(record.settings)] = record

    @property
    def records(self) -> list[Record]:
        return list(self._records.values())

    def has(self, settings: Mapping[str, Setting]) -> bool:
        """Whether the cell of these settings is done."""
        return _key(settings) in self._records

    def find(self, **settings: Setting) -> list[Record]:
        """The records that have these settings."""
        return [each for each in self.records if settings.items() <= each.settings.items()]

    def add(self, settings: Mapping[str, Setting], result: Result, seconds: float) -> Record:
        """Keep a finished cell: first its pictures, then its line. What is no finite number counts as not measured.

        Raises:
            EngineError: ``disk_full`` or ``not_written``.
        """
        files = {name: f"{slug(settings)}-{slug({'': name})}.png" for name in result.pictures}
        values = {
            "settings": dict(settings),
            "numbers": {name: _finite(value) for name, value in result.numbers.items()},
            "pictures": files,
            "seconds": round(seconds, 3),
        }
        try:
            for name, picture in result.pictures.items():
                Image.fromarray(picture).save(self.folder / PICTURES / files[name])
            with open(self.folder / CELLS, "ab") as file:
                file.write(json.dumps(values, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise _unwritten(self.folder, error) from error
        self._take(values)
        return self._records[_key(settings)]

    def write(self, name: str, text: str) -> None:
        """A text file of the folder; raises as :func:`write_text`."""
        write_text(self.folder / name, text)

    def rows(self) -> list[dict[str, Any]]:
        """Settings and numbers of each record."""
        return [{**each.settings, **each.numbers, "seconds in all": each.seconds} for each in self.records]

    def write_numbers(self) -> None:
        """``numbers.csv`` and ``numbers.json``: all records.

        Raises:
            EngineError: ``disk_full`` or ``not_written``.
        """
        rows = self.rows()
        told = {"settings": self.facts, "cells": rows}
        self.write("numbers.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        table = io.StringIO()
        writer = csv.DictWriter(table, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        for row in rows:
            writer.writerow({key: json.dumps(each) if isinstance(each, list) else each for key, each in row.items()})
        self.write("numbers.csv", table.getvalue())


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all.

    Raises:
        EngineError: ``disk_full`` or ``not_written``.
    """
    half = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(text, encoding="utf-8", newline="")
        half.replace(path)
    except OSError as error:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        raise _unwritten(path.parent, error) from error


def slug(settings: Mapping[str, Setting]) -> str:
    """Settings as part of a file's name, another one for others."""
    text = "-".join(f"{key}-{value}".strip("-") for key, value in settings.items())
    name = re.sub(r"[^\w.]+", "-", text).strip("-.")[:120]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _finite(value: Any) -> Number:
    if isinstance(value, list):
        return [float(each) for each in value]
    return None if value is None or not math.isfinite(value) else float(value)


def _key(settings: Mapping[str, Setting]) -> str:
    return json.dumps(settings, sort_keys=True)


def _unwritten(folder: Path, error: OSError) -> EngineError:
    if error.errno in (28, 122):
        return EngineError("disk_full", f"The disk is full: {folder} keeps what has been done so far.", repr(error))
    return BadInput("not_written", f"{folder} cannot be written; choose another folder with --out.", repr(error))
