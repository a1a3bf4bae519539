"""``python -m engine bench [jury|texture|photo|latent|batch]``: the clocks, the jury, the judgements on pictures.

Heavy imports wait until a command runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine import devices
from engine.errors import BadInput


def add_commands(commands: Any) -> None:
    """Add ``bench`` to the engine's subparsers."""
    bench = commands.add_parser(
        "bench", help="measure speed; 'bench jury', 'bench texture' and 'bench photo' measure pictures"
    )
    bench.set_defaults(run=_speed)
    bench.add_argument("--model", default="texture", help="id from 'models list', or a folder in diffusers layout")
    bench.add_argument("--size", type=int, default=128, metavar="PX", help="side of the timed picture (default 128)")
    bench.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each row is timed, in turns")
    bench.add_argument("--device", choices=devices.KINDS)
    bench.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    kinds = bench.add_subparsers(metavar="[jury|texture|photo|latent|batch]")

    jury = kinds.add_parser("jury", help="repaint the bundled cases by every method and measure the pictures")
    jury.add_argument(
        "--presets", default="fast,quality", help="names, T/L/n/κ/variance|η, corrector/levels/steps/λ/dt"
    )
    jury.add_argument("--rivals", default=None, metavar="NAMES", help="default: all that are here; 'none' for none")
    jury.add_argument("--seeds", type=int, default=3, metavar="N")
    jury.add_argument("--cases", default=None, metavar="NAMES", help="case names or kinds")
    jury.add_argument("--tuning", type=int, default=0, metavar="N", help="instead N procedural cases, to tune on")
    jury.add_argument("--model", default="exemplar,texture", metavar="IDS", help="whose presets (default: %(default)s)")
    jury.add_argument("--device", choices=devices.KINDS)
    jury.add_argument(
        "--out", type=Path, default=Path("jury"), metavar="DIR", help="results; continues a run that is there"
    )
    jury.add_argument("--limit", type=float, default=None, metavar="SECONDS", help="start no new picture after this")
    jury.add_argument("--no-perceptual", action="store_true", help="leave ST-LPIPS out")
    jury.add_argument("--beside", type=Path, metavar="JURY.json", help="show the rows of an earlier release too")
    jury.set_defaults(run=_jury)

    texture = kinds.add_parser("texture", help="fill, extend and tile twelve textures, beside the rivals")
    texture.add_argument("--preset", default="fast", help="of our runs")
    texture.add_argument(
        "--learn", default="", metavar="SECONDS", help="also with the known pixels learned first, e.g. 60,180"
    )
    texture.add_argument("--rivals", default=None, metavar="NAMES", help="default: all that are here; 'none' for none")
    texture.add_argument("--seeds", type=int, default=3, metavar="N")
    texture.add_argument("--pictures", default=None, metavar="NAMES", help="only these")
    texture.add_argument("--model", default="exemplar,texture", metavar="IDS", help="default: %(default)s")
    texture.add_argument("--device", choices=devices.KINDS)
    texture.add_argument(
        "--out", type=Path, default=Path("texture"), metavar="DIR", help="continues a run that is there"
    )
    texture.add_argument("--limit", type=float, default=None, metavar="SECONDS", help="start no new picture after this")
    texture.add_argument("--budget", action="store_true", help="measure the time and memory budgets too")
    texture.set_defaults(run=_texture)

    photo = kinds.add_parser(
        "photo", help="photographs and textures of real size, beside the rivals (fetches pictures)"
    )
    photo.add_argument("--set", choices=("tuning", "judgement", "both"), default="tuning", help="default: %(default)s")
    photo.add_argument("--cases", default=None, metavar="NAMES", help="only these cases, tasks, pictures or kinds")
    photo.add_argument(
        "--drawn", type=int, default=None, metavar="N", help="instead N holes drawn at random on the photographs"
    )
    photo.add_argument(
        "--textures", type=Path, default=None, metavar="DIR", help="instead go on with each picture of a folder to 2 ×"
    )
    photo.add_argument(
        "--wide", action="store_true", help="instead 256 pixels of each texture: a hole, and on the right"
    )
    photo.add_argument(
        "--learn", default="", metavar="SECONDS", help="networks also with the known pixels learned first, e.g. 60"
    )
    photo.add_argument("--model", default="exemplar", metavar="IDS", help="default: %(default)s; 'none' for none")
    photo.add_argument("--preset", default="fast", metavar="NAMES", help="of our runs (default: %(default)s)")
    photo.add_argument("--rivals", default=None, metavar="NAMES", help="default: the four that fit; 'none' for none")
    photo.add_argument("--seeds", type=int, default=1, metavar="N", help="default: %(default)s")
    photo.add_argument("--device", choices=devices.KINDS)
    photo.add_argument("--out", type=Path, default=Path("photo"), metavar="DIR", help="continues a run that is there")
    photo.add_argument("--pictures", type=Path, default=None, metavar="DIR", help="cache of the pictures")
    photo.add_argument("--limit", type=float, default=None, metavar="SECONDS", help="start no new picture after this")
    photo.add_argument("--again", action="store_true", help="make ours anew even where they fit")
    photo.add_argument("--no-perceptual", action="store_true", help="leave ST-LPIPS out")
    photo.set_defaults(run=_photo)

    latent = kinds.add_parser("latent", help="time latent models of real size with random weights, beside diffusers")
    latent.add_argument("--sizes", default="sd15,sdxl", metavar="NAMES", help="of sd15, sdxl (default: both)")
    latent.add_argument(
        "--sides", default=None, metavar="PX", help="of the pictures (CPU: the model's; CUDA: 512,1024)"
    )
    latent.add_argument("--calls", type=int, default=3, metavar="N", help="network calls that are timed (default 3)")
    latent.add_argument("--device", choices=devices.KINDS)
    latent.add_argument(
        "--out", type=Path, metavar="FILE.json", help="rows as they come; continues a run that is there"
    )
    latent.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    latent.set_defaults(run=_latent)

    many = kinds.add_parser("batch", help="what a batch costs beyond its jobs, what workers bring, many tiny jobs")
    many.add_argument("--jobs", type=int, default=16, metavar="N", help="of about 2 s, for each row (default 16)")
    many.add_argument("--tiny", type=int, default=10_000, metavar="N", help="jobs of the test model (default 10000)")
    many.add_argument("--workers", type=int, default=2, metavar="N", help="of the rows with several (default 2)")
    many.add_argument("--out", type=Path, default=Path("batch"), metavar="DIR", help="a new folder")
    many.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    many.set_defaults(run=_batch)


