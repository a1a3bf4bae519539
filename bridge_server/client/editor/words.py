"""The artist's language: every sentence of the plug-in is English in the code and looked up here when it is shown.

A language is a module of this package with `WORDS`, English → translation; what it lacks stays English. The bridge's
own sentences pass through here, too.
"""

from __future__ import annotations

import importlib
from typing import Dict

LANGUAGES = {"de": "german", "fr": "french"}
_words: Dict[str, str] = {}


def choose(locale: str) -> None:
    """Takes the language of a locale's name such as "de_AT"; English if there is none."""
    _words.clear()
    module = LANGUAGES.get(locale.replace("-", "_").split("_")[0].lower())
    if module is not None:
        _words.update(importlib.import_module("." + module, __package__).WORDS)


def tr(sentence: str) -> str:
    """The sentence in the chosen language; fields in braces are filled in afterwards."""
    return _words.get(sentence, sentence)
