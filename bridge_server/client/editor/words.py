"""The artist's language: every sentence of the plug-in is English in the code and looked up here when it is shown.

A language is a file in `languages`, compiled from the project's docs/translations/*.po (docs/translating.md) and read
with Python's own gettext; what it lacks stays English. The bridge's own sentences pass through here, too.
"""

from __future__ import annotations

import gettext
import re
import struct
from pathlib import Path
from typing import List, NamedTuple

FOLDER = Path(__file__).parent / "languages"
ALSO = {"pt": "pt_BR", "zh_SG": "zh_CN", "zh_Hans": "zh_CN"}  # who reads these reads those
_language = gettext.NullTranslations()


class Plural(NamedTuple):
    """A sentence that counts, in English: of one, and of any other number."""

    one: str
    many: str


def choose(locale: str) -> None:
    """Takes the language of a locale's name such as "de_AT.UTF-8"; English if there is none, or its file is broken."""
    global _language
    _language = gettext.NullTranslations()
    parts = re.split("[.@]", locale.replace("-", "_"))[0].split("_")
    for count in range(len(parts), 0, -1):
        name = "_".join(parts[:count])
        try:
            with open(FOLDER / (ALSO.get(name, name) + ".mo"), "rb") as file:
                _language = gettext.GNUTranslations(file)
            return
        except (OSError, ValueError, LookupError, struct.error):
            continue


def tr(sentence: str) -> str:
    """The sentence in the chosen language; fields in braces are filled in afterwards."""
    return _sound(_language.gettext(sentence), sentence) if sentence else ""


def ntr(sentence: Plural, number: int) -> str:
    """The same of a sentence that counts ``number`` things."""
    english = sentence.one if number == 1 else sentence.many
    return _sound(_language.ngettext(*sentence, number), english)


def unmarked(text: str) -> str:
    """A label without the mark of its key: "Model" of "&Model", "モデル" of "モデル(&M)"."""
    return re.sub(r"\(&.\)", "", text).replace("&", "")


def _sound(translated: str, english: str) -> str:
    """The translation, unless its fields are not those of the English, so that they could not be filled in."""
    return translated if translated is english or placeholders(translated) == placeholders(english) else english


def placeholders(text: str) -> List[str]:
    """The fields in braces, and braces that are none, sorted."""
    return sorted(re.findall(r"{\w*}|[{}]", text))
