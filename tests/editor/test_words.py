"""The languages: complete, without leftovers, with the same fields and as many accelerators as the English.

What is shown stands in tables: `sentences`, `fields`, `labels`, the kinds of branches, and what only one editor says.
Everything else may call `tr` and its like with names only, so that nothing is shown that is in no table.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bridge_server.client.editor import fields, labels, sentences, texts, words
from bridge_server.client.setup import sentences as of_the_set_up

ROOT = Path(__file__).parents[2]
EDITOR = ROOT / "bridge_server/client/editor"
PLUGINS = (ROOT / "krita_plugin/repaint_krita", ROOT / "gimp_plugin/repaint_gimp")
NEEDS_A_NAME = ("tr", "say", "Refused", "_stop", "_failed", "note", "setText", "set_text", "setWindowTitle")


def own(folder: Path) -> ModuleType:
    """The table of sentences of a plug-in, without the rest of it, which only its editor can import."""
    spec = importlib.util.spec_from_file_location(folder.name + "_sentences", folder / "sentences.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def constants(module: ModuleType) -> list[str]:
    return [value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)]


def shown() -> set[str]:
    krita, gimp = (own(folder) for folder in PLUGINS)
    found = [*constants(sentences), *constants(krita), *constants(gimp), *fields.texts()]
    found += [*constants(of_the_set_up), *constants(labels)]
    found += [text for pair in labels.BUTTONS.values() for text in pair]
    found += [*labels.TIPS.values(), *labels.SURE.values(), *(text for _, text in texts.KINDS)]
    found += [*krita.ACTIONS.values(), *(text for entry in gimp.MENU.values() for text in entry)]
    return {text for text in found if text}


@pytest.mark.parametrize("language", sorted(words.LANGUAGES))
def test_a_language_is_complete(language: str) -> None:
    catalogue = importlib.import_module("bridge_server.client.editor." + words.LANGUAGES[language]).WORDS
    missing = sorted(shown() - set(catalogue))
    assert not missing, "\n".join(missing)
    for english, translated in catalogue.items():
        assert sorted(re.findall(r"{\w*}", english)) == sorted(re.findall(r"{\w*}", translated)), english
        assert english.count("&") == translated.count("&"), english
        assert translated.strip()
    # the sentences of the bridge and the engine are shown, too
    others = [*(ROOT / "engine").rglob("*.py"), *(ROOT / "bridge_server").rglob("*.py")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in others if EDITOR not in path.parents)
    leftovers = [english for english in catalogue if english not in shown() and english[:40] not in said]
    assert not leftovers, leftovers


@pytest.mark.parametrize("folder", [EDITOR, *PLUGINS], ids=lambda folder: folder.name)
def test_what_is_shown_stands_in_a_table(folder: Path) -> None:
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                given = [each.value for each in node.args if isinstance(each, ast.Constant)]
                texts_given = [text for text in given if isinstance(text, str) and text and text != "RePaint"]
                assert name not in NEEDS_A_NAME or not texts_given, f"{path.name}: {name}({texts_given})"


def test_accelerators_of_a_page_differ() -> None:
    """What can be pressed with Alt at the same time has different keys, in every language."""
    for language in ("", *words.LANGUAGES):
        words.choose(language)
        try:
            always = [each.label for each in fields.COMMON] + [labels.BUTTONS[n][0] for n in ("keep", "cancel")]
            for page in fields.PAGES:
                texts_there = always + [each.label for each in page.fields] + [page.button[0]]
                keys = [key.lower() for text in texts_there for key in re.findall("&(.)", words.tr(text))]
                assert len(keys) == len(set(keys)), (language, page.name, sorted(keys))
        finally:
            words.choose("en")


def test_a_locale_chooses_its_language_and_others_stay_english() -> None:
    try:
        for locale in ("de", "de_AT", "de-CH.UTF-8"):
            words.choose(locale)
            assert words.tr("Cancelled.") == "Abgebrochen."
        for locale in ("", "C", "en_GB", "xx_XX"):
            words.choose(locale)
            assert words.tr("Cancelled.") == "Cancelled."
        assert words.tr("said by a newer bridge") == "said by a newer bridge"
    finally:
        words.choose("en")
