"""Python runs this at its start where this folder is on its path: in the bridge's workers, see `bridge.py`."""

import signal

from follow import follow

signal.signal(signal.SIGUSR1, lambda *_: follow())  # not from the start: it slows the import of torch, and compilers
