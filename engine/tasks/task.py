"""Inpaint, extend, tile: the options of each, and the run of one from its picture files to its results."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.canvas import extend
from engine.errors import BadInput
from engine.files import Picture
from engine.run import states
from engine.sampling import DEFAULT_PRESET, PRESETS, schedule
from engine.tasks import kept, maps, masks, material, source
from engine.tasks.results import News, Results, add_output, palette_wanted
from engine.tasks.results import add_options as add_result_options

if TYPE_CHECKING:
    from engine.models import Model
    from engine.run import Job

Loader = Callable[[str, str | None, str | None], "Model"]
"""Loads a model by id, kind of device and autoencoder, see :func:`engine.models.load`."""


@dataclass(frozen=True)
class Task:
    """One thing that is done to a picture.

    Attributes:
        help: what it does, in a few words.
        takes_mask: whether it needs a mask beside the picture.
        add_own_options: to a parser, those that the other tasks lack.
        check: what can be told from the headers of its files, before it runs. Raises BadInput.
        extent: how many pixels the engine will look at, and how many of these it will paint, for
            :mod:`engine.models.forecast`. Raises BadInput.
        run: does it; the results are written when this returns. Raises EngineError.
    """

    help: str
    takes_mask: bool
    add_own_options: Callable[[argparse.ArgumentParser], None]
    check: Callable[[argparse.Namespace], None]
    extent: Callable[[argparse.Namespace], tuple[int, int]]
    run: Callable[[argparse.Namespace, Loader, News], Results]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The files and all options, as of a command of its own."""
        parser.add_argument("image", type=Path, metavar="IN", help="a picture; - is standard input")
        if self.takes_mask:
            parser.add_argument("-m", "--mask", type=Path, required=True, help="white = repaint, gray = soft edge")
        self.add_own_options(parser)
        add_common_options(parser)
        add_output(parser)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """The options that all tasks have."""
    source.add_options(parser)
    material.add_options(parser)
    maps.add_options(parser)
    _add_sampling(parser)
    add_result_options(parser)


def _add_inpaint(parser: argparse.ArgumentParser) -> None:
    masks.add_options(parser)
    parser.add_argument(
        "--padding", type=int, metavar="PX", help="surroundings that the model sees (default: automatic)"
    )
    parser.add_argument("--scale", type=float, metavar="F", help="model pixels per picture pixel (default: automatic)")
    parser.add_argument("--hard", action="store_true", help="ignore the mask's soft edge")
    parser.add_argument("--save-state", type=Path, metavar="FILE", help="keep a state of variant 1 to branch from")
    parser.add_argument(
        "--save-at", type=int, default=50, metavar="PERCENT", help="… at this point of the run (default 50)"
    )
    parser.add_argument("--plot-schedule", type=Path, metavar="FILE", help="write a drawing of the schedule")


def _add_extend(parser: argparse.ArgumentParser) -> None:
    for side in ("left", "right", "top", "bottom"):
        parser.add_argument(f"--{side}", type=int, default=0, metavar="PX", help="up to 4 times the picture")


def _add_tile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--axis", choices=("both", "x", "y"), default="both", help="direction in which it repeats")
    parser.add_argument(
        "--size", metavar="WxH", help="size of the tile in pixels; can be smaller or larger than the picture"
    )
    parser.add_argument(
        "--band",
        type=int,
        default=extend.TILE_BAND,
        metavar="PX",
        help="width of the band that is repainted across each seam",
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    """What defines a new run, see :func:`job_of`."""
    parser.add_argument(
        "--model",
        help="id from 'models list', or a folder in diffusers layout (default: exemplar; with --learn: texture)",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), default=DEFAULT_PRESET)
    parser.add_argument("--steps", type=int, metavar="N", help="levels of noise, 2 … 1000")
    parser.add_argument("--jump-length", type=int, metavar="L", help="levels that each jump goes back up")
    parser.add_argument("--jump-samples", type=int, metavar="R", help="how often each stretch between jumps is painted")
    parser.add_argument(
        "--schedule", default="uniform", metavar="|".join(schedule.NAMED) + "|FILE.json", help="where the jumps are"
    )
    parser.add_argument("--start-resampling", type=int, metavar="N", help="jump only below this level")
    parser.add_argument("--label", metavar="NAME|N", help="class, for models that know classes")
    parser.add_argument(
        "--classifier-scale", type=float, default=1.0, metavar="S", help="how strongly a classifier guides"
    )
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what should appear, for models that take prompts")
    parser.add_argument("--negative", default="", metavar="TEXT", help="what should not appear")
    parser.add_argument(
        "--guidance", type=float, metavar="G", help="how strongly the prompt acts, 0 … 30; 1 adds nothing"
    )
    parser.add_argument(
        "--guidance-interval", type=float, nargs=2, default=(0.0, 1.0), metavar=("FROM", "TO"),
        help="part of the run in which guidance acts, 0 (noise) … 1 (picture)",
    )  # fmt: skip
    parser.add_argument(
        "--pag-scale", type=float, default=0.0, metavar="P",
        help="perturbed-attention guidance, 0 … 30, for models that take prompts; half as much time again (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--known-noise", type=float, default=0.0, metavar="N",
        help="how noisy the picture is, 0 … 128 on a scale of 255, so that a network does not copy it (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--learn", type=float, metavar="SECONDS", help="learn the rest of the picture first, for 5 … 600 seconds"
    )
    parser.add_argument("--ring", action="store_true", help="match the fill's colours to a ring around it")


