"""The canvas: rectangles, which part of a picture is seen at what scale, in which windows and order, and the way back.

Its further modules: :mod:`engine.canvas.stages`, the order of large areas; :mod:`engine.canvas.extend`, enlarged and
framed pictures; :mod:`engine.canvas.palette`, few colours; :mod:`engine.canvas.grain`, the finest detail;
:mod:`engine.canvas.seam`, whether a seam shows. Files are in :mod:`engine.files`.
"""

from engine.canvas.boxes import (
    DEPTHS,
    HALF,
    MAX_SIDE,
    NO_WRAP,
    OPAQUE,
    WRAPS,
    Box,
    Geometry,
    Wraps,
    axes,
    bounds,
    check,
    check_sizes,
    cover,
    distance_to_known,
    grown,
    in_relation,
    opaque,
    solid,
    whole,
)
from engine.canvas.channels import in_parts
from engine.canvas.compositing import composite, layer, over
from engine.canvas.light import Light, in_unit, stored
from engine.canvas.planning import (
    BATCH_AREA,
    MAX_LOOKED,
    MAX_MODEL_AREA,
    Plan,
    checked_scale,
    checked_size,
    context,
    model_input,
    picture_fill,
    plan,
    surroundings,
    usual_surroundings,
)
from engine.canvas.smooth import smooth_fill
from engine.canvas.splitting import Place, places
from engine.canvas.windows import OVERLAP_SHARE

__all__ = [
    "BATCH_AREA",
    "DEPTHS",
    "HALF",
    "MAX_LOOKED",
    "MAX_MODEL_AREA",
    "MAX_SIDE",
    "NO_WRAP",
    "OPAQUE",
    "OVERLAP_SHARE",
    "WRAPS",
    "Box",
    "Geometry",
    "Light",
    "Place",
    "Plan",
    "Wraps",
    "axes",
    "bounds",
    "check",
    "check_sizes",
    "checked_scale",
    "checked_size",
    "composite",
    "context",
    "cover",
    "distance_to_known",
    "grown",
    "in_parts",
    "in_relation",
    "in_unit",
    "layer",
    "model_input",
    "opaque",
    "over",
    "picture_fill",
    "places",
    "plan",
    "smooth_fill",
    "solid",
    "stored",
    "surroundings",
    "usual_surroundings",
    "whole",
]
