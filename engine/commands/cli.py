"""The engine's command line, also the reference for what an editor does: one selection in, one layer out."""

from __future__ import annotations

import argparse
import base64
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.canvas import extend
from engine.commands import bench as bench_commands
from engine.commands import data, masks, results, source
from engine.commands import learn as learn_command
from engine.commands import models as model_commands
from engine.commands import train as train_command
from engine.errors import BadInput, EngineError
from engine.files import Picture
from engine.run import states
from engine.sampling import DEFAULT_PRESET, PRESETS, schedule
from engine.version import __version__

if TYPE_CHECKING:
    from engine.api import Job, Model

log = logging.getLogger(__name__)

OK, BAD_INPUT, FAILURE, CANCELLED = 0, 2, 3, 130
VERBOSE = "--verbose"
"""Accepted before the command, after it and among its options."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; every error is one sentence on stderr."""
    given = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args([each for each in given if each != VERBOSE])
    verbose = VERBOSE in given
    logging.basicConfig(level=logging.DEBUG if verbose else logging.WARNING, format="%(message)s")
    logging.getLogger("PIL").setLevel(logging.INFO)  # it tells of every chunk
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that cannot be shown is no failure
            stream.reconfigure(errors="backslashreplace")
    try:
        with source.streams(arguments) if hasattr(arguments, "variants") else nullcontext():
            arguments.run(arguments)
    except BadInput as error:
        return _say(error, BAD_INPUT)
    except EngineError as error:
        return _say(error, FAILURE)
    except KeyboardInterrupt:
        return _cancelled(arguments)
    except BrokenPipeError:  # who reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if _is_interrupt(error):
            return _cancelled(arguments)
        log.debug("unexpected failure", exc_info=True)
        sentence = "Something went wrong inside the engine; run again with --verbose and report what it prints."
        return _say(EngineError("internal", sentence, repr(error)), FAILURE)
    return OK


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether an exception comes from Ctrl+C: libraries make others of it while they are imported."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _cancelled(arguments: argparse.Namespace) -> int:
    print(
        f"Cancelled; {results.written(arguments)}." if hasattr(arguments, "variants") else "Cancelled.", file=sys.stderr
    )
    return CANCELLED


def _say(error: EngineError, code: int) -> int:
    print(f"error: {error.sentence}", file=sys.stderr)
    if error.details:
        log.info("details: %s", error.details)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engine", description="RePaint inpainting: files in, files out.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(VERBOSE, action="store_true", help="print details of failures; anywhere in the line")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    inpaint = commands.add_parser("inpaint", help="repaint the white part of a mask")
    source.add_arguments(inpaint)
    inpaint.add_argument("-m", "--mask", type=Path, required=True, help="white = repaint, gray = soft edge")
    masks.add_arguments(inpaint)
    inpaint.add_argument("--padding", type=int, metavar="PX", help="surroundings the model sees (default: chosen)")
    inpaint.add_argument("--scale", type=float, metavar="F", help="model pixels per picture pixel (default: chosen)")
    inpaint.add_argument("--hard", action="store_true", help="ignore the mask's soft edge")
    inpaint.add_argument("--save-state", type=Path, metavar="FILE", help="keep a state of variant 1 to branch from")
    inpaint.add_argument("--save-at", type=int, default=50, metavar="PERCENT", help="of the run (default 50)")
    inpaint.add_argument("--plot-schedule", type=Path, metavar="FILE", help="draw the schedule")
    _add_sampling_arguments(inpaint)
    results.add_arguments(inpaint)
    inpaint.set_defaults(run=_inpaint)

    extension = commands.add_parser("extend", help="continue a texture past its borders")
    source.add_arguments(extension)
    for side in ("left", "right", "top", "bottom"):
        extension.add_argument(f"--{side}", type=int, default=0, metavar="PX", help="up to 4 times the picture")
    _add_sampling_arguments(extension)
    results.add_arguments(extension)
    extension.set_defaults(run=_extend)

    tile = commands.add_parser("tile", help="make a texture repeat without a seam")
    source.add_arguments(tile)
    tile.add_argument("--axis", choices=("both", "x", "y"), default="both", help="along which it repeats")
    tile.add_argument("--size", metavar="WxH", help="of the tile, in pixels; smaller or larger than the picture")
    tile.add_argument("--band", type=int, default=extend.TILE_BAND, metavar="PX", help="repainted across each seam")
    _add_sampling_arguments(tile)
    results.add_arguments(tile)
    tile.set_defaults(run=_tile)

    branch = commands.add_parser("branch", help="go on from a saved state, or branch from it")
    branch.add_argument("state", type=Path, metavar="STATE")
    branch.add_argument("--jump", metavar="small|medium|large|N", help="go back up by this many levels, and down again")
    branch.add_argument("--times", type=int, default=1, metavar="R", help="how many times")
    branch.add_argument("--late", action="store_true", help="jump at the clean end only")
    branch.add_argument("--harmonise", action="store_true", help="three small late jumps: the same, better blended")
    branch.add_argument("--new-idea", action="store_true", help="one large jump now: something else")
    results.add_arguments(branch)
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


