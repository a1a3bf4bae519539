"""The engine's command line, also the reference for what an editor does: one selection in, one layer out."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import schedule
from engine.errors import BadInput, EngineError
from engine.presets import DEFAULT_PRESET, PRESETS
from engine.version import __version__

log = logging.getLogger(__name__)

OK, BAD_INPUT, FAILURE = 0, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one sentence on stderr."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(message)s")
    try:
        arguments.run(arguments)
    except BadInput as error:
        return _say(error, BAD_INPUT)
    except EngineError as error:
        return _say(error, FAILURE)
    except KeyboardInterrupt:
        print("Cancelled; nothing was written.", file=sys.stderr)
        return 130
    except Exception as error:
        log.debug("unexpected failure", exc_info=True)
        sentence = "Something went wrong inside the engine; run again with --verbose and report what it prints."
        return _say(EngineError("internal", sentence, repr(error)), FAILURE)
    return OK


def _say(error: EngineError, code: int) -> int:
    print(f"error: {error.sentence}", file=sys.stderr)
    if error.details:
        log.info("details: %s", error.details)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="RePaint inpainting: files in, files out.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--verbose", action="store_true", help="print details of failures")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inpaint = commands.add_parser("inpaint", help="repaint the white part of a mask")
    inpaint.add_argument("image", type=Path, metavar="IN")
    inpaint.add_argument("-m", "--mask", type=Path, required=True, help="white = repaint, gray = soft edge")
    inpaint.add_argument("-o", "--out", type=Path, required=True, help="K > 1 writes OUT-1.png, OUT-2.png …")
    inpaint.add_argument("--model", default="texture", help="id from 'models list', or a folder in diffusers layout")
    inpaint.add_argument("--preset", choices=sorted(PRESETS), default=DEFAULT_PRESET)
    inpaint.add_argument("--steps", type=int, metavar="N", help="respaced timesteps T, 2 … 1000")
    inpaint.add_argument("--jump-length", type=int, metavar="L")
    inpaint.add_argument("--jump-samples", type=int, metavar="R")
    inpaint.add_argument("--schedule", default="uniform", metavar="|".join(schedule.NAMED) + "|FILE.json")
    inpaint.add_argument("--start-resampling", type=int, metavar="N", help="jump only below this level")
    inpaint.add_argument("--seed", type=int, metavar="S", help="0 … 2^53 - 1; drawn and reported if absent")
    inpaint.add_argument("--variants", type=int, default=1, metavar="K")
    inpaint.add_argument("--hard", action="store_true", help="ignore the mask's soft edge")
    inpaint.add_argument("--device", choices=("cpu", "cuda"))
    inpaint.add_argument("--previews", type=Path, metavar="DIR", help="also write ten previews of each variant")
    inpaint.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    inpaint.set_defaults(run=_inpaint)

    models = commands.add_parser("models", help="what models are here").add_subparsers(required=True, metavar="ACTION")
    listing = models.add_parser("list", help="list the models")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_models_list)

    return parser


def _inpaint(arguments: argparse.Namespace) -> None:
    from engine import api, canvas, imagefile

    names = _output_names(arguments.out, arguments.variants)
    for name in names:
        imagefile.check_output(name)
    picture = imagefile.read(arguments.image)
    selection = imagefile.read_selection(arguments.mask)
    image = picture.rgba8()
    canvas.check(image, selection)
    model = api.load_model(arguments.model, arguments.device)
    job = api.Job(
        image=image,
        selection=selection,
        model=model.info.id,
        preset=arguments.preset,
        seed=arguments.seed,
        variants=arguments.variants,
        steps=arguments.steps,
        jump_length=arguments.jump_length,
        jump_samples=arguments.jump_samples,
        start_resampling=arguments.start_resampling,
        schedule=_schedule(arguments.schedule),
        hard=arguments.hard,
    )
    began = time.monotonic()
    calls, variants = 0, []
    for event in api.run(job, model):
        if isinstance(event, api.Finished):
            out = canvas.composite(picture.pixels, event.selection, event.fill, event.plan.region)
            imagefile.write(names[event.variant], imagefile.Picture(out, picture.icc_profile, picture.dpi))
            variants.append({"file": str(names[event.variant]), "seed": event.seed})
            continue
        calls = event.calls
        done = (event.call - 1) * arguments.variants + event.variant + 1
        _progress(done, calls * arguments.variants, event.seconds)
        if arguments.previews and event.call % max(1, calls // 10) == 0:
            _write_preview(arguments.previews, image, event)
    seconds = time.monotonic() - began
    report: dict[str, Any] = {
        "calls": calls,
        "seconds": round(seconds, 3),
        "seconds_per_call": round(seconds / (calls * arguments.variants), 5),
        "device": str(model.device),
        "seed": variants[0]["seed"],
        "model": model.info.id,
        "peak_memory_mib": _peak_memory_mib(),
        "variants": variants,
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        for variant in variants:
            print(f"{variant['file']}  seed {variant['seed']}")
        print(f"{calls} network calls each, {seconds:.1f} s on {model.device}")


def _write_preview(folder: Path, image: Any, step: Any) -> None:
    from engine import canvas, imagefile

    folder.mkdir(parents=True, exist_ok=True)
    name = folder / f"variant-{step.variant + 1}-call-{step.call:04d}.png"
    imagefile.write(name, imagefile.Picture(canvas.over(image, step.preview())))


def _models_list(arguments: argparse.Namespace) -> None:
    from engine.models import catalogue

    entries = catalogue()
    if arguments.json:
        keys = ("id", "title", "family", "licence", "installed")
        print(json.dumps([{key: getattr(entry, key) for key in keys} for entry in entries]))
        return
    for entry in entries:
        state = "installed" if entry.installed else "incomplete"
        print(f"{entry.id:24} {entry.title:28} {entry.family:18} {entry.licence:20} {state}")


def _output_names(out: Path, variants: int) -> list[Path]:
    if variants <= 1:
        return [out]
    return [out.with_name(f"{out.stem}-{k}{out.suffix}") for k in range(1, variants + 1)]


def _schedule(text: str) -> str | tuple[int, ...]:
    return schedule.from_file(Path(text)).levels if text.endswith(".json") else text


def _progress(done: int, total: int, seconds: float) -> None:
    if sys.stderr.isatty():
        left = seconds / done * (total - done)
        end = "\n" if done == total else ""
        print(f"\r{done}/{total} network calls, {left:4.0f} s left ", end=end, file=sys.stderr, flush=True)


def _peak_memory_mib() -> int | None:
    """Peak resident memory of this process; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 2**10
