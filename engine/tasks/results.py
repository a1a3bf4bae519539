"""What a command on a picture writes: the places are looked at before the run, pictures come as variants finish."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine import devices
from engine.errors import BadInput
from engine.files import Picture, nearest
from engine.tasks import maps

if TYPE_CHECKING:
    from engine.api import Learning, Model, Step
    from engine.run import Event


def add_output(command: argparse.ArgumentParser) -> None:
    """Where one picture goes, and the report of it."""
    command.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        help="the result; with several variants OUT-1.png, OUT-2.png …; - is standard output",
    )
    command.add_argument("--json", action="store_true", help="print one line of JSON at the end")
    command.set_defaults(streamed=False)


def add_options(command: argparse.ArgumentParser) -> None:
    """What all commands that write a picture have in common."""
    command.add_argument("--seed", type=int, metavar="S", help="0 … 2^53 - 1 (default: a random one, which is printed)")
    command.add_argument("--variants", type=int, default=1, metavar="K", help="how many (default 1)")
    command.add_argument(
        "--alpha", choices=("keep", "opaque"), default="keep",
        help="under a soft selection, keep partly transparent parts so, or make everything selected opaque",
    )  # fmt: skip
    command.add_argument(
        "--palette", choices=("keep", "free"),
        help="use only the picture's own colours, or any (default: only its own if it has few)",
    )  # fmt: skip
    command.add_argument("--device", choices=devices.KINDS)
    command.add_argument(
        "--vae", metavar="DIR|ID", help="another autoencoder for a latent model; can be an asymmetric one"
    )
    command.add_argument("--previews", type=Path, metavar="DIR", help="also write ten previews of each variant")


class News:
    """What is said while a run goes on: here to the terminal."""

    def note(self, sentence: str) -> None:
        print(f"note: {sentence}", file=sys.stderr)

    def page(self, number: int, pages: int) -> None:
        if pages > 1 and sys.stderr.isatty():
            print(f"page {number + 1} of {pages}", file=sys.stderr)

    def learning(self, event: Learning) -> None:
        """A line of progress on a terminal."""
        if sys.stderr.isatty():
            end = "\n" if event.done == 1 else ""
            width = shutil.get_terminal_size().columns - 1
            line = f"learning: {event.done:4.0%}, {event.seconds_left:4.0f} s left"
            print(f"\r{line:{min(width, 40)}}", end=end, file=sys.stderr, flush=True)

    def calls(self, done: int, total: int, seconds: float) -> None:
        if sys.stderr.isatty():
            left = seconds / done * (total - done)
            end = "\n" if done == total else ""
            print(f"\r{done}/{total} network calls, {left:4.0f} s left ", end=end, file=sys.stderr, flush=True)


class Results:
    """Takes the events of the runs of one or more pages: tells the news, writes pictures, reports.

    Attributes:
        variants: file and seed of each that is written.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        pictures: Sequence[Picture],
        news: News,
        companions: Sequence[maps.Companion] = (),
    ) -> None:
        """``companions``: maps that are written beside the picture, which is one then."""
        from engine.files import imagefile

        self._arguments, self._pictures, self._news, self._companions = arguments, pictures, news, companions
        self._names = _names(arguments, pictures)
        self._page = 0
        self._done: dict[int, list[Picture]] = {}
        self._began = time.monotonic()
        self._made = self._calls = 0
        self._learned: Learning | None = None
        self.variants: list[dict[str, Any]] = []
        self._told = False
        self._model: Model | None = None
        _check(arguments, self._names, pictures)
        own = [each.path for each in companions]
        image = getattr(arguments, "image", None)
        read = own if image is None else [*own, image]
        for name in self._names:
            maps.check_place(name, own)
            for place, each in zip(maps.results(name, companions), companions, strict=True):
                maps.check_place(place, read)
                imagefile.check_output(place, [each.picture])
                arguments.places[place] = _state(place)

    def begin(self, page: int, model: Model) -> None:
        """The events to come are of this page, counted from 0."""
        self._page, self._made, self._model = page, 0, model
        self._news.page(page, len(self._pictures))

    def take(self, event: Learning | Event) -> None:
        from engine.api import Finished, Learning, Note, Pause

        if isinstance(event, Pause):
            return
        if isinstance(event, Note):
            self._news.note(event.sentence)
            return
        if isinstance(event, Learning):
            self._news.learning(event)
            self._learned = event
            return
        if isinstance(event, Finished):
            self._finish(event)
            return
        self._made += 1
        variants = self._arguments.variants
        self._calls = -(-self._made // variants)
        self._news.calls(self._made, (event.calls - event.call + self._calls) * variants, event.seconds)
        if self._arguments.previews and event.call % max(1, event.calls // 10) == 0:
            self._preview(event)

    def _finish(self, event: Any) -> None:
        from engine import canvas
        from engine.files import imagefile

        picture = self._pictures[self._page]
        made = canvas.composite(
            picture.pixels, event.selection, event.fill, event.region, self._arguments.alpha, picture.associated
        )
        if picture.palette is not None and self._arguments.out.suffix.lower() == ".gif":
            selected = event.selection > 0
            made[selected] = nearest(made[selected][None], picture.palette)[0]
        if picture.has_alpha:
            self._tell_transparency(picture, made, event.selection)
        finished = self._done.setdefault(event.variant, [])
        finished.append(replace(picture, pixels=made))
        if len(finished) == len(self._pictures):
            name = self._names[event.variant]
            imagefile.write(name, *self._done.pop(event.variant))
            made_of = {"file": "-" if self._arguments.streamed else str(name), "seed": event.seed}
            if self._companions:
                places = maps.results(name, self._companions)
                for place, made_map in zip(
                    places, maps.finished(event, self._companions, self._arguments.alpha), strict=True
                ):
                    imagefile.write(place, made_map)
                made_of["maps"] = [str(place) for place in places]
            if event.ring is not None:
                made_of["ring"] = [round(each, 2) for each in event.ring]
            self.variants.append(made_of)

    def _tell_transparency(self, picture: Picture, made: np.ndarray, selection: np.ndarray) -> None:
        from engine import canvas

        seen = [pixels[..., -1] / canvas.whole(made.dtype) < canvas.OPAQUE / 255 for pixels in (picture.pixels, made)]
        if not self._told and self._arguments.alpha == "keep" and (seen[0] & seen[1] & (selection > 0)).any():
            self._told = True
            self._news.note(
                "Under the selection's soft edge the picture stays partly transparent; add --alpha opaque to fill it."
            )

    def report(self) -> None:
        """Print what was written, and what it took."""
        assert self._model is not None
        seconds = time.monotonic() - self._began
        place = sys.stderr if self._arguments.streamed else sys.stdout
        if self._arguments.json:
            report = {
                "calls": self._calls,
                "seconds": round(seconds, 3),
                "seconds_per_call": round(seconds / self._made, 5),
                "device": str(self._model.device),
                "seed": self.variants[0]["seed"],
                "model": self._model.info.id,
                "peak_memory_mib": _peak_memory_mib(),
                "variants": self.variants,
            }
            if self._learned is not None:
                report |= {"learning_steps": self._learned.step, "learning_seconds": round(self._learned.seconds, 3)}
            print(json.dumps(report), file=place)
            return
        for variant in self.variants:
            ring = variant.get("ring")
            told = f"  colour difference at the edge: ΔE00 {ring[0]} before, {ring[1]} after" if ring else ""
            print(f"{variant['file']}  seed {variant['seed']}{told}", file=place)
            for file in variant.get("maps", ()):
                print(f"{file}  a map", file=place)
        print(f"{self._calls} network calls each, {seconds:.1f} s on {self._model.device}", file=place)

    def _preview(self, step: Step) -> None:
        from engine import canvas
        from engine.files import colour, imagefile

        page = f"page-{self._page + 1}-" if len(self._pictures) > 1 else ""
        name = self._arguments.previews / f"{page}variant-{step.variant + 1}-call-{step.call:04d}.png"
        picture = self._pictures[self._page]
        over = canvas.over(picture.rgba(), step.preview())
        imagefile.write(name, colour.for_screen(replace(picture, pixels=over, associated=False, palette=None)))


def palette_wanted(arguments: argparse.Namespace) -> bool | None:
    """Whether the fill keeps to the picture's colours, as :class:`engine.api.Job` takes it."""
    if arguments.palette is None and arguments.out.suffix.lower() != ".gif":
        return None
    return bool(arguments.palette != "free")


def numbered(out: Path, variants: int) -> list[Path]:
    """One name per variant; they sort as they are counted."""
    if variants <= 1:
        return [out]
    digits = len(str(variants))
    return [out.with_name(f"{out.stem}-{k:0{digits}}{out.suffix}") for k in range(1, variants + 1)]


def _names(arguments: argparse.Namespace, pictures: Sequence[Picture]) -> list[Path]:
    out, variants = arguments.out, arguments.variants
    if arguments.streamed:
        if variants > 1:
            raise BadInput("bad_output", "Standard output holds one picture; name a file for several variants.")
        deep = pictures[0].seen == np.float32 or len(pictures) > 1
        return [out.with_name(out.name + (".tif" if deep else ".png"))]
    return numbered(out, variants)


def _check(arguments: argparse.Namespace, names: list[Path], pictures: Sequence[Picture]) -> None:
    """Every place that will be written to, before anything is computed; and how it is now, see :func:`written`."""
    from engine.files import imagefile

    for name in names:
        imagefile.check_output(name, pictures)
    places = [] if arguments.streamed else list(names)
    state = getattr(arguments, "save_state", None)
    if state:
        imagefile.check_place(state)
        places.append(state)
    if getattr(arguments, "plot_schedule", None):
        imagefile.check_output(arguments.plot_schedule)
        places.append(arguments.plot_schedule)
    if arguments.previews:
        try:
            arguments.previews.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                "bad_output", f"The folder {arguments.previews} cannot be made; choose another.", repr(error)
            ) from error
        imagefile.check_place(arguments.previews / "preview.png")
    arguments.places = {place: _state(place) for place in places}


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def written(arguments: argparse.Namespace) -> str:
    """What of a run that was cut short is there, as the end of a sentence."""
    places = getattr(arguments, "places", {})
    changed = [str(place) for place, before in places.items() if _state(place) != before]
    if not changed:
        return "nothing was written, but for previews" if places and arguments.previews else "nothing was written"
    return f"{', '.join(changed)} {'was' if len(changed) == 1 else 'were'} written"


def _peak_memory_mib() -> int | None:
    """Peak resident memory of this process; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 2**20 if sys.platform == "darwin" else peak // 2**10
