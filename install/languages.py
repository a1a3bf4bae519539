"""``python -m install.languages``: brings docs/translations up to date with what the editors show.

Collects every sentence into repaint.pot there, hands new and changed ones to each *.po, and compiles those for the
plug-ins, which read them with Python's own gettext. Needs babel; nothing is translated here (docs/translating.md).
"""

from __future__ import annotations

import importlib.util
import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from bridge_server.client.editor import fields, labels, sentences, texts, words
from bridge_server.client.setup import sentences as of_the_set_up
from install.environment import ROOT

FOLDER = ROOT / "docs" / "translations"
TEMPLATE = FOLDER / "repaint.pot"
HEADER = "# What RePaint says in Krita and GIMP. How to translate it: docs/translating.md"
DATE = datetime(2026, 1, 1, tzinfo=UTC)  # of all files: git knows the true ones

Text = str | words.Plural


def plugin_sentences(editor: str) -> ModuleType:
    """The table of a plug-in without the rest of it, which only its editor can import."""
    path = ROOT / f"{editor}_plugin/repaint_{editor}/sentences.py"
    spec = importlib.util.spec_from_file_location(f"{editor}_sentences", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _constants(module: ModuleType) -> list[Text]:
    return [value for name, value in vars(module).items() if name.isupper() and isinstance(value, (str, words.Plural))]


def shown() -> Iterator[tuple[str, Text]]:
    """(file, sentence) of everything that the editors show, in the order of the tables."""
    krita, gimp = plugin_sentences("krita"), plugin_sentences("gimp")
    buttons = [text for pair in labels.BUTTONS.values() for text in pair]
    tables: list[tuple[ModuleType, list[Text]]] = [
        (fields, [*fields.texts()]),
        (labels, [*buttons, *labels.TIPS.values(), *labels.SURE.values(), *_constants(labels)]),
        (texts, [text for _, text in texts.KINDS]),
        (sentences, [*_constants(sentences), *sentences.HEARD]),
        (of_the_set_up, _constants(of_the_set_up)),
        (krita, [*_constants(krita), *krita.ACTIONS.values()]),
        (gimp, [*_constants(gimp), *(text for entry in gimp.MENU.values() for text in entry)]),
    ]
    for module, found in tables:
        assert module.__file__ is not None
        for text in found:
            if text:
                yield Path(module.__file__).relative_to(ROOT).as_posix(), text


def each_form() -> list[str]:
    """All of `shown`; of sentences that count, both forms."""
    return [text for _, found in shown() for text in (found if isinstance(found, words.Plural) else (found,))]


def template() -> Catalog:
    """All of `shown`, without translations."""
    catalog = Catalog(project="RePaint Bridge", header_comment=HEADER, creation_date=DATE, charset="utf-8")
    for file, text in shown():
        catalog.add(tuple(text) if isinstance(text, words.Plural) else text, locations=[(file, 0)])
    return catalog


def load(path: Path) -> Catalog:
    """A language's .po file; its name is the locale's."""
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def save(catalog: Catalog, path: Path) -> None:
    """Write a .po or .pot file that says nothing of when and by what it was written."""
    text = io.BytesIO()
    write_po(text, catalog, width=100, include_lineno=False, ignore_obsolete=True, include_previous=True)
    without = rb'"(POT-Creation|PO-Revision|Generated-By|Report-Msgid|Project-Id|Last-Translator: F)[^\n]*\n'
    path.write_bytes(re.sub(without, b"", text.getvalue()))


def compile_to(catalog: Catalog, path: Path) -> None:
    """Write the .mo file that the plug-ins read; what is not translated, or only guessed, is left out."""
    catalog.creation_date = catalog.revision_date = DATE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_mo(file, catalog)


def main() -> None:
    """Remake the template and every language; says how many sentences each lacks."""
    now = template()
    save(now, TEMPLATE)
    for path in sorted(FOLDER.glob("*.po")):
        catalog = load(path)
        catalog.update(now)
        save(catalog, path)
        compile_to(catalog, words.FOLDER / f"{path.stem}.mo")
        lacking = [message for message in catalog if message.id and not translated(message)]
        print(f"{path.stem}: {len(catalog)} sentences, {len(lacking)} to translate")


def translated(message: Message) -> bool:
    """Whether it is, in all its plural forms, and not only guessed from a sentence that was changed."""
    forms = (message.string,) if isinstance(message.string, str) else message.string or ("",)
    return not message.fuzzy and all(forms)


if __name__ == "__main__":
    main()
