"""Gather the training corpus: every source's pictures through the filters into one folder of PNG files.

A run can be cut off at any time: sources that were finished are kept (``sources/NAME.json``), downloads too; the next
run goes on with the first unfinished source. Order is fixed, so the result is the same as from one run.
"""

from __future__ import annotations

import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from engine.data import procedural
from engine.data.filters import Deduplicator, group_of, held_out, rejection, wanted_name
from engine.data.manifest import Manifest, Picture, write_atomic
from engine.data.sources import EXCLUDED, Candidate, Source, all_sources

Progress = Callable[[str], None]

TEXTURE_SIDE = 640
PHOTOGRAPH_SIDE = 1600
PROCEDURAL_SIDE = 320


def build(
    out: Path, *, progress: Progress = print, limit_mib: float | None = None, sources: Iterable[Source] | None = None
) -> Manifest:
    """Build or finish the corpus in ``out``.

    Args:
        out: folder; gets ``pictures/``, ``downloads/``, ``sources/`` and ``manifest.json``.
        progress: called with one line per source.
        limit_mib: stop adding pictures once they take so many MiB (per run over all sources).
        sources: other sources than :func:`all_sources` (tests).

    Returns:
        The manifest, also saved in ``out``.
    """
    out.mkdir(parents=True, exist_ok=True)
    downloads, records = out / "downloads", out / "sources"
    for folder in (downloads, records):
        folder.mkdir(exist_ok=True)
    manifest, rejected, seen = Manifest(out), Counter[str](), Deduplicator()
    room = float("inf") if limit_mib is None else limit_mib * 2**20
    for source in all_sources() if sources is None else sources:
        record = records / f"{source.name}.json"
        if record.is_file():
            data = json.loads(record.read_text())
            pictures, reasons = [Picture(**entry) for entry in data["pictures"]], Counter(data["rejected"])
            for picture in pictures:
                seen.is_new(load_rgb(out / picture.file))
        else:
            pictures, reasons = _gather(source, out, downloads, seen, room)
            data = {"pictures": [asdict(p) for p in pictures], "rejected": reasons}
            if pictures or reasons:  # a source that cannot be had here is tried again next time
                write_atomic(record, json.dumps(data))
        room -= sum((out / picture.file).stat().st_size for picture in pictures)
        manifest.pictures += pictures
        rejected.update(reasons)
        shown = f"{len(pictures)} pictures kept, {sum(reasons.values())} left out"
        progress(f"{source.name}: {shown if pictures or reasons else 'not to be had on this machine, skipped'}")
    manifest.rejected = dict(rejected)
    manifest.save()
    return manifest


def _gather(
    source: Source, out: Path, downloads: Path, seen: Deduplicator, room: float
) -> tuple[list[Picture], Counter[str]]:
    """Run one source through the filters and write what passes."""
    folder = out / "pictures" / source.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pictures: list[Picture] = []
    reasons: Counter[str] = Counter()
    for candidate in source.candidates(downloads):
        rgb, reason = _judge(candidate)
        if not reason and not seen.is_new(rgb):
            reason = "duplicate"
        if not reason and room <= 0:
            reason = "over the limit"
        if reason:
            reasons[reason] += 1
            continue
        path = folder / f"{len(pictures):05d}.png"
        cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 3])
        room -= path.stat().st_size
        group = group_of(source.name, candidate.origin)
        if candidate.kind == "procedural":
            group = f"{source.name}:{candidate.origin}"
        pictures.append(
            Picture(
                file=path.relative_to(out).as_posix(),
                origin=candidate.origin,
                source=candidate.source,
                version=candidate.version,
                licence=candidate.licence,
                kind=candidate.kind,
                group=group,
                width=rgb.shape[1],
                height=rgb.shape[0],
                held_out=held_out(group),
            )
        )
    return pictures, reasons


def _judge(candidate: Candidate) -> tuple[np.ndarray, str]:
    """Decode one candidate at its stored size; the second value says why it is left out, or is empty."""
    nothing = np.zeros((0, 0, 3), np.uint8)
    if any(word in candidate.origin for word in EXCLUDED):
        return nothing, "set aside"
    if candidate.seed is not None:
        return procedural.generate(candidate.seed, PROCEDURAL_SIDE), ""
    photograph = candidate.kind == "photograph"
    if not photograph and not candidate.chosen and not wanted_name(candidate.origin):
        return nothing, "name"
    assert candidate.read is not None
    try:
        with Image.open(io.BytesIO(candidate.read()), formats=("JPEG", "PNG", "TGA", "WEBP")) as image:
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    except (OSError, ValueError, Image.DecompressionBombError):
        return nothing, "unreadable"
    rgb = np.ascontiguousarray(pixels[..., :3])
    reason = "" if candidate.chosen else rejection(rgb, pixels[..., 3] if has_alpha else None, photograph=photograph)
    return (shrink(rgb, PHOTOGRAPH_SIDE if photograph else TEXTURE_SIDE), reason) if not reason else (nothing, reason)


def shrink(rgb: np.ndarray, longest: int) -> np.ndarray:
    """Scale down by area averaging so that the longer side is at most ``longest`` pixels."""
    height, width = rgb.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def load_rgb(path: Path) -> np.ndarray:
    """A stored picture as uint8 (H, W, 3), RGB."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise OSError(f"{path} cannot be read as a picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
