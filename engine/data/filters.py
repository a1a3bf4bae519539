"""Which pictures are textures: rules on names, statistics of pixels, and a hash that finds near-duplicates."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

import cv2
import numpy as np

MIN_SIDE = 96
_UNWANTED_FOLDERS = re.compile(
    r"(^|[/_])(env|sky|skies|lights?|flares?|s?fx|effects|flags?|signs?|symbols|buttons?|clown|doors?|pics|shop|anim"
    r"|common|furniture|vehicles|ufo|items|domination|portals|race|documents|shaders|fogs|skin|mapobjects"
    r"|terrain_alphafade|terrain_dotproduct2(projected)?|nexball|icons?|oquartz|liquids|misc|proto2?|tutorial|lun3dm.*"
    r"|levelshots|menu|gfx|hud|alienb|tech|patterns)(/|$)",
    re.IGNORECASE,
)
_UNWANTED_NAMES = re.compile(
    r"(logo|text|letter|number|poster|banner|sign|symbol|arrow|decal|icon|font|title|screen|monitor|console|panel|button"
    r"|lamp|light|lite|bulb|flare|glow|beam|sky|flag|window|glass|door|sprite|skull|eye|picture|paint"
    r"|painting|grate|fence|ladder|chain|rope|cross|blood|splat|scorch|caulk|clip|trigger|hint|nodraw|teleport|portal"
    r"|jumppad|launch|switch|computer|keyboard|book|magazine|paper|bill|shirt|pants|license|danger|warning|caution|exit"
    r"|konqui|vending|graffiti|score|tire|tyre|wheel|hieroglyph|glyph|relief|statue|mask|anubis|scarab)",
    re.IGNORECASE,
)
_UNWANTED_ENDINGS = re.compile(
    r"[_-]?(nm|norm|normal|bump|height|gloss|glossy|glow|spec|sm|gm|rm|local|luma|add|blend|alpha|reflect|mask|fx"
    r"|pants|shirt|shine|env|light|dark_glow)\d*$",
    re.IGNORECASE,
)


def wanted_name(path: str) -> bool:
    """False for paths that by their words hold signs, lamps, doors, skies, light maps, normal maps, icons …"""
    pure = PurePosixPath(path)
    if _UNWANTED_FOLDERS.search(str(pure.parent)):
        return False
    return not _UNWANTED_NAMES.search(pure.stem) and not _UNWANTED_ENDINGS.search(pure.stem)


def rejection(rgb: np.ndarray, alpha: np.ndarray | None = None, *, photograph: bool = False) -> str:
    """Why a picture is no good for training; empty when it is good.

    Args:
        rgb: uint8 (H, W, 3).
        alpha: uint8 (H, W) or None.
        photograph: photographs may have large calm areas (a sky, a soft background).
    """
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        return "too small"
    if alpha is not None and float(np.mean(alpha < 250)) > 0.02:
        return "cut out"
    mean = rgb.reshape(-1, 3).mean(axis=0)
    if abs(mean[0] - 128) < 24 and abs(mean[1] - 128) < 24 and mean[2] > 195:
        return "normal map"
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if gray.mean() < 14 or gray.mean() > 246:
        return "nearly black or white"
    if gray.std() < 5:
        return "flat"
    blocks = gray[: height // 8 * 8, : width // 8 * 8].reshape(height // 8, 8, width // 8, 8)
    flat_share = float(np.mean(blocks.std(axis=(1, 3)) < 1.5))
    if flat_share > (0.75 if photograph else 0.4):
        return "mostly flat"
    colours = np.unique((rgb >> 3).reshape(-1, 3).astype(np.int32) @ np.array([1024, 32, 1]))
    if colours.size < 20:
        return "few colours"
    if not photograph and few_tones(gray):
        return "drawing"
    if not photograph and not stationary(gray):
        return "not alike all over"
    return ""


def stationary(gray: np.ndarray) -> bool:
    """Whether a picture looks alike all over, as textures do and windows, lettering and model skins do not.

    Measured over 4×4 parts: the spread of their mean gray against the spread of all pixels, and the spread of the
    logarithm of their mean gradient.
    """
    field = gray.astype(np.float32)
    slope = np.abs(np.diff(field, axis=1, append=field[:, -1:]))
    means, detail = (cv2.resize(values, (4, 4), interpolation=cv2.INTER_AREA) for values in (field, slope))
    mean_spread = float(means.std() / (field.std() + 3.0))
    detail_spread = float(np.log(detail + 0.7).std())
    return mean_spread <= 0.48 and detail_spread <= 0.38


def few_tones(gray: np.ndarray) -> bool:
    """True for lettering and drawings: most pixels lie in two narrow bands of gray with little between."""
    histogram = np.bincount(gray.ravel(), minlength=256) / gray.size
    narrow = np.convolve(histogram, np.ones(5), "same")
    first = int(narrow.argmax())
    rest = narrow.copy()
    rest[max(0, first - 24) : first + 25] = 0
    return bool(narrow[first] > 0.3 and narrow[first] + rest.max() > 0.75)


def difference_hash(rgb: np.ndarray) -> np.ndarray:
    """256 bits: whether brightness rises from each cell of a 16×17 reduction to the next. Shape (32,) uint8."""
    gray = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (17, 16), interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.packbits((gray[:, 1:] > gray[:, :-1]).ravel())


class Deduplicator:
    """Remembers hashes; a picture within ``distance`` of 256 bits of an earlier one is a duplicate."""

    def __init__(self, distance: int = 26) -> None:
        self.distance = distance
        self._hashes = np.zeros((0, 32), dtype=np.uint8)

    def is_new(self, rgb: np.ndarray) -> bool:
        """True, and remembered, if nothing alike came before."""
        own = difference_hash(rgb)
        if self._hashes.size:
            bits = np.unpackbits(self._hashes ^ own, axis=1).sum(axis=1)
            if int(bits.min()) <= self.distance:
                return False
        self._hashes = np.vstack([self._hashes, own])
        return True


def group_of(source: str, path: str) -> str:
    """The whole source picture that a file belongs to: numbered and lettered versions of one picture are one group."""
    pure = PurePosixPath(path.lower())
    stem = re.sub(r"([_-]?\d+[a-f]?|[_-][a-f])+$", "", pure.stem) or pure.stem
    return f"{source}:{pure.parent.name}/{stem}"


def held_out(group: str) -> bool:
    """A tenth of all groups, by name: the same on every machine and in every version."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big") % 10 == 0