def _jury(arguments: argparse.Namespace) -> None:
    from engine import api
    from engine.bench import cases, cost, judge, methods, perceptual, report

    _check_seeds(arguments)
    chosen = cases.tuning(arguments.tuning) if arguments.tuning else cases.jury(_chosen(arguments.cases))
    earlier = json.loads(arguments.beside.read_text(encoding="utf-8"))["rows"] if arguments.beside else []
    models = [api.load_model(name, arguments.device) for name in _names(arguments.model)]
    specs = [] if arguments.presets == "none" else _names(arguments.presets)
    others = [] if arguments.rivals == "none" else methods.rivals(_chosen(arguments.rivals))
    everyone = [methods.truth(), *(methods.ours(spec, model) for model in models for spec in specs), *others]
    jury = judge.Jury(arguments.out, chosen, everyone, arguments.seeds, models[0].device)
    missing = jury.paint(arguments.limit)
    with_perceptual = not arguments.no_perceptual and _has_perceptual()
    results = jury.judge(with_perceptual)
    diversity = jury.diversity(results, perceptual.StLpips("alex")) if with_perceptual else {}
    facts = {
        "model": ", ".join(model.info.id for model in models),
        "fingerprint": ", ".join(methods.fingerprint(model) for model in models),
        "device": cost.device_name(models[0].device),
        "missing": missing,
    }
    paths = report.write(arguments.out, results, diversity, facts)
    rows = report.rows(results, diversity)
    print(report.table(rows + [{**row, "title": f"earlier: {row['title']}"} for row in earlier]))
    _tell(missing, paths)


def _texture(arguments: argparse.Namespace) -> None:
    from engine import api
    from engine.bench import cost, judge, methods, texture, texture_report

    _check_seeds(arguments)
    chosen = texture.cases(_chosen(arguments.pictures))
    models = [api.load_model(name, arguments.device) for name in _names(arguments.model)]
    own = [methods.ours(arguments.preset, model) for model in models]
    own += [
        methods.ours(arguments.preset, model, seconds)
        for model in models
        if model.exemplar is None
        for seconds in _seconds(arguments.learn)
    ]
    others = [] if arguments.rivals == "none" else methods.rivals(_chosen(arguments.rivals))
    everyone = [methods.truth(), *own, *others]
    jury = judge.Jury(arguments.out, chosen, everyone, arguments.seeds, models[0].device)
    missing = jury.paint(arguments.limit)
    results = texture.with_meaning(jury.judge(_has_perceptual()))
    measured = texture.budgets(models[0]) if arguments.budget else []
    facts = {
        "model": ", ".join(model.info.id for model in models),
        "fingerprint": ", ".join(methods.fingerprint(model) for model in models),
        "device": cost.device_name(models[0].device),
        "seeds": arguments.seeds,
        "missing": missing,
    }
    summary, paths = texture_report.write(arguments.out, results, measured, facts)
    print(summary)
    _tell(missing, paths)


