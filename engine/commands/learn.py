"""The command ``python -m engine learn``: a texture model that knows one picture, as a folder for ``--model``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine import devices
from engine.errors import BadInput
from engine.tasks import News, masks, source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=Path, metavar="IN")
    parser.add_argument("--page", metavar="N", help="which page or frame of a file with several")
    parser.add_argument("-m", "--mask", type=Path, help="white = do not learn from this")
    masks.add_options(parser)
    parser.add_argument("--seconds", type=float, metavar="S", help="5 … 600")
    parser.add_argument("--steps", type=int, metavar="N", help="instead of --seconds; gives the same result every time")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL_FOLDER", help="a new folder")
    parser.add_argument("--model", default="texture", help="model to start from: id from 'models list', or a folder")
    parser.add_argument("--device", choices=devices.KINDS)
    parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")


def main(arguments: argparse.Namespace) -> None:
    """Learn a picture and write the model.

    Raises:
        BadInput: no length given, the folder is there already, files that cannot be used, too little to learn from.
        EngineError: the folder cannot be written.
    """
    if (arguments.seconds is None) == (arguments.steps is None):
        raise BadInput("no_length", "Say how long to learn: --seconds S or --steps N.")
    if arguments.steps is not None and not 1 <= arguments.steps <= 100_000:
        raise BadInput("bad_learn", f"The number of steps must be 1 to 100000, not {arguments.steps}.")
    if arguments.out.exists():
        raise BadInput("folder_exists", f"{arguments.out} is there already; choose another name or remove it.")

    import numpy as np

    from engine import api, canvas
    from engine.files import colour, imagefile
    from engine.learning import adapt

    (page,) = source.pages(arguments, one=True)
    if arguments.mask:
        canvas.check_sizes(imagefile.size(arguments.image), imagefile.size(arguments.mask))
    picture = imagefile.read(arguments.image, page)
    image = picture.rgba()
    unknown = np.zeros(image.shape[:2], bool)
    if arguments.mask:
        selection = masks.read(arguments, page)
        canvas.check(image, selection)
        unknown = selection > 0
    model = api.load_model(arguments.model, arguments.device)
    light = canvas.Light.of(image, ~unknown, colour.in_linear_light(picture), network=True)
    events = adapt.learn(image, unknown, light, model, arguments.seconds, arguments.steps)
    news = News()
    while True:
        try:
            last = next(events)
        except StopIteration as end:
            found = end.value
            break
        news.learning(last)
    title = f"{model.info.title}, learned from {arguments.image.name}"
    adapt.write_model(model, found, arguments.out, title=title, steps=last.step)
    if arguments.json:
        report = {"steps": last.step, "seconds": round(last.seconds, 3), "held_out_loss": round(last.loss, 5)}
        print(json.dumps({**report, "model": str(arguments.out), "device": str(model.device)}))
    else:
        print(f"{arguments.out}  {last.step} steps in {last.seconds:.1f} s")
