"""``python -m engine``: files in, files out. Exit codes: 0; 2 usage or bad input; 3 engine failure."""

from __future__ import annotations

import sys

from engine.commands.cli import main
from engine.untrusted import own_input

if __name__ == "__main__":
    own_input()
    sys.exit(main())
