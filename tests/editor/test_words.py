"""The languages: complete, without leftovers, with the same fields and as many accelerators as the English.

What is shown stands in tables: `sentences`, `fields`, `labels`, the kinds of branches, and what only one editor says.
Everything else may call `tr` and its like with names only, so that nothing is shown that is in no table.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo

from bridge_server.client.editor import fields, labels, sentences, words
from install import languages

ROOT = Path(__file__).parents[2]
EDITOR = ROOT / "bridge_server/client/editor"
WINDOWS = (ROOT / "bridge_server/client/qt", ROOT / "bridge_server/client/gtk")
PLUGINS = (ROOT / "krita_plugin/repaint_krita", ROOT / "gimp_plugin/repaint_gimp")
NEEDS_A_NAME = ("tr", "ntr", "say", "Refused", "_stop", "_failed", "note", "setText", "set_text", "setWindowTitle")


FILES = sorted(path.stem for path in languages.FOLDER.glob("*.po"))
COMPLETE = ("de", "es", "fr", "it", "ja", "pl", "pt_BR", "uk", "zh_CN")
"""Of these no sentence may be missing: run ``python -m install.languages``, then translate what is new."""


def forms(message: Message) -> list[tuple[str, str]]:
    """(English, translation), of a sentence that counts each form of the language beside the English of many."""
    if isinstance(message.id, tuple):
        return [(message.id[1], each) for each in message.string]
    return [(message.id, message.string)]


def hashable(text: str | list[str] | tuple[str, ...]) -> str | tuple[str, ...]:
    return text if isinstance(text, str) else tuple(text)


def catalogue(language: str) -> dict[str | tuple[str, ...], Message]:
    read = languages.load(languages.FOLDER / f"{language}.po")
    return {message.id: message for message in read if message.id}


def test_every_language_has_its_file_and_every_file_its_language() -> None:
    compiled = {path.stem for path in words.FOLDER.iterdir()}
    assert compiled == set(FILES) >= set(COMPLETE)


@pytest.mark.parametrize("language", COMPLETE)
def test_a_language_is_complete(language: str) -> None:
    read = catalogue(language)
    lacking = [message.id for message in languages.template() if message.id and message.id not in read]
    lacking += [name for name, message in read.items() if not languages.translated(message)]
    assert not lacking, f"python -m install.languages, then translate in docs/translations/{language}.po: {lacking}"


@pytest.mark.parametrize("language", FILES)
def test_a_translation_is_sound(language: str) -> None:
    """The same fields and accelerators as the English, nothing that is said no more, compiled as it stands."""
    known = {message.id for message in languages.template()}
    read = catalogue(language)
    assert not set(read) - known, f"python -m install.languages: {set(read) - known}"
    for english, translated in (pair for message in read.values() for pair in forms(message)):
        if translated:
            assert words.placeholders(translated) == words.placeholders(english), english
            assert english.count("&") == translated.count("&"), english
            assert translated.strip() == translated, english
    with (words.FOLDER / f"{language}.mo").open("rb") as file:
        compiled = {hashable(each.id): hashable(each.string) for each in read_mo(file) if each.id}
    whole = {name: hashable(each.string) for name, each in read.items() if languages.translated(each)}
    assert compiled == whole, "python -m install.languages compiles it"


def test_what_the_bridge_and_the_engine_say_is_said_by_them() -> None:
    others = [*(ROOT / "engine").rglob("*.py"), *(ROOT / "bridge_server").rglob("*.py")]
    said = "\n".join(path.read_text(encoding="utf-8") for path in others if EDITOR not in path.parents)
    leftovers = [sentence for sentence in sentences.HEARD if sentence[:40] not in said]
    assert not leftovers, leftovers


@pytest.mark.parametrize("folder", [EDITOR, *WINDOWS, *PLUGINS], ids=lambda folder: folder.name)
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
    for language in ("", *FILES):
        words.choose(language)
        try:
            always = [each.label for each in (*fields.COMMON, *fields.MATERIAL)] + [
                labels.BUTTONS[n][0] for n in ("keep", "cancel")
            ]
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


@pytest.mark.parametrize(
    ("locale", "read"),
    [
        ("pt_PT.UTF-8", "pt_BR"),
        ("pt", "pt_BR"),
        ("zh_CN", "zh_CN"),
        ("zh-Hans-CN", "zh_CN"),
        ("zh_SG", "zh_CN"),
        ("zh_TW", ""),
        ("ja_JP.eucJP@yes", "ja"),
        ("../de", ""),
    ],
)
def test_a_locale_of_relatives_chooses_the_file_that_is_there(
    locale: str, read: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pt_BR", "zh_CN", "ja"):
        made(tmp_path / f"{name}.mo", {"Cancelled.": name})
    monkeypatch.setattr(words, "FOLDER", tmp_path)
    try:
        words.choose(locale)
        assert words.tr("Cancelled.") == (read or "Cancelled.")
    finally:
        words.choose("en")


def made(path: Path, strings: dict[str | tuple[str, ...], str | tuple[str, ...]]) -> bytes:
    catalog = Catalog(locale="pl")
    for english, translated in strings.items():
        catalog.add(english, translated)
    languages.compile_to(catalog, path)
    return path.read_bytes()


def test_a_translation_with_wrong_fields_stays_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = sentences.HISTORY
    wrong = {
        sentences.DONE: "Gotowe.",
        sentences.STEP: "krok {col}",
        sentences.SEED: "Ziarno {seed",
        sentences.APPLIED: "Zastosowano: {layer}.",
        tuple(counted): ("{count} obraz, {used} z {limit}", "{ile} obrazy", "{count} obrazów, {used} z {limit}"),
    }
    made(tmp_path / "pl.mo", wrong)
    monkeypatch.setattr(words, "FOLDER", tmp_path)
    try:
        words.choose("pl_PL")
        assert words.tr(sentences.APPLIED) == "Zastosowano: {layer}."
        for english in (sentences.DONE, sentences.STEP, sentences.SEED):
            assert words.tr(english) == english
        for count, expected in ((1, "{count} obraz,"), (2, "History: {count} pictures,"), (5, "{count} obrazów,")):
            assert words.ntr(counted, count).startswith(expected)
    finally:
        words.choose("en")


def test_a_broken_file_is_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = made(tmp_path / "pl.mo", {sentences.DONE: "Gotowe: {seconds} s.", tuple(sentences.HISTORY): ("", "", "")})
    monkeypatch.setattr(words, "FOLDER", tmp_path)
    broken = [whole[:end] for end in range(0, len(whole) - 1, 3)]
    broken += [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(len(whole))]
    try:
        for content in broken:
            (tmp_path / "pl.mo").write_bytes(content)
            words.choose("pl")
            assert words.tr(sentences.DONE).count("{seconds}") == 1
            assert words.ntr(sentences.HISTORY, 2)
    finally:
        words.choose("en")


def test_a_label_without_its_key() -> None:
    assert [words.unmarked(each) for each in ("&Model", "Vor&gabe", "モデル(&M)", "画像 (A)")] == [
        "Model", "Vorgabe", "モデル", "画像 (A)",
    ]  # fmt: skip
