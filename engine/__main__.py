"""``python -m engine``: files in, files out. Exit codes: 0; 2 usage or bad input; 3 engine failure; 130 Ctrl+C."""

from __future__ import annotations

import sys


def start() -> int:
    """Run the command line; Ctrl+C is one line also while the program is being loaded."""
    try:
        from engine.loading import without_looking_for_garbage
        from engine.untrusted import own_input

        with without_looking_for_garbage():
            from engine.commands.cli import main

        own_input()
        return main()
    except KeyboardInterrupt:
        print("Cancelled; nothing was written.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(start())
