"""The training corpus: pictures of clean licence, filtered, deduplicated, a tenth held out by whole source picture.

:func:`engine.data.build.build` gathers it.
"""

import os
from pathlib import Path

import platformdirs

from engine.data.crops import Crops
from engine.data.manifest import Manifest, write_atomic

__all__ = ["Crops", "Manifest", "default_folder", "write_atomic"]


def default_folder() -> Path:
    """Where the corpus lies unless told otherwise: the user's cache folder."""
    home = os.environ.get("REPAINT_BRIDGE_HOME")
    cache = Path(home) / "cache" if home else platformdirs.user_cache_path("repaint-bridge", appauthor=False)
    return cache / "corpus"
