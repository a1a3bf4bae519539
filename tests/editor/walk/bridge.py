"""The bridge, followed, and its workers as well."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3]))

if __name__ == "__main__":
    from follow import follow

    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent)  # of the workers: `sitecustomize.py` lies there
    follow()
    from bridge_server.__main__ import main

    sys.exit(main())
