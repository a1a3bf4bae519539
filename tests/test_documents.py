"""Documents say what is true: links lead somewhere, commands are understood, and what they quote stands in the code."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

import installer
from bridge_server.manage import version
from engine.commands.cli import main as engine_command
from engine.models.entries import known_models
from engine.sampling.presets import PRESETS
from install import languages
from tests.hosts import ROOTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
CARDS = sorted((ROOT / "engine").rglob("*.md"))
CODE = ("engine", "bridge_server", "krita_plugin", "gimp_plugin", "install", "tests")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.*)$", _text(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(_text(page)):
        if re.match(r"https?:", target):
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{target} does not exist"
        assert not anchor or anchor in _anchors(place), f"{target} has no heading #{anchor}"


def test_every_picture_is_shown_and_every_page_is_reached() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        if page.suffix == ".md":
            targets = {
                (page.parent / target).resolve() for target, _ in LINK.findall(_text(page)) if "://" not in target
            }
            ahead += [place for place in targets if place.is_file() and place not in reached]
    assert {path for path in DOCS.rglob("*") if path.suffix in (".md", ".png", ".jpg")} <= reached
    index = {(DOCS / target).resolve() for target, _ in LINK.findall(_text(DOCS / "README.md"))}
    assert {path for path in DOCS.rglob("*.md") if path.name != "README.md"} <= index


def test_readme_is_a_page_for_artists() -> None:
    text = _text(ROOT / "README.md")
    assert text.count("\n") <= 110
    assert text.count("```") // 2 <= 3
    for command in ("python3 installer.py demo", "python3 installer.py test"):
        assert command in text
    for word in ("PatchMatch", "never tried", "Set up", "Remove everything"):
        assert word in text


@pytest.mark.parametrize("page", sorted((DOCS / "reports").glob("*.md")), ids=_id)
def test_a_report_begins_with_what_was_found_and_for_whom(page: Path) -> None:
    text = _text(page)
    title, paragraph = text.split("\n\n")[:2]
    assert title.startswith("# ")
    assert re.match(r"For \w+", paragraph)
    beginning = text[: re.search(r"^(## |# (?!.*:)|\|)", text[len(title) :], re.M).start() + len(title)]  # type: ignore[union-attr]
    assert beginning.count("\n- ") >= 3
    assert beginning.count("\n") <= 40


def _commands(page: Path) -> list[str]:
    """Command lines in fenced blocks and in backticks, continued lines joined, without remarks."""
    text = _text(page).replace("\\\n", " ")
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`((?:python3 installer\.py|\.venv/bin/python -m engine) [^`…]+)`", text)
    return [line for line in lines if line.startswith(("python3 installer.py", ".venv/bin/python -m engine "))]


@pytest.mark.parametrize("page", [page for page in PAGES if _commands(page)], ids=_id)
def test_commands_are_understood(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """Parsed for real. The engine then finds that the pictures are missing; the installer does nothing here."""
    monkeypatch.chdir(tmp_path)
    for name in ("demo", "test", "plugin", "doctor", "uninstall", "package"):
        monkeypatch.setattr(installer, name, lambda _arguments: None)
    for command in _commands(page):
        for one, other in (("KIND", "adm-64"), ("legacy|new", "legacy"), ("[", ""), ("]", ""), (" W ", " 1 ")):
            command = command.replace(one, other)
        words = shlex.split(command)
        words += ["--limit", "0"] if words[3:4] == ["lab"] else []  # which needs no picture: no cell is begun
        try:
            status = installer.main(words[2:]) if "installer.py" in words[1] else engine_command(words[3:])
        except SystemExit as stop:
            pytest.fail(f"{command}: {stop}\n{capsys.readouterr().err}")
        said = capsys.readouterr().err
        assert status == 0 or re.fullmatch(r"error: .+\n", said), f"{command}: {said}"
        assert "inside the engine" not in said, command


def test_presets_models_and_versions_are_the_codes() -> None:
    table = dict(re.findall(r"^\| `(\w+)`.*\| (\d+) \|$", _text(DOCS / "guide/command-line.md"), re.M))
    assert table == {name: str(preset.calls) for name, preset in PRESETS.items()}
    models = _text(DOCS / "guide/models.md")
    assert {entry.id for entry in known_models()} <= set(re.findall(r"`([\w-]+)`", models))
    for page in PAGES:
        for named in re.findall(r"repaint_(?:krita|gimp)-([\d.]+\d)", _text(page)):
            assert named == version(), page


def test_editors_named_in_readme_are_those_of_the_report() -> None:
    """And each was tested in a root file system of tests/hosts.py, or is this project's first Krita, Debian 12's."""
    report, readme = _text(DOCS / "reports/hosts.md"), _text(ROOT / "README.md")
    tested = re.findall(r"^\| ((?:Krita|GIMP) [\d.]+) \| Debian", report, re.M)
    assert len(tested) == 1 + sum(len(root.packages) for root in ROOTS.values())
    for editor in ("Krita", "GIMP"):
        (row,) = re.findall(rf"^\| {editor} \|[^|]*\|([^|]*)\|", readme, re.M)
        assert re.findall(r"[\d.]+\d", row) == [name.split()[1] for name in tested if name.startswith(editor)]


def test_sizes_of_files_are_right() -> None:
    weights = sum(path.stat().st_size for path in (ROOT / "engine/weights/texture/unet").iterdir())
    (said,) = re.findall(r"with the Texture model \((\d+) MB\)", _text(DOCS / "files.md"))
    assert abs(weights / 1e6 - int(said)) < 1


def _strings() -> str:
    """All texts of the code; adjacent literals joined, gaps where values are put in."""
    texts = []
    for folder in CODE[:-1]:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(_text(path))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return "\n".join(texts)


def test_sentences_quoted_for_troubleshooting_are_the_programs_own() -> None:
    texts = _strings()
    bold = re.findall(r"^\*\*(.*?)\*\* ", _text(DOCS / "troubleshooting.md").replace("\n", " \n"), re.M)
    quoted = [words for line in bold for words in re.findall(r"“([^“”]+)”", line)]
    assert len(quoted) >= 10
    for words in quoted:
        for part in words.split("…"):
            assert part.strip(" .") in texts, words


def test_words_of_the_editors_are_those_of_the_guide() -> None:
    """What the guide prints bold are texts of the docker and the window."""
    known = {text.replace("&", "").rstrip("…:") for text in languages.each_form()}
    for name in ("krita", "gimp"):
        for words in re.findall(r"\*\*([^*]+)\*\*", _text(DOCS / f"guide/{name}.md")):
            for word in words.split(", "):
                assert word in known, f"{name}: {word}"


def test_files_and_variables_that_documents_name_are_there() -> None:
    sources = "\n".join(_text(path) for folder in CODE for path in (ROOT / folder).rglob("*.py"))
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        for name in re.findall(rf"`((?:{'|'.join(CODE)}|docs)/[\w/.-]+)`", _text(page)):
            assert (ROOT / name).exists(), f"{_id(page)} names {name}"
        for module in re.findall(r"python -m ((?:tests|bridge_server)[\w.]+)", _text(page)):
            place = ROOT / module.replace(".", "/")
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), (
                f"{_id(page)} names {module}"
            )
        for name in re.findall(r"`(REPAINT_BRIDGE_\w+|HF_\w+)", _text(page)):
            assert name in sources or name in ("HF_TOKEN", "HF_HUB_DOWNLOAD_TIMEOUT"), f"{_id(page)} names {name}"
