"""A job of a batch as plain data, and the run of one: a pure function of the job and its files."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from engine.devices import use_threads
from engine.errors import EngineError
from engine.models import Model, autoencoder, digest, find, load, within_memory
from engine.tasks import TASKS, News, add_common_options, maps, model_id
from engine.version import __version__

log = logging.getLogger(__name__)

MODELS = 2
"""Models that one process holds at a time."""
FILES = ("save_state", "plot_schedule", "previews")
"""Options that name what is written beside the result."""
SOURCES = ("source", "source_mask", "share_mask")
"""Options that name further pictures to read."""
LISTS = ("with", "with_weight")
"""Options that may come several times."""


@dataclass(frozen=True)
class Spec:
    """One job, as plain data: what defines its pixels, and where they go.

    Attributes:
        number: of the job, from 0, in the order of the list.
        task: name of :data:`engine.tasks.TASKS`.
        picture, mask: absolute paths.
        output: absolute path of the result; several variants are numbered, see :mod:`engine.tasks.results`.
        seed: 0 … 2^53 - 1, of the first variant.
        options: values of the task's other options by their names in a Namespace, those that were given; paths are
            texts.
        threads: of the processor to compute with; part of what defines the pixels of networks.
    """

    number: int
    task: str
    picture: str
    mask: str | None
    output: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    threads: int = 1

    @property
    def inputs(self) -> list[str]:
        """The pictures that it reads."""
        named = (self.picture, self.mask, *(self.options.get(name) for name in SOURCES))
        return [path for path in named if path] + [str(path) for path, _ in maps.named(self.arguments())]

    def arguments(self) -> argparse.Namespace:
        """What the task takes, the defaults of options that were not given included."""
        given = {name: Path(text) if name in FILES + SOURCES else text for name, text in self.options.items()}
        mask = None if self.mask is None else Path(self.mask)
        own = {"image": Path(self.picture), "mask": mask, "out": Path(self.output), "seed": self.seed}
        return argparse.Namespace(**{**defaults(self.task), **given, **own, "streamed": False})


@dataclass(frozen=True)
class Outcome:
    """What came of a job, as plain data.

    Attributes:
        number: of the job.
        seconds: of wall clock, of reading, painting and writing.
        key: see :func:`key`; "" of a job that failed.
        files: SHA-256 of each picture written, by its path.
        notes: sentences on results that are not quite what was asked for.
        code, sentence, details: of a failure, as of :class:`engine.errors.EngineError`; "" where the job is done.
    """

    number: int
    seconds: float = 0.0
    key: str = ""
    files: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    code: str = ""
    sentence: str = ""
    details: str = ""

    @classmethod
    def failed(cls, number: int, error: EngineError, seconds: float = 0.0) -> Outcome:
        return cls(number, seconds, code=error.code, sentence=error.sentence, details=error.details)


class Models:
    """The models that a process holds: the last :data:`MODELS` that its jobs asked for."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[str, str | None, str | None], Model] = OrderedDict()

    def load(self, name: str, device: str | None = None, vae: str | None = None) -> Model:
        """As :func:`engine.models.load`."""
        asked = (name, device, vae)
        if asked not in self._loaded:
            while len(self._loaded) >= MODELS:
                self._loaded.popitem(last=False)
            self._loaded[asked] = load(name, device, vae)
        self._loaded.move_to_end(asked)
        return self._loaded[asked]


class _Notes(News):
    """Keeps what is to be told; a batch shows its own progress."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def note(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def page(self, number: int, pages: int) -> None:
        pass

    def learning(self, event: Any) -> None:
        pass

    def calls(self, done: int, total: int, seconds: float) -> None:
        pass


def run(spec: Spec, models: Models) -> Outcome:
    """Run a job; its pictures appear under their names, each whole or not at all.

    Same job, files, kind of device and version → same pixels, whatever ran before and wherever it runs. A failure is an
    outcome, too.
    """
    began, notes = time.monotonic(), _Notes()
    try:
        use_threads(spec.threads)
        found = key(spec)
        with within_memory():
            made = TASKS[spec.task].run(spec.arguments(), models.load, notes)
        written = [name for variant in made.variants for name in (variant["file"], *variant.get("maps", ()))]
        files = {name: file_digest(Path(name)) for name in written}
    except EngineError as error:
        return Outcome.failed(spec.number, error, time.monotonic() - began)
    except Exception as error:
        log.debug("unexpected failure", exc_info=True)
        sentence = "Something went wrong inside the engine; run it alone with --verbose and report what it prints."
        return Outcome.failed(spec.number, EngineError("internal", sentence, repr(error)), time.monotonic() - began)
    return Outcome(spec.number, time.monotonic() - began, found, files, tuple(notes.sentences))


def key(spec: Spec) -> str:
    """SHA-256 of all that defines a job's pixels: version, task, seed, options, model, and the files' contents.

    Not of the names of what is written: they hold the folder, which may be moved.

    Raises:
        EngineError: a file or the model is not there.
    """
    arguments = spec.arguments()
    parts: dict[str, Any] = {"version": __version__, "task": spec.task, "seed": spec.seed}
    parts |= {name: value for name, value in spec.options.items() if name not in FILES}
    parts["threads"] = spec.threads
    parts["model"] = _model_digest(model_id(arguments), arguments.vae)
    parts["kind"] = Path(spec.output).suffix.lower()
    for name in ("picture", "mask"):
        path = getattr(spec, name)
        parts[name] = None if path is None else file_digest(Path(path))
    parts |= {name: file_digest(Path(parts[name])) for name in SOURCES if name in parts}
    if "with" in parts:
        parts["with"] = [[path.name, kind, file_digest(path)] for path, kind in maps.named(arguments)]
    if arguments.schedule.endswith(".json"):
        parts["schedule"] = file_digest(Path(arguments.schedule))
    parts.pop("vae", None)  # a part of the model's
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EngineError("no_file", f"{path} cannot be read; check its name and permissions.", repr(error)) from error


@cache
def defaults(task: str) -> dict[str, Any]:
    """The task's options with their defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    TASKS[task].add_own_options(parser)
    add_common_options(parser)
    return vars(parser.parse_args([]))


@cache
def _model_digest(name: str, vae: str | None) -> str:
    info = find(name)
    return digest(info if vae is None else replace(info, vae=autoencoder(vae)))
