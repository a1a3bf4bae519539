"""The languages: complete, without leftovers, with the same fields and as many accelerators as the English."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from bridge_server.client.editor import words

ROOT = Path(__file__).parents[2]
EDITOR = ROOT / "bridge_server/client/editor"
FOLDERS = (EDITOR, ROOT / "krita_plugin", ROOT / "gimp_plugin")

# function → which of its arguments are shown to the artist
SHOWN = {"tr": (0,), "note": (0,), "button": (1, 2), "main_button": (1, 2), "tool": (2,), "combo": (1,), "named": (2,),
         "spin": (1, 4, 5), "say": (0,), "Refused": (0,), "_stop": (0,), "_end": (1,),
         "Gesture": (0, 1), "_failed": (1,)}  # fmt: skip
TABLES = {"NUMBERS": (1, 2, 5, 6), "KINDS": (1,), "SIDES": (1,)}


def sources() -> list[Path]:
    """Files whose sentences are shown."""
    found = [path for folder in FOLDERS for path in sorted(folder.rglob("*.py")) if "_lib" not in path.parts]
    return [path for path in found if path.parent != EDITOR or path.stem not in words.LANGUAGES.values()]


def shown() -> set[str]:
    """Every English sentence of the plug-ins that passes through `tr`."""
    found: set[str] = set()
    for path in sources():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for name, places in TABLES.items():
            for entry in getattr(constants.get(name), "elts", ()):
                found |= {entry.elts[place].value for place in places if place < len(entry.elts)}
        for name in ("PRESETS", "MODELS"):
            if isinstance(constants.get(name), ast.Dict):
                found |= {value.value for value in constants[name].values}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for place in SHOWN.get(name, ()):
                if place < len(node.args):
                    found |= set(_texts(node.args[place], constants))
            if name == "combo" and len(node.args) > 2 and isinstance(node.args[2], ast.List):
                found |= {e.elts[1].value for e in node.args[2].elts if isinstance(e, ast.Tuple)}
        if path == EDITOR / "download.py":  # its sentences are shown by the windows, too
            texts = (_texts(value, {}) for name, value in constants.items() if name.isupper())
            found |= {text for each in texts for text in each}
        if path.name == "extension.py":
            table = next(n for n in ast.walk(tree) if isinstance(n, ast.AnnAssign) and n.target.id == "ACTIONS")
            found |= {value.elts[0].value for value in table.value.values}
        if path.name == "docker.py":
            loop = re.search(r'PageButtons\(\(("Repaint".*?)\)\)', path.read_text(encoding="utf-8"))
            assert loop is not None
            found |= set(ast.literal_eval(f"({loop.group(1)})"))
        if path.name == "forms.py":
            calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "attr", "") == "_add"]
            found |= {n.args[1].value for n in calls if isinstance(n.args[1], ast.Constant)}
            found |= {"Prompt", "Not", "Guidance", "Class"}
    return {text for text in found if re.search("[A-Za-z]{2}|s", text)} - {"px", "MiB", "s"}


def _texts(node: ast.expr, constants: dict[str, ast.expr]) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.Name) and isinstance(constants.get(node.id), ast.Constant):
        return _texts(constants[node.id], constants)
    if isinstance(node, ast.IfExp):
        return _texts(node.body, constants) + _texts(node.orelse, constants)
    return []


@pytest.mark.parametrize("language", sorted(words.LANGUAGES))
def test_a_language_is_complete(language: str) -> None:
    catalogue = importlib.import_module("bridge_server.client.editor." + words.LANGUAGES[language]).WORDS
    others = [ROOT / "engine/api.py", *(ROOT / "bridge_server").glob("*.py")]  # their sentences are shown, too
    everything = "\n".join(path.read_text(encoding="utf-8") for path in [*sources(), *others])
    missing = sorted(shown() - set(catalogue))
    assert not missing, "\n".join(missing)
    for english, translated in catalogue.items():
        assert re.findall(r"{\w*}", english) == re.findall(r"{\w*}", translated), english
        assert english.count("&") == translated.count("&"), english
        assert translated.strip()
    leftovers = [english for english in catalogue if english.split("{")[0][:40] not in everything]
    assert not leftovers, leftovers


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
