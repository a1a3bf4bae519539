"""Sizes that :mod:`engine.exemplar.octaves` and the loops of :mod:`engine.exemplar.matching` share."""

SIDE = 8
"""Pixels a side of a patch: eight float32 fill a vector register of most processors."""
NEIGHBOURS = 8
TRIES = 4
"""Random places that a target looks at in a round, each within a quarter of the distance of the one before."""
