"""The list of jobs: lines of JSON, a table, or a pattern of picture files."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from engine.batch import options
from engine.batch.spec import FILES, Spec
from engine.errors import BadInput
from engine.files import containers
from engine.tasks import TASKS
from engine.untrusted import parsed, require_file

MAX_LIST = 256 << 20
"""Bytes of a list."""
LISTS = (".jsonl", ".ndjson", ".csv", ".tsv")
MASKS = ("-mask", "-Mask", "-MASK")
"""Ends of the names of masks, before the suffix."""
SEED_BYTES = 6


@dataclass(frozen=True)
class Entry:
    """A job, and where it stands: a line of the list, or the name of a picture. ``problem``: why there is no job."""

    where: str
    spec: Spec | None
    problem: str = ""


@dataclass(frozen=True)
class Common:
    """What holds for all jobs where they do not say otherwise.

    Attributes:
        out: the folder of the results.
        options: as of :func:`engine.batch.options.absolute`, the seed included; each holds for the tasks that have it.
            What is written beside a result has the result's name in its own.
    """

    out: Path
    task: str
    options: dict[str, Any]
    threads: int = 1


def read(jobs: Sequence[str], common: Common) -> list[Entry]:
    """All jobs of a list, a folder, a pattern or of several picture files, those that cannot be read with why.

    Raises:
        BadInput: there is no such list or picture, or nothing in it; a common option is of no task in it.
    """
    if len(jobs) == 1 and jobs[0].lower().endswith(LISTS):
        path = Path(jobs[0])
        rows = _table(path) if path.suffix.lower() in (".csv", ".tsv") else _lines(path)
        entries = [
            _entry(f"{path.name}, line {line}", number, values, path.parent, common)
            for number, (line, values) in enumerate(rows)
        ]
    else:
        pictures, root = _pictures(jobs, common)
        outputs = _outputs(pictures, root)
        entries = [
            _entry(str(path), number, _beside(path, outputs[path], common.task), Path(), common)
            for number, path in enumerate(pictures)
        ]
    if not entries:
        raise BadInput("no_jobs", f"There is no job in {' '.join(jobs)}; name a list, a folder or pictures.")
    options.check_belongs({entry.spec.task for entry in entries if entry.spec}, common.options)
    return entries


def _entry(where: str, number: int, values: dict[str, Any] | str, folder: Path, common: Common) -> Entry:
    try:
        if isinstance(values, str):
            raise BadInput("bad_list", values)
        return Entry(where, _spec(number, values, folder, common))
    except BadInput as error:
        return Entry(where, None, error.sentence)


def _spec(number: int, values: dict[str, Any], folder: Path, common: Common) -> Spec:
    fields = {options.name_of(name): value for name, value in values.items()}
    if len(fields) < len(values):
        raise BadInput("bad_list", "It has one field twice; leave one of them out.")
    picture, mask, output, task = (_text(name, fields.pop(name, None)) for name in options.OWN)
    task = task or common.task
    options.check_task(task)
    if not picture:
        raise BadInput("bad_list", "It names no picture; add a field 'picture'.")
    if bool(mask) != TASKS[task].takes_mask:
        why = "needs a mask; add a field 'mask'" if TASKS[task].takes_mask else "takes no mask; leave it out"
        raise BadInput("bad_list", f"The task {task} {why}.")
    own, shared = options.parsed(fields, folder), options.of_task(task, common.options)
    options.check_belongs({task}, own)
    name = _inside(output or _result_name(Path(picture)))
    shared |= {each: _named(_inside(shared[each]), name, each) for each in FILES if shared.get(each)}
    chosen = {**shared, **own}
    chosen |= {each: str(common.out.absolute() / _inside(chosen[each])) for each in FILES if chosen.get(each)}
    if "with" in chosen:
        chosen["with"] = [_map_of(text, (folder / picture).absolute()) for text in chosen["with"]]
    seed = chosen.pop("seed", None)
    if seed is None:
        seed = int.from_bytes(hashlib.sha256(name.as_posix().encode()).digest()[:SEED_BYTES])
    return Spec(
        number,
        task,
        str((folder / picture).absolute()),
        str((folder / mask).absolute()) if mask else None,
        str(common.out.absolute() / name),
        seed,
        {name: chosen[name] for name in sorted(chosen)},
        common.threads,
    )


def _map_of(text: str, picture: Path) -> str:
    """The map of a picture: ``{name}`` is the picture's own name, ``{set}`` the same up to the last _ or -, and where
    one of these stands, a relative path begins beside the picture."""
    if "{" not in text:
        return text
    parts = re.split(r"[_-](?=[^_-]*$)", picture.stem)
    return str(picture.parent / text.replace("{name}", picture.stem).replace("{set}", parts[0]))


def _inside(name: str) -> Path:
    """A place in the folder of the results."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise BadInput("bad_output", f"{name!r} lies outside the folder of the results; name a place within it.")
    return path


def _named(path: Path, output: Path, option: str) -> str:
    """The common name of what is written beside results, for the one with this output: ``states/s.state`` →
    ``states/s-OUTPUT.state``; for previews, which go into a folder, one in that."""
    name = output.stem if option == "previews" else f"{path.stem}-{output.stem}{path.suffix}"
    return str((path if option == "previews" else path.parent) / output.parent / name)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise BadInput("bad_list", f"The field {name!r} must be text, not {value!r}.")
    if any("\ud800" <= each <= "\udfff" for each in value):
        raise BadInput("bad_list", f"The name {value!r} contains bytes that are not UTF-8 text; rename the file.")
    return value.strip()