def _photo(arguments: argparse.Namespace) -> None:
    import torch

    from engine import api
    from engine.bench import cost, methods, perceptual, photo, photo_report, photo_run

    _check_seeds(arguments)
    if arguments.textures is not None:
        cases = photo.textures(arguments.textures)
    else:
        chosen = photo.entries(arguments.set, _chosen(arguments.cases))
        if arguments.drawn is not None:
            chosen = photo.drawn(chosen, arguments.drawn)
        cases = photo.Pictures(arguments.pictures).cases(chosen)
        cases = photo.wide(cases) if arguments.wide else cases
    if not cases:
        raise BadInput("no_pictures", "None of the pictures can be had here; see the lines above for why.")
    names = [] if arguments.model == "none" else _names(arguments.model)
    models = [api.load_model(name, arguments.device) for name in names]
    orders: dict[str, photo_run.Order] = {}
    own = []
    for model in models:
        for preset in _names(arguments.preset):
            for learn in [None, *(_seconds(arguments.learn) if model.exemplar is None else [])]:
                own.append(methods.ours(preset, model, learn))
                orders[own[-1].name] = photo_run.Order(
                    model=model.info.id, preset=preset, device=str(model.device), learn=learn
                )
    others = photo_run.rivals(_chosen(arguments.rivals))
    orders |= {method.name: photo_run.Order(rival=method.name) for method in others}
    everyone = [*([] if arguments.textures else [methods.truth()]), *own, *others]
    device = models[0].device if models else torch.device("cpu")
    run = photo_run.PhotoRun(arguments.out, cases, everyone, arguments.seeds, device, orders)
    missing = run.paint(arguments.limit, arguments.again)
    with_perceptual = not arguments.no_perceptual and _has_perceptual()
    results = run.judge(with_perceptual)
    diversity = run.diversity(results, perceptual.StLpips("alex")) if with_perceptual and arguments.seeds > 1 else {}
    facts = {
        "model": ", ".join(names) or "none",
        "fingerprint": ", ".join(methods.fingerprint(model) for model in models) or "–",
        "preset": arguments.preset,
        "device": cost.device_name(device),
        "set": str(arguments.textures or arguments.set),
        "seeds": arguments.seeds,
        "missing": missing,
    }
    paths = photo_report.write(arguments.out, results, diversity, facts)
    print(photo_report.markdown(results, diversity, facts))
    _tell(missing, paths)


def _latent(arguments: argparse.Namespace) -> None:
    from engine.bench import latent

    sides = [int(side) if side.isdecimal() else 0 for side in _names(arguments.sides or "")]
    result = latent.measure(_names(arguments.sizes), arguments.calls, arguments.device, sides or None, arguments.out)
    print(latent.table(result))
    if arguments.json:
        print(json.dumps(result))


def _batch(arguments: argparse.Namespace) -> None:
    from engine.bench import batch

    if arguments.out.exists():
        raise BadInput("folder_exists", f"{arguments.out} is there already; choose another name or remove it.")
    if arguments.workers < 2 or arguments.tiny < 0 or 0 < arguments.jobs <= 3 * arguments.workers + 1:
        raise BadInput("bad_number", "There must be 2 workers or more, and more than three jobs for each, or none.")
    result = batch.measure(arguments.out, arguments.jobs, arguments.tiny, arguments.workers)
    print(batch.table(result))
    if arguments.json:
        print(json.dumps(result))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _chosen(text: str | None) -> list[str] | None:
    """The names given, None for all."""
    return _names(text) if text else None


def _check_seeds(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.seeds <= 100:
        raise BadInput("bad_seeds", f"The number of seeds must be 1 to 100, not {arguments.seeds}.")


def _seconds(text: str) -> list[float]:
    try:
        return [float(each) for each in _names(text)]
    except ValueError:
        raise BadInput("bad_learn", f"--learn takes seconds, e.g. 60,180, not {text!r}.") from None


def _has_perceptual() -> bool:
    """Whether ST-LPIPS can be measured; says so where it cannot."""
    from engine.bench import perceptual

    if not perceptual.available():
        print(f"{perceptual.PACKAGE} is not installed: ST-LPIPS is left out.")
    return perceptual.available()


def _tell(missing: int, paths: Iterable[Path]) -> None:
    if missing:
        print(f"{missing} pictures are still missing; run the same command again to go on.")
    print("written: " + ", ".join(str(path) for path in paths))


def _speed(arguments: argparse.Namespace) -> None:
    from engine.bench import speed

    result = speed.measure(arguments.model, arguments.size, arguments.rounds, arguments.device)
    print(speed.table(result))
    if arguments.json:
        print(json.dumps(result))
