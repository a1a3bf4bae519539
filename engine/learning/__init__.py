"""Learning: a texture model from a corpus, and one picture's texture within seconds.

:mod:`engine.learning.adapt` learns a picture; :mod:`engine.learning.train` and :mod:`engine.learning.export` make a
model of a corpus and load more libraries, so who needs them imports them.
"""

from engine.learning.adapt import Learning

__all__ = [
    "Learning",
]
