"""The engine's command line, also the reference for what an editor does: one selection in, one layer out."""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import devices
from engine.canvas import extend
from engine.commands import bench as bench_commands
from engine.commands import data, masks
from engine.commands import learn as learn_command
from engine.commands import models as model_commands
from engine.commands import train as train_command
from engine.errors import BadInput, EngineError
from engine.run import states
from engine.sampling import DEFAULT_PRESET, PRESETS, schedule
from engine.version import __version__

if TYPE_CHECKING:
    from engine.api import Job, Learning, Model, Step
    from engine.files import imagefile
    from engine.run import Event

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
    except BrokenPipeError:  # who reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
    masks.add_arguments(inpaint)
    inpaint.add_argument("--padding", type=int, metavar="PX", help="surroundings the model sees (default: chosen)")
    inpaint.add_argument("--scale", type=float, metavar="F", help="model pixels per picture pixel (default: chosen)")
    inpaint.add_argument("--hard", action="store_true", help="ignore the mask's soft edge")
    inpaint.add_argument("--save-state", type=Path, metavar="FILE", help="keep a state of variant 1 to branch from")
    inpaint.add_argument("--save-at", type=int, default=50, metavar="PERCENT", help="of the run (default 50)")
    inpaint.add_argument("--plot-schedule", type=Path, metavar="FILE", help="draw the schedule")
    _add_sampling_arguments(inpaint)
    _add_run_arguments(inpaint)
    inpaint.set_defaults(run=_inpaint)

    extension = commands.add_parser("extend", help="continue a texture past its borders")
    extension.add_argument("image", type=Path, metavar="IN")
    for side in ("left", "right", "top", "bottom"):
        extension.add_argument(f"--{side}", type=int, default=0, metavar="PX", help="up to 4 times the picture")
    _add_sampling_arguments(extension)
    _add_run_arguments(extension)
    extension.set_defaults(run=_extend)

    tile = commands.add_parser("tile", help="make a texture repeat without a seam")
    tile.add_argument("image", type=Path, metavar="IN")
    tile.add_argument("--axis", choices=("both", "x", "y"), default="both", help="along which it repeats")
    tile.add_argument("--size", metavar="WxH", help="of the tile, in pixels; smaller or larger than the picture")
    tile.add_argument("--band", type=int, default=extend.TILE_BAND, metavar="PX", help="repainted across each seam")
    _add_sampling_arguments(tile)
    _add_run_arguments(tile)
    tile.set_defaults(run=_tile)

    branch = commands.add_parser("branch", help="go on from a saved state, or branch from it")
    branch.add_argument("state", type=Path, metavar="STATE")
    branch.add_argument("--jump", metavar="small|medium|large|N", help="go back up by this many levels, and down again")
    branch.add_argument("--times", type=int, default=1, metavar="R", help="how many times")
    branch.add_argument("--late", action="store_true", help="jump at the clean end only")
    branch.add_argument("--harmonise", action="store_true", help="three small late jumps: the same, better blended")
    branch.add_argument("--new-idea", action="store_true", help="one large jump now: something else")
    _add_run_arguments(branch)
    branch.set_defaults(run=_branch)

    learn = commands.add_parser("learn", help="write a texture model that knows this picture")
    learn_command.add_arguments(learn)
    learn.set_defaults(run=learn_command.main)
    model_commands.add_commands(commands)

    corpus = commands.add_parser("data", help="gather the training pictures (resumable)")
    data.add_arguments(corpus)
    corpus.set_defaults(run=data.main)
    train = commands.add_parser("train", help="train the texture model (resumable)")
    train_command.add_arguments(train)
    train.set_defaults(run=train_command.main)
    bench_commands.add_commands(commands)

    return parser


def _add_sampling_arguments(command: argparse.ArgumentParser) -> None:
    """What defines a new run, see :func:`_job`."""
    command.add_argument(
        "--model",
        help="id from 'models list', or a folder in diffusers layout (default: exemplar; with --learn: texture)",
    )
    command.add_argument("--preset", choices=sorted(PRESETS), default=DEFAULT_PRESET)
    command.add_argument("--steps", type=int, metavar="N", help="respaced timesteps T, 2 … 1000")
    command.add_argument("--jump-length", type=int, metavar="L")
    command.add_argument("--jump-samples", type=int, metavar="R")
    command.add_argument("--schedule", default="uniform", metavar="|".join(schedule.NAMED) + "|FILE.json")
    command.add_argument("--start-resampling", type=int, metavar="N", help="jump only below this level")
    command.add_argument("--label", metavar="NAME|N", help="class of a class-conditional model")
    command.add_argument("--classifier-scale", type=float, default=1.0, metavar="S", help="classifier guidance")
    command.add_argument("--prompt", default="", metavar="TEXT", help="what is to be seen, for models that read")
    command.add_argument("--negative", default="", metavar="TEXT", help="what is not to be seen")
    command.add_argument("--guidance", type=float, metavar="G", help="how strongly the prompt acts, 0 … 30; 1: plainly")
    command.add_argument(
        "--guidance-interval", type=float, nargs=2, default=(0.0, 1.0), metavar=("FROM", "TO"),
        help="part of the way within which guidance acts, 0 (noise) … 1 (picture)",
    )  # fmt: skip
    command.add_argument(
        "--pag-scale", type=float, default=0.0, metavar="P",
        help="perturbed-attention guidance, 0 … 30, for models that read; a third evaluation a call (default: none)",
    )  # fmt: skip
    command.add_argument("--learn", type=float, metavar="SECONDS", help="learn the known pixels first, 5 … 600")


