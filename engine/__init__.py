"""RePaint Bridge engine: arrays in, arrays out. It knows no socket and no editor.

Importing this package sets OpenMP to wait passively *before* torch can be loaded: beside a painting program the
default spinning threads cost more than they gain (measured factor above ten with a busy neighbour).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")

from engine.version import __version__

__all__ = ["__version__"]
