"""What ``repaint-bridge`` does beside the bridge itself: plug-ins, a look at everything, removal. The standard library
only, so that it also runs from a checkout in which nothing has been set up."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""Where the project lies: its folder, or ``site-packages``."""


def version() -> str:
    tree = ast.parse((ROOT / "engine" / "version.py").read_text(encoding="utf-8"))
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    return str(ast.literal_eval(values[0]))


def front() -> str:
    """How these commands are called here: through installer.py in a checkout, else by their own name."""
    return "python3 installer.py" if (ROOT / "installer.py").is_file() else "repaint-bridge"
