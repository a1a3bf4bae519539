"""Picture files: every kind that is read and written, what it holds beside pixels, its colours; masks in files.

:mod:`engine.files.imagefile` reads and writes, :mod:`engine.files.containers` knows what each kind of file can hold,
:mod:`engine.files.colour` converts between colour profiles, :mod:`engine.files.maskfile` looks at masks.
"""

from engine.files.picture import Picture, colours_of, nearest

__all__ = ["Picture", "colours_of", "nearest"]
