"""``python -m tests.setup.program KIT [SOURCE]``: a set-up in a process of its own; says how it ended."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from bridge_server.client import setup


def main() -> None:
    kit, source = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    one = setup.SetUp(kit, setup.plan(kit, source), source)
    one.start()
    last = ""
    while one.shown().state in ("idle", "running"):
        now = next((step.label for step in one.shown().steps if step.state == "running"), one.shown().sentence)
        if now != last:
            print(now, flush=True)
            last = now
        time.sleep(0.005)
    print(one.shown().state, one.shown().sentence, flush=True)


if __name__ == "__main__":
    main()
