"""Maps: further pictures of the same texture (normals, height, roughness), filled from the same places as the colour.

Their channels stand behind those of the colour, and patches are compared by all of them. Each map is stretched by a
power of two until it varies about as much as the colour does, and by the root of its weight, and comes back the same
way. Whatever is done to the channels is linear and the same for all of them: a map that is a linear function of the
colour stays that function. For that the finest detail is not touched up afterwards.

Normals are unit vectors, and a mean of them is none: they are brought back to unit length at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from engine import canvas
from engine.canvas import Light
from engine.errors import BadInput
from engine.exemplar import SIDE

if TYPE_CHECKING:
    from engine.run.job import Job

KINDS = ("colour", "normal", "values")
MAX_MAPS, LONGEST_NAME = 7, 200
LEAST_WEIGHT, MOST_WEIGHT = 0.01, 100.0
LEAST_CONTRAST = 0.05
"""Standard deviation, of a range of 2, that a colour has at least for the maps to be stretched to it: beside a flat one
they still count."""
ZERO = 0.1
"""Length of a normal below which it has no direction."""
SAMPLES = 1 << 20
"""Pixels that contrast is told from, at most."""

OTHER_MODEL = "The model {model} paints no maps beside the picture; choose the model exemplar, or leave the maps out."


@dataclass(frozen=True)
class Map:
    """One of them.

    Attributes:
        name: for people, another one for each map of a job.
        pixels: (H, W, 4) of the picture's size and any depth; transparent pixels are unknown.
        kind: ``colour``, encoded as the picture is; ``normal``, vectors whose components −1 … 1 are stored as 0 … 1
            (floats may hold them as they are); ``values``, numbers such as height or roughness.
        weight: how much it counts in the comparison of patches, 0.01 … 100, where the colour has 1.
    """

    name: str
    pixels: np.ndarray
    kind: str = "values"
    weight: float = 1.0


def check(job: Job) -> None:
    """Raise BadInput where the maps and what else a job asks for do not go together."""
    names = [each.name for each in job.maps]
    if len(names) > MAX_MAPS:
        sentence = f"There may be up to {MAX_MAPS} maps beside the colour, not {len(names)}; leave some out."
        raise BadInput("bad_maps", sentence)
    for each in job.maps:
        control = any(ord(letter) < 32 for letter in each.name)
        if control or not 0 < len(each.name) <= LONGEST_NAME or names.count(each.name) > 1:
            raise BadInput("bad_maps", f"Every map needs a name of its own; rename {each.name[:40]!r}.")
        if each.kind not in KINDS:
            words = f"The kind of the map {each.name} must be one of {', '.join(KINDS)}"
            raise BadInput("bad_maps", f"{words}, not {each.kind[:40]!r}.")
        if not LEAST_WEIGHT <= each.weight <= MOST_WEIGHT:
            sentence = f"The weight of the map {each.name} must be {LEAST_WEIGHT} to {MOST_WEIGHT:g}."
            raise BadInput("bad_maps", sentence, f"{each.weight}")
        shape = each.pixels.shape
        if each.pixels.ndim != 3 or shape[2] != 4 or each.pixels.dtype.name not in canvas.DEPTHS:
            sentence = f"The map {each.name} must be RGBA of 8 or 16 bits, or of half or full floats."
            raise BadInput("bad_maps", sentence, f"{shape} {each.pixels.dtype}")
        if shape[:2] != job.image.shape[:2]:
            raise BadInput(
                "size_mismatch",
                f"The map {each.name} is {shape[1]} × {shape[0]} pixels but the picture is {job.image.shape[1]} × "
                f"{job.image.shape[0]}; make both the same size.",
            )
    for wanted, what in (
        (job.source is not None, "sources"),
        (bool(job.palette), "a palette"),
        (job.ring, "matching of surrounding colours"),
        (job.learn is not None, "learning"),
    ):
        if job.maps and wanted:
            raise BadInput("bad_maps", f"Maps cannot be filled together with {what}; leave out one of the two.")


@dataclass(frozen=True)
class Channels:
    """A map as channels, and back.

    Attributes:
        map: it.
        light: of a map that is a colour.
        gray: of its three channels, which are the same, only one is needed.
        signed: of normals that are stored as they are.
        centre, stretch: channels are (value − centre) · stretch.
    """

    map: Map
    light: Light | None
    gray: bool
    signed: bool
    centre: float = 0.0
    stretch: float = 1.0

    @property
    def count(self) -> int:
        return 1 if self.gray else 3

    def encoded(self, pixels: np.ndarray) -> np.ndarray:
        """(H, W, 4) of the map → (H, W, count) float32; what is no number counts as 0."""
        out = self._values(pixels)
        out -= np.float32(self.centre)
        out *= np.float32(self.stretch)
        return out

    def _values(self, pixels: np.ndarray) -> np.ndarray:
        colours = pixels[..., : self.count]
        if self.light is not None:
            return self.light.encoded(colours)
        values = np.nan_to_num(canvas.in_unit(colours), copy=False, posinf=0, neginf=0)
        return values if self.signed or self.map.kind != "normal" else values * 2 - 1

    def decoded(self, channels: np.ndarray) -> np.ndarray:
        """(H, W, count) → (H, W, 3) float32 in the map's unit: integers within 0 … 1."""
        values = channels / np.float32(self.stretch) + np.float32(self.centre)
        if self.light is not None:
            return self.light.decoded(np.broadcast_to((values + 1) / 2, (*values.shape[:2], 3)))
        if self.map.kind == "normal":
            values = unit(values)
            values = values if self.signed else (values + 1) / 2
        values = np.broadcast_to(values, (*values.shape[:2], 3))
        return values.clip(0, 1) if self.map.pixels.dtype.kind == "u" else values