def _model_id(arguments: argparse.Namespace) -> str:
    """The model asked for; without one the default, or where the picture is to be learned, the one that can."""
    from engine.models import DEFAULT_MODEL

    return arguments.model or (DEFAULT_MODEL if arguments.learn is None else "texture")


def _inpaint(arguments: argparse.Namespace) -> None:
    from engine import api, canvas
    from engine.files import imagefile
    from engine.sampling import plot

    pages = source.pages(arguments)
    canvas.check_sizes(imagefile.size(arguments.image), imagefile.size(arguments.mask))
    pictures = [source.read(arguments, page) for page in pages]
    selections = [masks.read(arguments, page) for page in pages]
    for picture, selection in zip(pictures, selections, strict=True):
        canvas.check(picture.rgba(), selection)
    if not 0 < arguments.save_at < 100:
        raise BadInput("bad_argument", f"--save-at must be 1 to 99 percent, not {arguments.save_at}.")
    if arguments.save_state and len(pages) > 1:
        raise BadInput("bad_argument", "A state is of one page; choose it with --page N.")
    result = results.Results(arguments, pictures)
    model = api.load_model(_model_id(arguments), arguments.device, arguments.vae)
    chosen = {"padding": arguments.padding, "scale": arguments.scale, "hard": arguments.hard}
    jobs = [_job(arguments, *each, model, **chosen) for each in zip(pictures, selections, strict=True)]
    levels, settings = api.resolve(jobs[0])
    if arguments.plot_schedule:
        drawing = plot.plot(levels, settings.calls(levels), arguments.preset)
        imagefile.write(arguments.plot_schedule, imagefile.Picture(np.asarray(drawing)))
    for number, job in enumerate(jobs):
        result.begin(number)
        for event in api.run(job, model):
            if arguments.save_state and isinstance(event, api.Step):
                save_call = max(1, event.calls * arguments.save_at // 100)
                if (event.variant, event.call) == (0, save_call):
                    states.save(event.keep(), arguments.save_state, _extra(pictures[0]), pictures[0].pixels)
            result.take(event)
    result.report(model)


def _extend(arguments: argparse.Namespace) -> None:
    sides = {side: getattr(arguments, side) for side in ("left", "right", "top", "bottom")}
    _fill_frames(arguments, lambda pixels: extend.extended(pixels, **sides))


def _tile(arguments: argparse.Namespace) -> None:
    size = _size(arguments.size)
    _fill_frames(
        arguments, lambda pixels: extend.tile(pixels, arguments.axis, size, arguments.band), wrap=arguments.axis
    )


def _fill_frames(arguments: argparse.Namespace, frame: Callable[[np.ndarray], extend.Framed], **more: Any) -> None:
    from engine import api

    pictures = [source.read(arguments, page) for page in source.pages(arguments)]
    framed = [frame(picture.pixels) for picture in pictures]
    frames = [replace(picture, pixels=each.pixels) for picture, each in zip(pictures, framed, strict=True)]
    result = results.Results(arguments, frames)
    model = api.load_model(_model_id(arguments), arguments.device, arguments.vae)
    for number, (picture, each) in enumerate(zip(frames, framed, strict=True)):
        result.begin(number)
        job = _job(arguments, picture, each.selection, model, **more)
        for event in api.run(replace(job, image=each.rgba(job.image)), model):
            result.take(event)
    result.report(model)


def _size(text: str | None) -> tuple[int, int] | None:
    """WxH as (width, height)."""
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise BadInput("bad_size", f"The size must look like 512x512, not {text!r}.")
    return int(width), int(height)


def _job(arguments: argparse.Namespace, picture: Picture, selection: np.ndarray, model: Model, **more: Any) -> Job:
    from engine import api
    from engine.files import colour

    return api.Job(
        image=picture.rgba(),
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
        linear=colour.in_linear_light(picture),
        palette=results.palette_wanted(arguments),
        **more,
    )


def _branch(arguments: argparse.Namespace) -> None:
    from engine import api

    if arguments.harmonise + arguments.new_idea + (arguments.jump is not None) > 1:
        raise BadInput("bad_argument", "Choose one of --jump, --harmonise and --new-idea.")
    kept, extra, original = states.load(arguments.state)
    jump: int | str | None = arguments.jump
    times, late = arguments.times, arguments.late
    if arguments.harmonise:
        jump, times, late = "small", 3, True
    elif arguments.new_idea:
        jump = "large"
    elif arguments.jump is not None and arguments.jump.lstrip("-").isdecimal():
        jump = int(arguments.jump)
    picture = _from_extra(extra, kept.job.image if original is None else original)
    result = results.Results(arguments, [picture])
    model = api.load_model(kept.job.model, arguments.device, arguments.vae)
    for event in api.resume(kept, model, arguments.seed, arguments.variants, jump, times, late):
        result.take(event)
    result.report(model)


_TEXTS = {"icc_profile": "icc", "exif": "exif", "xmp": "xmp"}


def _extra(picture: Picture) -> dict[str, Any]:
    """What a state file keeps of a picture file, beside its pixels."""
    kept: dict[str, Any] = {"dpi": picture.dpi, "associated": picture.associated, "bits": picture.bits}
    for field, name in _TEXTS.items():
        data = getattr(picture, field)
        kept[name] = base64.b64encode(data).decode() if data else None
    if picture.palette is not None:
        kept["palette"] = picture.palette[:, 0].tolist()
    return kept


def _from_extra(extra: dict[str, Any], pixels: np.ndarray) -> Picture:
    """The picture file again; what is damaged of it counts as absent."""
    from engine.files import colour, metadata

    fields: dict[str, Any] = {"dpi": metadata.resolution(extra.get("dpi"))}
    for field, name in _TEXTS.items():
        try:
            fields[field] = base64.b64decode(extra[name], validate=True)
        except (KeyError, TypeError, ValueError):
            fields[field] = None
    space = "rgb" if pixels.shape[2] >= 3 else "gray"
    if fields["icc_profile"] and colour.space(fields["icc_profile"]) != space:
        fields["icc_profile"] = None
    if fields["exif"]:
        fields["exif"], _ = metadata.exif_bytes(metadata.parsed_exif(fields["exif"]))
    try:
        palette = np.array(extra["palette"], np.uint8)[:, None]
        fields["palette"] = palette if palette.shape[1:] == (1, pixels.shape[2]) else None
    except (KeyError, TypeError, ValueError, OverflowError, IndexError):
        fields["palette"] = None
    fields["associated"] = extra.get("associated") is True and pixels.shape[2] in (2, 4)
    fields["bits"] = extra.get("bits") if extra.get("bits") in (10, 12, 16) else None
    return Picture(pixels, **fields)


def _schedule(text: str) -> str | tuple[int, ...]:
    return schedule.from_file(Path(text)).levels if text.endswith(".json") else text
