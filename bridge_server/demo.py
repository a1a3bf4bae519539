"""``python -m bridge_server.demo``: the bundled photograph through the bridge, with the plug-ins' own client code.

Writes input, selection, three variants of the default model, a strip of previews and a contact sheet into a folder, and
says how long it took. Uses a home of its own, so that a bridge of the user's is neither used nor disturbed. Models that
``--model`` names paint one after the other; the network `texture` needs minutes for a place this wide on two cores.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from bridge_server.check import own_home
from bridge_server.client import events, geometry
from bridge_server.client.errors import BridgeError
from bridge_server.client.run_job import run
from bridge_server.client.session import JobRequest, Session

ASSETS = Path(__file__).resolve().parents[1] / "engine" / "assets"
VARIANTS = (3, 1)
"""Of the first model; of every other one."""
SEED = 1
STRIP = 8
MARGIN, CAPTION = 12, 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--model", default="exemplar", metavar="IDS", help="default: %(default)s")
    parser.add_argument("--preset", default="fast")
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a bar that a terminal cannot show is no failure
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with own_home():
        try:
            return _demo(arguments.out, arguments.model.split(","), arguments.preset)
        except BridgeError as error:
            print(f"error: {error.sentence}", file=sys.stderr)
            return 1


class _Photograph:
    """What is repainted: the bundled picture and its selection, and the part of them that an editor would send."""

    def __init__(self) -> None:
        self.image = Image.open(ASSETS / "demo.jpg", formats=["JPEG"]).convert("RGBA")
        self.selection = Image.open(ASSETS / "demo-selection.png", formats=["PNG"]).convert("L")
        bounds = geometry.selection_bounds(self.selection.tobytes(), *self.selection.size)
        assert bounds is not None
        self.box, self.bounds = geometry.grown_box(bounds, *self.image.size), bounds

    def request(self, model: str, preset: str, variants: int) -> JobRequest:
        box, bounds = self.box, self.bounds
        area = (box.x, box.y, box.x + box.width, box.y + box.height)
        pixels, mask = self.image.crop(area).tobytes(), self.selection.crop(area).tobytes()
        painted = geometry.Box(bounds.x - box.x, bounds.y - box.y, bounds.width, bounds.height)
        return JobRequest(box.width, box.height, pixels, mask, model, preset, SEED, variants, painted=painted)

    def marked(self) -> Image.Image:
        """The picture with its selection in colour."""
        shown = self.image.copy()
        shown.paste((200, 60, 160, 255), mask=self.selection.point(lambda value: value * 2 // 3))
        return shown

    def under(self, rgba: bytes) -> Image.Image:
        """The picture with a layer, or a preview of it, over it."""
        layer = Image.new("RGBA", self.image.size)
        size = (self.bounds.width, self.bounds.height)
        layer.paste(Image.frombytes("RGBA", size, rgba), (self.bounds.x, self.bounds.y))
        return Image.alpha_composite(self.image, layer)


def _demo(out: Path, models: Sequence[str], preset: str) -> int:
    photograph = _Photograph()
    photograph.image.convert("RGB").save(out / "input.png")
    photograph.selection.save(out / "selection.png")
    pictures, strips = [("input", photograph.image), ("selection", photograph.marked())], []
    session = Session("demo")
    session.start()
    try:
        for place, model in enumerate(models):
            name = model.replace("/", "-")
            request = photograph.request(model, preset, VARIANTS[min(place, 1)])
            results, previews = _repaint(session, request)
            for result in results:
                picture = photograph.under(result.rgba)
                picture.convert("RGB").save(out / f"{name}-{result.variant + 1}.png")
                pictures.append((f"{model}, seed {result.seed}", picture))
            strip = [(f"{model}, call {call}", photograph.under(rgba)) for call, rgba in _spread(previews, STRIP)]
            _sheet([strip], photograph.image.width // 2).save(out / f"{name}-previews.png")
            strips.append(strip)
    finally:
        session.close()
    _sheet([pictures, *strips], 320).save(out / "contact-sheet.png")
    names = sorted(path.name for path in out.glob("*.png"))
    print(f"Pictures in {out.resolve()}:\n  " + "\n  ".join(names))
    return 0


def _repaint(session: Session, request: JobRequest) -> tuple[list[events.Result], list[tuple[int, bytes]]]:
    """Run one job and say how long it took; its results, and the previews of its first variant by call."""
    watch = _Watch()
    results = run(session, request, watch.progress, watch.preview, watch.event)
    seconds = time.monotonic() - watch.began
    calls = f"{request.variants} × {watch.calls} steps"
    print(f"\r{f'{request.model}: {calls}, {seconds:.1f} s, first preview after {watch.first:.1f} s':<100}")
    return results, watch.previews


class _Watch:
    """Prints progress and keeps the previews of the first variant."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.first = float("nan")
        self.calls = 0
        self.previews: list[tuple[int, bytes]] = []

    def event(self, event: events.Event) -> None:
        if isinstance(event, events.Accepted):
            self.began = time.monotonic()
        elif isinstance(event, events.EngineDown):
            print(f"\r{event.sentence}")

    def progress(self, event: events.Progress) -> None:
        self.calls = event.calls
        if not sys.stdout.isatty():
            return
        done = (event.call - 1) * event.variants + event.variant + 1
        share = done / (event.calls * event.variants)
        bar = "█" * round(30 * share) + "·" * (30 - round(30 * share))
        left = "" if event.seconds_left < 0 else f"{event.seconds_left:4.0f} s left"
        print(f"\r{bar} {done}/{event.calls * event.variants} steps {left}", end="", flush=True)

    def preview(self, event: events.Preview) -> None:
        if not self.previews:
            self.first = time.monotonic() - self.began
        if event.variant == 0:
            self.previews.append((event.call, event.rgba))


def _spread(items: list[tuple[int, bytes]], count: int) -> list[tuple[int, bytes]]:
    """At most ``count`` items, evenly spread, the first and the last among them."""
    if len(items) <= count:
        return items
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _sheet(rows: list[list[tuple[str, Image.Image]]], width: int) -> Image.Image:
    """Rows of captioned pictures, each scaled to fit its row's share of the sheet."""
    longest = max(len(row) for row in rows if row)
    total = min(longest, 6) * (width + MARGIN) + MARGIN
    lines = []
    for row in rows:
        if not row:
            continue
        each = (total - MARGIN) // len(row) - MARGIN
        lines.append([(text, picture.resize((each, each * picture.height // picture.width))) for text, picture in row])
    height = sum(line[0][1].height + CAPTION + MARGIN for line in lines) + MARGIN
    sheet = Image.new("RGB", (total, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for line in lines:
        x = MARGIN
        for text, picture in line:
            sheet.paste(picture.convert("RGB"), (x, y + CAPTION))
            draw.text((x, y + 4), text, fill="black")
            x += picture.width + MARGIN
        y += line[0][1].height + CAPTION + MARGIN
    return sheet


if __name__ == "__main__":
    sys.exit(main())