@dataclass(frozen=True)
class Stack:
    """All maps of a job.

    Attributes:
        near: the part of the picture that is looked at.
        channels: of each map.
    """

    near: canvas.Box
    channels: tuple[Channels, ...]

    @classmethod
    def of(cls, job: Job, near: canvas.Box, known: np.ndarray, colour: np.ndarray) -> Stack:
        """For the maps of a job with (H, W) bool of what is ``known`` in ``near``, and (H, W, 3) the encoded colour
        there.

        Raises:
            BadInput: a normal without direction among what is known.
        """
        contrast = max(LEAST_CONTRAST, _contrast(colour, known))
        return cls(near, tuple(_channels(each, job.linear, near, known, contrast) for each in job.maps))

    def encoded(self) -> np.ndarray:
        """(near.height, near.width, C) float32."""
        return np.concatenate([each.encoded(each.map.pixels[self.near.slices]) for each in self.channels], axis=2)

    def decoded(self, channels: np.ndarray) -> list[np.ndarray]:
        """(H, W, C) → (H, W, 3) float32 of each map, in its unit."""
        ends = np.cumsum([each.count for each in self.channels])[:-1]
        parts = np.split(channels, ends, axis=2)
        return [each.decoded(part) for each, part in zip(self.channels, parts, strict=True)]


def usable(maps: Sequence[Map], near: canvas.Box, known: np.ndarray, scale: float) -> np.ndarray:
    """(H, W) bool in ``near``: what is ``known`` there and of which every map has a value.

    Raises:
        BadInput: nothing is left, or too small a part for patches.
    """
    if scale * min(near.width, near.height) < 2 * SIDE:
        raise BadInput(
            "bad_maps", f"Maps need a picture of at least {2 * SIDE} × {2 * SIDE} pixels; take a larger one."
        )
    for each in maps:
        there = canvas.opaque(each.pixels[near.slices])
        if known.any() and not (known & there).any():
            sentence = f"The map {each.name} is empty around the selection; fill it there, or leave it out."
            raise BadInput("empty_map", sentence)
        known = known & there
    return known


def unit(vectors: np.ndarray) -> np.ndarray:
    """(H, W, 3) of length 1; what has no direction points straight up."""
    length = np.sqrt(np.square(vectors).sum(2, keepdims=True))
    return np.where(length > 1e-3, vectors / np.maximum(length, 1e-3), np.array([0, 0, 1], np.float32))


def renewed(colours: np.ndarray) -> np.ndarray:
    """(H, W, 3) integers, or floats with signs, that hold normals, of length 1 again."""
    if _signed(colours.reshape(-1, 3)):
        return unit(colours.astype(np.float32)).astype(colours.dtype)
    return canvas.stored((unit(canvas.in_unit(colours) * 2 - 1) + 1) / 2, colours.dtype)


def _signed(normals: np.ndarray) -> bool:
    """Whether (N, 3) hold components −1 … 1 as they are: floats of which some are below 0, or, where none is, whose
    length is nearer to 1 so than if 0 … 1 stood for them."""
    if normals.dtype.kind != "f":
        return False
    if bool((normals < -0.01).any()):
        return True
    some = normals[:: -(-max(1, len(normals)) // SAMPLES)].astype(np.float64)
    some = some[np.isfinite(some).all(1)]
    plain, stored = (np.abs(np.square(each).sum(1) - 1).sum() for each in (some, 2 * some - 1))
    return bool(plain < stored)


def _channels(each: Map, linear: bool, near: canvas.Box, known: np.ndarray, contrast: float) -> Channels:
    pixels = each.pixels[near.slices]
    light = Light.of(pixels, known, linear) if each.kind == "colour" else None
    some = pixels[known]
    alike = bool((some[:, 1:3] == some[:, :1]).all())
    signed = each.kind == "normal" and _signed(some[:, :3])
    plain = Channels(each, light, alike and each.kind != "normal", signed)
    values = plain._values(some[None])[0]
    if each.kind == "normal" and len(values) and float(np.square(values).sum(1).min()) < ZERO**2:
        sentence = f"The map {each.name} has normals of length 0; repair it, or fill it as values or colour."
        raise BadInput("bad_normals", sentence)
    if not len(values):
        return plain
    own, centre = _contrast(values[None], None), float(values.mean())
    stretch = 2.0 ** round(math.log2(contrast / own)) if own > 1e-9 else 1.0
    return Channels(each, light, plain.gray, signed, centre, stretch * math.sqrt(each.weight))


def _contrast(values: np.ndarray, known: np.ndarray | None) -> float:
    """The root of the variance, summed over the channels."""
    some = values.reshape(-1, values.shape[2]) if known is None else values[known]
    some = some[:: -(-max(1, len(some)) // SAMPLES)]
    return math.sqrt(float(some.astype(np.float64).var(0).sum())) if len(some) else 0.0