def _add_run_arguments(command: argparse.ArgumentParser) -> None:
    """What inpaint and branch have in common."""
    command.add_argument("-o", "--out", type=Path, required=True, help="K > 1 writes OUT-1.png, OUT-2.png …")
    command.add_argument("--seed", type=int, metavar="S", help="0 … 2^53 - 1; drawn and reported if absent")
    command.add_argument("--variants", type=int, default=1, metavar="K")
    command.add_argument("--device", choices=devices.KINDS)
    command.add_argument(
        "--vae", metavar="DIR|ID", help="another autoencoder for a latent model, also an asymmetric one"
    )
    command.add_argument("--previews", type=Path, metavar="DIR", help="also write ten previews of each variant")
    command.add_argument("--json", action="store_true", help="print one line of JSON at the end")


def _model_id(arguments: argparse.Namespace) -> str:
    """The model asked for; without one the default, or where the picture is to be learned, the one that can."""
    from engine.models import DEFAULT_MODEL

    return arguments.model or (DEFAULT_MODEL if arguments.learn is None else "texture")


def _inpaint(arguments: argparse.Namespace) -> None:
    from engine import api, canvas
    from engine.files import imagefile
    from engine.sampling import plot

    names = _output_names(arguments.out, arguments.variants)
    canvas.check_sizes(imagefile.size(arguments.image), imagefile.size(arguments.mask))
    picture = imagefile.read(arguments.image)
    selection = masks.read(arguments)
    image = picture.rgba8()
    canvas.check(image, selection)
    if not 0 < arguments.save_at < 100:
        raise BadInput("bad_argument", f"--save-at must be 1 to 99 percent, not {arguments.save_at}.")
    model = api.load_model(_model_id(arguments), arguments.device, arguments.vae)
    chosen = {"padding": arguments.padding, "scale": arguments.scale, "hard": arguments.hard}
    job = _job(arguments, image, selection, model, **chosen)
    levels, settings = api.resolve(job)
    if arguments.plot_schedule:
        drawing = plot.plot(levels, settings.calls(levels), arguments.preset)
        imagefile.write(arguments.plot_schedule, imagefile.Picture(np.asarray(drawing)))
    run = _Run(arguments, picture, image, names)
    for event in api.run(job, model):
        if arguments.save_state and isinstance(event, api.Step):
            save_call = max(1, event.calls * arguments.save_at // 100)
            if (event.variant, event.call) == (0, save_call):
                states.save(event.keep(), arguments.save_state, _extra(picture), picture.pixels)
        run.take(event)
    run.report(model)


def _extend(arguments: argparse.Namespace) -> None:
    from engine.files import imagefile

    picture = imagefile.read(arguments.image)
    sides = {side: getattr(arguments, side) for side in ("left", "right", "top", "bottom")}
    _fill_frame(arguments, picture, extend.extended(picture.pixels, **sides))


def _tile(arguments: argparse.Namespace) -> None:
    from engine.files import imagefile

    picture = imagefile.read(arguments.image)
    framed = extend.tile(picture.pixels, arguments.axis, _size(arguments.size), arguments.band)
    _fill_frame(arguments, picture, framed, wrap=arguments.axis)


def _fill_frame(arguments: argparse.Namespace, picture: imagefile.Picture, framed: extend.Framed, **more: Any) -> None:
    from engine import api
    from engine.files import imagefile

    names = _output_names(arguments.out, arguments.variants)
    model = api.load_model(_model_id(arguments), arguments.device, arguments.vae)
    frame = imagefile.Picture(framed.pixels, picture.icc_profile, picture.dpi)
    image = framed.rgba(frame.rgba8())
    run = _Run(arguments, frame, image, names)
    for event in api.run(_job(arguments, image, framed.selection, model, **more), model):
        run.take(event)
    run.report(model)


def _size(text: str | None) -> tuple[int, int] | None:
    """WxH as (width, height)."""
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise BadInput("bad_size", f"The size must look like 512x512, not {text!r}.")
    return int(width), int(height)


def _job(arguments: argparse.Namespace, image: np.ndarray, selection: np.ndarray, model: Model, **more: Any) -> Job:
    from engine import api

    return api.Job(
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
        label=arguments.label,
        classifier_scale=arguments.classifier_scale,
        prompt=arguments.prompt,
        negative=arguments.negative,
        guidance=arguments.guidance,
        guidance_start=arguments.guidance_interval[0],
        guidance_stop=arguments.guidance_interval[1],
        pag_scale=arguments.pag_scale,
        learn=arguments.learn,
        **more,
    )


def _branch(arguments: argparse.Namespace) -> None:
    from engine import api
    from engine.files import imagefile

    if arguments.harmonise + arguments.new_idea + (arguments.jump is not None) > 1:
        raise BadInput("bad_argument", "Choose one of --jump, --harmonise and --new-idea.")
    names = _output_names(arguments.out, arguments.variants)
    kept, extra, original = states.load(arguments.state)
    jump: int | str | None = arguments.jump
    times, late = arguments.times, arguments.late
    if arguments.harmonise:
        jump, times, late = "small", 3, True
    elif arguments.new_idea:
        jump = "large"
    elif arguments.jump is not None and arguments.jump.lstrip("-").isdecimal():
        jump = int(arguments.jump)
    pixels = kept.job.image if original is None else original
    picture = imagefile.Picture(pixels, *_from_extra(extra))
    model = api.load_model(kept.job.model, arguments.device, arguments.vae)
    run = _Run(arguments, picture, kept.job.image, names)
    for event in api.resume(kept, model, arguments.seed, arguments.variants, jump, times, late):
        run.take(event)
    run.report(model)


def _extra(picture: imagefile.Picture) -> dict[str, Any]:
    """What a state file keeps of a picture file, beside its pixels."""
    icc = base64.b64encode(picture.icc_profile).decode() if picture.icc_profile else None
    return {"icc": icc, "dpi": picture.dpi}


def _from_extra(extra: dict[str, Any]) -> tuple[bytes | None, tuple[float, float] | None]:
    """Colour profile and resolution again; what is damaged of them counts as absent."""
    icc, dpi = extra.get("icc"), extra.get("dpi")
    try:
        profile = base64.b64decode(icc, validate=True) if icc else None
        wide, high = dpi or (0, 0)
        return profile, (float(wide), float(high)) if 0 < wide < 1e6 and 0 < high < 1e6 else None
    except (TypeError, ValueError):
        return None, None


class _Run:
    """Takes the events of a run: shows progress, writes pictures, reports."""

    def __init__(
        self, arguments: argparse.Namespace, picture: imagefile.Picture, image: np.ndarray, names: list[Path]
    ) -> None:
        self._arguments, self._picture, self._image, self._names = arguments, picture, image, names
        self._began = time.monotonic()
        self._made = 0
        self._calls = 0
        self._learned: Learning | None = None
        self._variants: list[dict[str, Any]] = []

    def take(self, event: Learning | Event) -> None:
        from engine import canvas
        from engine.api import Finished, Learning, Note, Pause
        from engine.files import imagefile

        if isinstance(event, Pause):
            return
        if isinstance(event, Note):
            print(f"note: {event.sentence}", file=sys.stderr)
            return
        if isinstance(event, Learning):
            learn_command.show(event)
            self._learned = event
            return
        if isinstance(event, Finished):
            out = canvas.composite(self._picture.pixels, event.selection, event.fill, event.region)
            name = self._names[event.variant]
            imagefile.write(name, imagefile.Picture(out, self._picture.icc_profile, self._picture.dpi))
            self._variants.append({"file": str(name), "seed": event.seed})
            return
        self._made += 1
        variants = self._arguments.variants
        self._calls = -(-self._made // variants)
        _progress(self._made, (event.calls - event.call + self._calls) * variants, event.seconds)
        if self._arguments.previews and event.call % max(1, event.calls // 10) == 0:
            _write_preview(self._arguments.previews, self._image, event)

    def report(self, model: Model) -> None:
        seconds = time.monotonic() - self._began
        if self._arguments.json:
            report = {
                "calls": self._calls,
                "seconds": round(seconds, 3),
                "seconds_per_call": round(seconds / self._made, 5),
                "device": str(model.device),
                "seed": self._variants[0]["seed"],
                "model": model.info.id,
                "peak_memory_mib": _peak_memory_mib(),
                "variants": self._variants,
            }
            if self._learned is not None:
                report |= {"learning_steps": self._learned.step, "learning_seconds": round(self._learned.seconds, 3)}
            print(json.dumps(report))
            return
        for variant in self._variants:
            print(f"{variant['file']}  seed {variant['seed']}")
        print(f"{self._calls} network calls each, {seconds:.1f} s on {model.device}")


def _write_preview(folder: Path, image: np.ndarray, step: Step) -> None:
    from engine import canvas
    from engine.files import imagefile

    folder.mkdir(parents=True, exist_ok=True)
    name = folder / f"variant-{step.variant + 1}-call-{step.call:04d}.png"
    imagefile.write(name, imagefile.Picture(canvas.over(image, step.preview())))


def _output_names(out: Path, variants: int) -> list[Path]:
    """One name per variant, checked before anything is computed."""
    from engine.files import imagefile

    names = [out] if variants <= 1 else [out.with_name(f"{out.stem}-{k}{out.suffix}") for k in range(1, variants + 1)]
    for name in names:
        imagefile.check_output(name)
    return names


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
