"""Checks of a whole list before its first job: from headers, so that ten thousand jobs take seconds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine import devices
from engine.batch.listing import Entry
from engine.batch.spec import FILES, Spec
from engine.errors import BadInput, EngineError
from engine.files import Picture, containers
from engine.models import autoencoder, find
from engine.run import resolve, seeds
from engine.tasks import TASKS, job_of, maps, model_id, numbered

LONGEST = 255
"""Bytes of a file's name."""


def checked(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The entries, one after the other, each with the problem that was found in it."""
    files = (path for each in entries if each.spec for path in each.spec.inputs)
    inputs = {os.path.realpath(path) for path in files}
    taken: dict[str, str] = {}
    good: set[str] = set()
    for entry in entries:
        if entry.spec is None:
            yield entry
            continue
        try:
            _check_outputs(entry, taken, inputs)
            _check_options(entry.spec, good)
            TASKS[entry.spec.task].check(entry.spec.arguments())
        except EngineError as error:
            entry = replace(entry, problem=error.sentence)
        yield entry


def written(spec: Spec) -> list[Path]:
    """Everything that a job writes, first its pictures."""
    names = numbered(Path(spec.output), spec.options.get("variants", 1))
    beside = [name.with_name(name.stem + each) for name in names for each in _endings(spec)]
    return [*names, *beside, *(Path(spec.options[name]) for name in FILES if spec.options.get(name))]


def _endings(spec: Spec) -> list[str]:
    """What the names of its maps' results end in."""
    return [maps.ending(path, Path(spec.picture)) for path, _ in maps.named(spec.arguments())]


def _check_outputs(entry: Entry, taken: dict[str, str], inputs: set[str]) -> None:
    assert entry.spec is not None
    containers.check(Path(entry.spec.output).name, Path(entry.spec.output).suffix.lower(), ())
    for path in written(entry.spec):
        if any(len(os.fsencode(part)) > LONGEST for part in path.parts):
            raise BadInput(
                "bad_output", f"The name {path.name[:20]}… is too long for a file; give it a shorter output."
            )
        name = os.path.normcase(path)
        if name in taken:
            raise BadInput("bad_output", f"It writes {path.name}, as {taken[name]} does; give it another output.")
        taken[name] = entry.where
        if os.path.realpath(path) in inputs:
            raise BadInput(
                "bad_output", f"It would overwrite {path.name}, a picture of the list; choose another folder."
            )


def _check_options(spec: Spec, good: set[str]) -> None:
    """Model, device and settings; the same ones are looked at once."""
    seeds(spec.seed, spec.options.get("variants", 1))
    known = json.dumps([spec.task, spec.options])
    if known in good:
        return
    arguments = spec.arguments()
    info = find(model_id(arguments))
    if not info.installed:
        raise BadInput(
            "model_missing",
            f"The model {info.title} is not installed; run 'python -m engine models get {info.id}' first.",
        )
    if arguments.vae is not None:
        autoencoder(arguments.vae)
    if not info.takes_prompt and (arguments.prompt or arguments.negative):
        raise BadInput("bad_prompt", f"The model {info.title} takes no prompt; leave it out.")
    if not info.takes_prompt and arguments.pag_scale:
        raise BadInput("bad_guidance", f"The model {info.title} takes no prompt, so leave --pag-scale out.")
    if info.family == "exemplar" and arguments.known_noise:
        raise BadInput("bad_noise", f"The model {info.title} copies the picture as it is, so leave --known-noise out.")
    devices.chosen(arguments.device)
    resolve(job_of(arguments, Picture(np.zeros((1, 1, 3), np.uint8)), np.zeros((1, 1), np.uint8), info.id))
    good.add(known)
