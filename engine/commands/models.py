"""``python -m engine models list | get | convert | verify | remove``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from engine.errors import BadInput, EngineError


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang ``models`` and its actions under the engine's command line. Heavy imports happen when one runs."""
    parser = commands.add_parser("models", help="list, download and convert models")
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="list the models")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_list)

    get = actions.add_parser("get", help="download a model of the catalogue; continues where it was interrupted")
    get.add_argument("id", metavar="ID", help="from 'models list'")
    get.add_argument("--classifier", action="store_true", help="also the classifier for classifier guidance")
    get.add_argument("--watched", action="store_true", help="for programs: JSON lines; stops when standard input ends")
    get.set_defaults(run=_get)

    convert = actions.add_parser("convert", help="convert a checkpoint file into a model folder, offline")
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument(
        "--as", dest="kind", metavar="KIND", help="of a guided-diffusion or RePaint checkpoint: adm-256, lsun-256 …"
    )
    convert.add_argument(
        "--like", metavar="MODEL", help="of a Stable Diffusion file: an installed latent model of the same kind"
    )
    convert.add_argument("-o", "--out", metavar="NAME", help="name of the new model; of the old one for a classifier")
    convert.add_argument(
        "--attention", choices=("legacy", "new"), help="row order, if it differs from that of its kind"
    )
    convert.set_defaults(run=_convert)

    lora = actions.add_parser("lora", help="add a LoRA file, as a model of its own that changes a latent model")
    lora.add_argument("file", type=Path, metavar="FILE.safetensors")
    lora.add_argument("--of", required=True, metavar="MODEL", help="the installed latent model that it changes")
    lora.add_argument("--weight", type=float, default=1.0, metavar="W", help="how strongly")
    lora.add_argument("-o", "--out", metavar="NAME", help="name of the new model; the file's name if absent")
    lora.set_defaults(run=_lora)

    verify = actions.add_parser("verify", help="check a model's files, load it and run it once")
    verify.add_argument("id", metavar="ID")
    verify.set_defaults(run=_verify)

    remove = actions.add_parser("remove", help="delete an installed model and its downloads")
    remove.add_argument("id", metavar="ID")
    remove.set_defaults(run=_remove)


def _list(arguments: argparse.Namespace) -> None:
    from engine.models import catalogue, entries

    for fault in entries.faults():
        print(fault, file=sys.stderr)
    infos = catalogue()
    if arguments.json:
        keys = ("id", "title", "family", "licence", "installed", "takes_label", "takes_prompt")
        print(json.dumps([{key: getattr(info, key) for key in keys} for info in infos]))
        return
    for info in infos:
        state = "installed" if info.installed else "not installed"
        print(f"{info.id:24} {info.title:34} {info.family:16} {info.licence:20} {state}")


def _get(arguments: argparse.Namespace) -> None:
    from engine.models import hub, models_dir, watched

    os.umask(0o077)
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # the hub's library would name the versions of others to it
    if arguments.watched:
        watched.run(
            lambda report: hub.get(
                arguments.id,
                models_dir(),
                _load_strictly,
                report,
                classifier=arguments.classifier,
                expect=report.expect,
            )
        )
        return
    target = hub.get(arguments.id, models_dir(), _load_strictly, Meter(), print, arguments.classifier)
    print(f"installed: {target.name}")


def _convert(arguments: argparse.Namespace) -> None:
    from engine.models import convert, models_dir, single_file

    os.umask(0o077)
    if (arguments.kind is None) == (arguments.like is None):
        raise BadInput("bad_kind", "Say what the file is: --as KIND, or --like MODEL for a Stable Diffusion file.")
    if arguments.like is not None:
        target = single_file.convert(arguments.file, arguments.like, arguments.out, models_dir())
        print(f"converted: {target}")
        return
    target = convert.convert(arguments.file, arguments.kind, arguments.out, models_dir(), arguments.attention, print)
    print(f"converted: {target}")


def _lora(arguments: argparse.Namespace) -> None:
    from engine.models import lora, models_dir

    os.umask(0o077)
    target = lora.add(arguments.file, arguments.of, arguments.weight, arguments.out, models_dir())
    print(f"installed: {target}")


def _verify(arguments: argparse.Namespace) -> None:
    for line in verify(arguments.id):
        print(line)


def verify(model_id: str) -> list[str]:
    """Check a model: its files against their record, a strict load, one network call.

    A folder of the user's own without a record is pinned now.

    Raises:
        BadInput: no such model here.
        EngineError: a file changed, the model does not load, or its output is not finite.
    """
    import torch

    from engine import api
    from engine.models import find, folders, load

    info = find(model_id)
    lines, unpinned = [], []
    for folder in (info.folder, info.classifier):
        if folder is None or not info.installed:
            continue
        compared = folders.check_files(folder)
        if compared:
            lines.append(f"{compared} files of {folder.name} are as they arrived")
        elif folder.parent == _models_dir():
            unpinned.append(folder)
    model = load(model_id, "cpu")
    outputs = [api.warm_up(model)]
    if model.classifier_gradient is not None:
        side = model.geometry.minimum
        x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        outputs.append(model.classifier_gradient(x, len(model.alpha_bar) // 2, 0))
    if not all(bool(torch.isfinite(output).all()) for output in outputs):
        raise EngineError(
            "model_output", f"The model {info.title} returns invalid numbers; remove and install it again."
        )
    lines.append(f"{info.title} loads and answers")
    for folder in unpinned:
        pinned = len(folders.record_origin(folder)["files"])
        lines.append(f"{folder.name} had no record; its {pinned} files are pinned from now on")
    return lines


def _remove(arguments: argparse.Namespace) -> None:
    print(f"removed: {remove(arguments.id)}")


def remove(model_id: str) -> str:
    """Delete an installed model and every part of it that was downloaded.

    Raises:
        BadInput: it is built in, or nothing of it is here.
        EngineError: the system refuses.
    """
    from engine.models import folders

    home = _models_dir()
    name = folders.valid_name(model_id)
    places = [place for place in (home / name, home / ".downloads" / name) if place.exists() or place.is_symlink()]
    if not places:
        raise BadInput("model_missing", f"There is no model {model_id!r} in {home}; only models there can be removed.")
    for place in places:
        try:
            if place.is_symlink():
                place.unlink()
            else:
                shutil.rmtree(place)
        except OSError as error:
            raise EngineError(
                "in_use",
                f"{name} cannot be removed while something uses it; close the editor and try again.",
                repr(error),
            ) from error
    return name


def _models_dir() -> Path:
    from engine.models import models_dir

    return models_dir()


def _load_strictly(folder: Path) -> None:
    import torch

    from engine.models import ModelInfo, folders, pipeline_folder, unet

    info = ModelInfo(folder.name, folder.name, "", "", folder)
    if folders.is_pipeline(folder):
        pipeline_folder.read(info, torch.float16)
    else:
        unet.load(info, torch.device("cpu"))


class Meter:
    """Download progress on stderr: a line that rewrites itself on a terminal, a line each tenth elsewhere."""

    def __init__(self) -> None:
        self._said = (-1, "")

    def __call__(self, name: str, done: int, total: int | None) -> None:
        size = f"{done / 1e6:.1f}" + (f"/{total / 1e6:.1f}" if total else "") + " MB"
        if sys.stderr.isatty():
            print(f"\r{name}  {size} ", end="\n" if done == total else "", file=sys.stderr, flush=True)
            return
        tenth = (10 * done // total if total else done // 10**8, name)
        if tenth != self._said:
            self._said = tenth
            print(f"{name}  {size}", file=sys.stderr, flush=True)