def model_id(arguments: argparse.Namespace) -> str:
    """The model asked for; without one the default, or where the picture is to be learned, the one that can."""
    from engine.models import DEFAULT_MODEL

    return arguments.model or (DEFAULT_MODEL if arguments.learn is None else "texture")


def _check_inpaint(arguments: argparse.Namespace) -> None:
    from engine import canvas
    from engine.files import imagefile

    pages = source.pages(arguments)
    canvas.check_sizes(imagefile.size(arguments.image), imagefile.size(arguments.mask))
    material.check(arguments, imagefile.size(arguments.image))
    maps.check(arguments)
    if not 0 < arguments.save_at < 100:
        raise BadInput("bad_argument", f"--save-at must be 1 to 99 percent, not {arguments.save_at}.")
    if arguments.save_state and len(pages) > 1:
        raise BadInput("bad_argument", "A state is of one page; choose it with --page N.")


def _extent_of_inpaint(arguments: argparse.Namespace) -> tuple[int, int]:
    from engine import canvas

    selection = masks.read(arguments, source.pages(arguments)[0])
    box = canvas.surroundings(selection, arguments.padding)
    return box.width * box.height, int(np.count_nonzero(selection))


def _inpaint(arguments: argparse.Namespace, load: Loader, news: News) -> Results:
    from engine import api, canvas
    from engine.files import imagefile
    from engine.sampling import plot

    _check_inpaint(arguments)
    pages = source.pages(arguments)
    pictures = [source.read(arguments, page, news) for page in pages]
    selections = [masks.read(arguments, page) for page in pages]
    for picture, selection in zip(pictures, selections, strict=True):
        canvas.check(picture.rgba(), selection)
    sources = [material.read(arguments, *each) for each in zip(pictures, selections, strict=True)]
    companions = maps.read(arguments)
    result = Results(arguments, pictures, news, companions)
    model = load(model_id(arguments), arguments.device, arguments.vae)
    chosen: dict[str, Any] = {"padding": arguments.padding, "scale": arguments.scale, "hard": arguments.hard}
    chosen["maps"] = tuple(each.map() for each in companions)
    chosen["share_mask"] = material.shares(arguments)
    jobs = [
        job_of(arguments, picture, selection, model.info.id, source=found, **chosen)
        for picture, selection, found in zip(pictures, selections, sources, strict=True)
    ]
    levels, settings = api.resolve(jobs[0], PRESETS[arguments.preset].of(model.prediction))
    if arguments.plot_schedule:
        drawing = plot.plot(levels, settings.calls(levels), arguments.preset)
        imagefile.write(arguments.plot_schedule, imagefile.Picture(np.asarray(drawing)))
    for number, job in enumerate(jobs):
        result.begin(number, model)
        unsaved = arguments.save_state is not None
        for event in api.run(job, model):
            if unsaved and isinstance(event, api.Step) and event.variant == 0:
                # Some steps count for several calls, so none may end at the very call.
                unsaved = event.call < max(1, event.calls * arguments.save_at // 100)
                if not unsaved:
                    states.save(event.keep(), arguments.save_state, kept.extra(pictures[0]), pictures[0].pixels)
            result.take(event)
    return result


def _check_extend(arguments: argparse.Namespace) -> None:
    from engine.files import imagefile

    source.pages(arguments)
    (height, width), sides = imagefile.size(arguments.image), _sides(arguments)
    extend.check_extension((height, width), **sides)
    material.check(arguments, (height + sides["top"] + sides["bottom"], width + sides["left"] + sides["right"]))
    maps.check(arguments)


def _extent_of_extend(arguments: argparse.Namespace) -> tuple[int, int]:
    from engine.files import imagefile

    (height, width), sides = imagefile.size(arguments.image), _sides(arguments)
    area = (height + sides["top"] + sides["bottom"]) * (width + sides["left"] + sides["right"])
    return area, area - height * width


def _sides(arguments: argparse.Namespace) -> dict[str, int]:
    return {side: getattr(arguments, side) for side in ("left", "right", "top", "bottom")}


def _extend(arguments: argparse.Namespace, load: Loader, news: News) -> Results:
    sides = _sides(arguments)
    return _fill_frames(arguments, load, news, lambda pixels: extend.extended(pixels, **sides))


def _check_tile(arguments: argparse.Namespace) -> None:
    from engine.files import imagefile

    source.pages(arguments)
    size = _size(arguments.size)
    extend.check_tile(imagefile.size(arguments.image), arguments.axis, size, arguments.band)
    material.check(arguments, imagefile.size(arguments.image) if size is None else size[::-1])
    maps.check(arguments)


def _extent_of_tile(arguments: argparse.Namespace) -> tuple[int, int]:
    from engine.files import imagefile

    width, height = _size(arguments.size) or imagefile.size(arguments.image)[::-1]
    across = width - arguments.band * (arguments.axis != "y")
    down = height - arguments.band * (arguments.axis != "x")
    return width * height, width * height - max(0, across) * max(0, down)


def _tile(arguments: argparse.Namespace, load: Loader, news: News) -> Results:
    size = _size(arguments.size)
    return _fill_frames(
        arguments,
        load,
        news,
        lambda pixels: extend.tile(pixels, arguments.axis, size, arguments.band),
        wrap=arguments.axis,
    )


def _fill_frames(
    arguments: argparse.Namespace,
    load: Loader,
    news: News,
    frame: Callable[[np.ndarray], extend.Framed],
    **more: Any,
) -> Results:
    from engine import api

    pictures = [source.read(arguments, page, news) for page in source.pages(arguments)]
    framed = [frame(picture.pixels) for picture in pictures]
    material.check(arguments, framed[0].selection.shape)
    sources, shares = [material.read(arguments, picture) for picture in pictures], material.shares(arguments)
    frames = [replace(picture, pixels=each.pixels) for picture, each in zip(pictures, framed, strict=True)]
    companions = maps.framed(maps.read(arguments), frame)
    more["maps"] = tuple(each.map(own) for each, own in companions)
    result = Results(arguments, frames, news, [each for each, _ in companions])
    model = load(model_id(arguments), arguments.device, arguments.vae)
    for number, (picture, each) in enumerate(zip(frames, framed, strict=True)):
        result.begin(number, model)
        mixed = {"source": sources[number], "share_mask": shares}
        job = job_of(arguments, picture, each.selection, model.info.id, **mixed, **more)
        for event in api.run(replace(job, image=each.rgba(job.image)), model):
            result.take(event)
    return result


def _size(text: str | None) -> tuple[int, int] | None:
    """WxH as (width, height)."""
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise BadInput("bad_size", f"The size must look like 512x512, not {text!r}.")
    return int(width), int(height)


def job_of(arguments: argparse.Namespace, picture: Picture, selection: np.ndarray, model: str, **more: Any) -> Job:
    """The engine's request, for the model of this id."""
    from engine import api
    from engine.files import colour

    return api.Job(
        image=picture.rgba(),
        selection=selection,
        model=model,
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
        known_noise=arguments.known_noise,
        learn=arguments.learn,
        linear=colour.in_linear_light(picture),
        palette=palette_wanted(arguments),
        source_share=arguments.source_share,
        ring=arguments.ring,
        **more,
    )


def _schedule(text: str) -> str | tuple[int, ...]:
    return schedule.from_file(Path(text)).levels if text.endswith(".json") else text


TASKS = {
    "inpaint": Task(
        "repaint the white part of a mask", True, _add_inpaint, _check_inpaint, _extent_of_inpaint, _inpaint
    ),
    "extend": Task(
        "continue a texture past its borders", False, _add_extend, _check_extend, _extent_of_extend, _extend
    ),
    "tile": Task("make a texture repeat without a seam", False, _add_tile, _check_tile, _extent_of_tile, _tile),
}