def _result_name(picture: Path) -> str:
    """The picture's own name where its kind of file can be written, else as PNG."""
    kept = picture.suffix.lower() in containers.CONTAINERS
    return picture.name if kept else f"{picture.stem}.png"


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(_read(path).split("\n"), 1):  # splitlines knows lines that JSON does not
        if not line.strip():
            continue
        try:
            values = parsed(line)
        except ValueError as error:
            yield number, f'It is no JSON ({error}); each line is an object such as {{"picture": "a.png"}}.'
            continue
        yield number, values if isinstance(values, dict) else "It is no object of JSON; write {…} with its fields."


def _table(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    text = _read(path)
    first = text.partition("\n")[0]
    delimiter = max("\t;,", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        head = next(rows, [])
        line = rows.line_num + 1
        for row in rows:
            cells = {name: cell for name, cell in zip(head, row, strict=False) if cell.strip()}
            if len(row) > len(head):
                yield line, f"It has {len(row)} cells, the heading has {len(head)}; quote what holds commas."
            elif cells:
                yield line, cells
            line = rows.line_num + 1
    except csv.Error as error:
        why = f"{path.name}, line {line}, cannot be read as a table; close its quotes, or save the table again as CSV."
        raise BadInput("bad_list", why, repr(error)) from error


def _read(path: Path) -> str:
    require_file(path, MAX_LIST)
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("bad_list", f"{path.name} is not UTF-8 text; save it as UTF-8.", repr(error)) from error


def _pictures(jobs: Sequence[str], common: Common) -> tuple[list[Path], Path]:
    """The pictures, in the order of their names, and the folder under which their names go on in the results."""
    found, roots = [], []
    stems = cache(lambda folder: {each.stem for each in folder.iterdir()})
    for job in jobs:
        path = Path(job)
        if path.is_dir():
            if os.path.realpath(path) == os.path.realpath(common.out):
                raise BadInput(
                    "bad_output", f"Results in {job} would be pictures of the next run; choose another folder."
                )
            found += [each for each in path.iterdir() if not each.name.startswith(".") and _is_picture(each)]
            roots.append(path)
        elif glob.has_magic(job) and not path.exists():
            found += filter(_is_picture, map(Path, glob.iglob(job, recursive=True)))  # noqa: PTH207
            roots.append(Path(*takewhile(lambda part: not glob.has_magic(part), path.parts)))
        elif path.exists():
            if not _is_picture(path):
                why = f"{job} is neither a picture nor a list; a list ends in .jsonl or .csv and is given alone."
                raise BadInput("bad_list", why)
            found.append(path)
            roots.append(path.parent)
        else:
            raise BadInput("no_file", f"There is no file or folder {job}; check the name.")
    root, out = Path(os.path.commonpath(list(map(os.path.abspath, roots)))), common.out.absolute()
    if root in out.parents:  # results of an earlier time
        found = [path for path in found if out not in path.absolute().parents]
    if TASKS[common.task].takes_mask:
        found = [path for path in found if not _is_mask(path, stems)]
    return sorted(dict.fromkeys(found)), root


def _is_picture(path: Path) -> bool:
    """Whether a file is one, or should be by its name; its own check will say what is wrong with it."""
    if not path.is_file():
        return False
    if path.suffix.lower() in (*containers.CONTAINERS, ".jpg", ".jpeg"):
        return True
    try:
        with open(path, "rb") as file:
            return containers.kind(file.read(64)) is not None
    except OSError:
        return True


def _is_mask(path: Path, stems: Callable[[Path], set[str]]) -> bool:
    """Whether a picture is the mask of another one beside it, and has none itself."""
    if not path.stem.endswith(MASKS) or _mask(path) is not None:
        return False
    return path.stem[: -len(MASKS[0])] in stems(path.parent)


def _mask(path: Path) -> Path | None:
    """The mask beside a picture."""
    names = (f"{path.stem}{end}{suffix}" for suffix in dict.fromkeys((".png", path.suffix)) for end in MASKS)
    return next((mask for mask in map(path.with_name, names) if mask.is_file()), None)


def _outputs(pictures: Sequence[Path], root: Path) -> dict[Path, str]:
    """The name of each picture's result: that of ``t.jpg`` is ``t.png``, or ``t-jpg.png`` where that is another's."""
    number = Counter(path.with_name(_result_name(path)) for path in pictures)
    out = {}
    for path in pictures:
        name = _result_name(path)
        if name != path.name and number[path.with_name(name)] > 1:
            name = f"{path.stem}-{path.suffix[1:]}.png"
        relative = Path(os.path.abspath(path)).relative_to(root)  # noqa: PTH100 (resolve would follow links)
        out[path] = str(relative.with_name(name))
    return out


def _beside(path: Path, output: str, task: str) -> dict[str, Any] | str:
    values = {"picture": str(path), "output": output, "task": task}
    if TASKS[task].takes_mask:
        mask = _mask(path)
        if mask is None and path.stem.endswith(MASKS):
            return "It is a mask, and there is no picture beside it; put that there, or move it away."
        if mask is None:
            return f"There is no mask {path.stem}-mask.png beside it; make one, or name only pictures that have one."
        values["mask"] = str(mask)
    return values
