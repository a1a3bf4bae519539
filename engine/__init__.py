"""RePaint Bridge engine: arrays in, arrays out. It knows no socket and no editor.

Importing this package tells OpenMP how threads wait for each other *before* torch can be loaded: beside a painting
program the default spinning costs more than it gains, and without any spinning every small layer waits to be woken. Two
threads of two, the texture network at 128 px, ms a call, alone and beside a busy neighbour: default 67 and 346, no
spinning 108 and 128, a thousand turns 74 and 149.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("KMP_BLOCKTIME", "0")

from engine.version import __version__

__all__ = ["__version__"]
