"""The house itself: import directions, lint, types, wording, and what the plug-in side may use."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run import LONG

ROOT = Path(__file__).parents[1]
STDLIB = set(sys.stdlib_module_names)
CLIENT = ROOT / "bridge_server" / "client"
PLUGIN_SIDE = [CLIENT, ROOT / "krita_plugin", ROOT / "gimp_plugin"]
TOOLKITS = {"qt": {"PyQt5", "PyQt6"}, "gtk": {"gi"}}
"""Rooms in the client, each with the widget set that it may import."""
HOST_MODULES = {"krita_plugin": {"krita", "repaint_krita"}, "gimp_plugin": {"gi", "repaint_gimp"}}
ROOMS = {"krita_plugin": "qt", "gimp_plugin": "gtk"}
DRIVERS = [ROOT / "tests" / "krita" / "driver", ROOT / "tests" / "gimp" / "driver"]


def _tracked(*suffixes: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.splitlines()]
    return [path for path in files if path.is_file() and (not suffixes or path.suffix in suffixes)]


def _imports(path: Path, for_types: bool = True) -> set[str]:
    """Full dotted names that a file imports, at any depth, ``for_types`` also those that only a type checker reads;
    relative imports are resolved."""
    package = list(path.relative_to(ROOT).parts[:-1])
    names = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not for_types:
        tree.body = [
            each for each in tree.body if not (isinstance(each, ast.If) and "TYPE_CHECKING" in ast.dump(each.test))
        ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def _under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_engine_knows_no_bridge_no_editor_no_socket():
    for path in (ROOT / "engine").rglob("*.py"):
        for name in _imports(path):
            for other in ("bridge_server", "krita_plugin", "gimp_plugin", "zmq", "socket", "PyQt5", "PyQt6", "tests"):
                assert not _under(name, other), f"{path.relative_to(ROOT)} imports {name}"


PACKAGES = (
    "canvas",
    "files",
    "sampling",
    "exemplar",
    "models",
    "data",
    "learning",
    "run",
    "tasks",
    "batch",
    "bench",
    "lab",
    "commands",
)
"""The engine's packages; each imports only those before it, and only from their `__init__`."""


def _engine_module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_engine_packages_have_one_direction_and_one_door():
    for path in (ROOT / "engine").rglob("*.py"):
        parts = path.relative_to(ROOT / "engine").parts
        if len(parts) == 1 or parts[0] not in PACKAGES:
            assert len(parts) == 1, f"{path.relative_to(ROOT)} lies in no package"
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("engine."):
                continue
            _, package, *inside = str(node.module).split(".")
            if package in PACKAGES and package != parts[0]:
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                assert PACKAGES.index(package) < PACKAGES.index(parts[0]), f"{where} imports {package}"
                assert not inside, f"{where} goes past the __init__ of {package}"


def test_no_imports_go_in_a_circle():
    """Imports at any depth, in the whole project, but for those that only a type checker reads."""
    paths = {_engine_module(path): path for path in _tracked(".py")}
    ahead = {}
    for name, path in paths.items():
        found = {each for each in _imports(path, for_types=False) if each in paths and each != name}
        # ``from package import module`` needs the module; the package itself only for its own names.
        ahead[name] = {each for each in found if not any(other.startswith(each + ".") for other in found)}
        ahead[name] -= {name.rpartition(".")[0]}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(ahead[name]):
                walk(other, (*way, name))
            done.add(name)

    for name in sorted(ahead):
        walk(name, ())


def test_only_the_workers_import_the_engine():
    importers = {
        path.relative_to(ROOT / "bridge_server").as_posix()
        for path in (ROOT / "bridge_server").rglob("*.py")
        if any(_under(name, "engine") for name in _imports(path))
    }
    assert all(name.startswith(("worker/", "ray/")) for name in importers), importers
    assert importers, "the worker must import the engine"


def test_bridge_and_client_load_no_torch():
    code = (
        "import sys, bridge_server.server, bridge_server.client.session;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'engine', 'diffusers', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize("folder", PLUGIN_SIDE, ids=lambda folder: folder.name)
def test_plugin_side_uses_the_standard_library_and_its_host_only(folder):
    for path in folder.rglob("*.py"):
        allowed = HOST_MODULES.get(folder.name, set()) | TOOLKITS.get(path.parent.name, set())
        for name in _imports(path):
            top = name.split(".")[0]
            own = _under(name, "bridge_server.client") or name == "bridge_server" or top in (folder.name, "")
            assert top in STDLIB | allowed or own, f"{path.relative_to(ROOT)} imports {name}"


def test_client_imports_nothing_of_the_plugins_or_the_server():
    for path in (ROOT / "bridge_server" / "client").rglob("*.py"):
        for name in _imports(path):
            if _under(name, "bridge_server"):
                assert _under(name, "bridge_server.client") or name == "bridge_server", f"{path} imports {name}"
            assert not _under(name, "krita_plugin")
            assert not _under(name, "gimp_plugin")
            if path.parent.name not in ("editor", *TOOLKITS):
                assert not _under(name, "bridge_server.client.editor"), f"{path} imports {name}"


def test_a_widget_set_is_known_to_its_room_and_the_plugins_with_it_only():
    for path in _tracked(".py"):
        if path.is_relative_to(ROOT / "tests"):
            continue
        parts = path.relative_to(ROOT).parts
        for room, modules in TOOLKITS.items():
            within = parts[:3] == ("bridge_server", "client", room)
            for name in _imports(path):
                if _under(name, f"bridge_server.client.{room}"):
                    assert within or ROOMS.get(parts[0]) == room, f"{path.relative_to(ROOT)} imports {name}"
                if within and _under(name, "bridge_server"):
                    shared = any(_under(name, f"bridge_server.client.{own}") for own in (room, "editor", "geometry"))
                    assert shared, f"{path.relative_to(ROOT)} imports {name}"
                if name.split(".")[0] in modules:
                    assert within or parts[0] == "gimp_plugin", f"{path.relative_to(ROOT)} imports {name}"
                of_gimp = name.startswith(("gi.repository.Gimp", "gi.repository.Gegl", "gi.repository.Babl"))
                assert not (within and of_gimp), f"{path.relative_to(ROOT)} imports {name}"


def test_what_manages_the_installation_needs_no_package():
    """It runs from a checkout in which nothing has been set up."""
    for path in (ROOT / "bridge_server" / "manage").rglob("*.py"):
        for name in _imports(path):
            own = any(_under(name, other) for other in ("bridge_server.client", "bridge_server.manage"))
            assert own or name == "bridge_server" or name.split(".")[0] in STDLIB, f"{path} imports {name}"


def test_gtk_is_imported_by_the_window_only():
    """A console has no display; whatever the service imports at its start must do without."""
    room = "bridge_server.client.gtk"
    free = {f"{room}.eventloop", f"{room}.eventloop.Pump"}
    window = {"window", "saving"}
    for path in [
        *(ROOT / "gimp_plugin").rglob("*.py"),
        CLIENT / "gtk" / "__init__.py",
        CLIENT / "gtk" / "eventloop.py",
    ]:
        if path.stem not in window:
            names = _imports(path)
            assert not names & {"gi.repository.Gtk", "gi.repository.Gdk"}, path.name
            assert not {name for name in names if _under(name, room)} - free, path.name
            tree = ast.parse(path.read_text(encoding="utf-8"))
            at_once = {node.module for node in tree.body if isinstance(node, ast.ImportFrom) and node.level}
            assert not at_once & window, path.name


def test_qt_is_imported_in_one_place():
    users = [
        path.name
        for folder in PLUGIN_SIDE
        for path in folder.rglob("*.py")
        if any(name.split(".")[0] in ("PyQt5", "PyQt6") for name in _imports(path))
    ]
    assert users == ["binding.py"]


@pytest.mark.parametrize("folder", [*PLUGIN_SIDE, *DRIVERS], ids=lambda folder: folder.name)
def test_plugin_side_is_python_3_8(folder):
    for path in folder.rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def _run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_lint():
    _run("ruff", "check", ".")


def test_ruff_format():
    _run("ruff", "format", "--check", ".")


def test_types():
    _run("mypy")


def test_no_module_is_long():
    lines_of = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in _tracked(".py")}
    assert not {name: lines for name, lines in lines_of.items() if lines > 450}


def test_wording():
    """No absolute path of a home or work folder, no registry host, no talk about how the code came to be."""
    forbidden = re.compile(
        r"/work/(?:main|shared)|\.\./shared|/root/|pypi\.org|pythonhosted|download\.pytorch\.org|deb\.debian\.org"
        r"|registry\.npmjs|\bclaude\b|\banthropic\b|\bLLM\b|coding agent|\bhelper [A-D]\b|the lead\b",
        re.IGNORECASE,
    )
    for path in _tracked(".py", ".md", ".toml", ".json", ".desktop", ".action", ""):
        if path == Path(__file__) or path.name == "LICENSE":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found = forbidden.search(text)
        assert not found, f"{path.relative_to(ROOT)}: {found.group(0) if found else ''}"


def test_docstrings_of_functions_are_whole_phrases():
    for folder in (*PLUGIN_SIDE, ROOT / "engine", ROOT / "bridge_server", ROOT / "install"):
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    text = ast.get_docstring(node) or ""
                    assert not text.startswith("Of "), f"{path.relative_to(ROOT)}: {node.name}"


def test_top_level():
    names = {path.relative_to(ROOT).parts[0] for path in _tracked()}
    allowed = {
        "README.md", "installer.py", "pyproject.toml", "LICENSE", "CHANGELOG.md", ".ci", ".gitignore", "engine",
        "bridge_server", "krita_plugin", "gimp_plugin", "tests", "docs", "install", "CONTRIBUTING.md", ".github",
        ".gitattributes",
    }  # fmt: skip
    assert names <= allowed, names - allowed


def test_what_the_quick_tests_leave_out_is_there():
    assert all((ROOT / path).exists() for path in LONG)


def test_shipped_model_is_small_and_described():
    folder = ROOT / "engine" / "weights" / "texture"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert 1 << 20 < size <= 40 * 1000 * 1000
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for heading in ("licence", "training", "seconds", "limits"):
        assert heading in card.lower()


def test_plugins_draw_no_text_as_html() -> None:
    """Titles, sentences and prompts come from outside: Qt's labels, tips and questions are plain, GTK has no markup."""
    found = []
    for path in sorted([*(ROOT / "krita_plugin").rglob("*.py"), *(CLIENT / "qt").glob("*.py")]):
        text = path.read_text(encoding="utf-8")
        if path.name not in ("widgets.py", "__init__.py"):
            found += re.findall(r"QLabel\(", text)
        found += re.findall(r"setToolTip\((?!plain\().*|(?<!plain\(tip\)), TOOLTIP|setHtml.*|RichText", text)
        found += re.findall(r"\.(?:question|information|warning|critical)\((?!.*plain\().*", text)
    for path in sorted([*(ROOT / "gimp_plugin").rglob("*.py"), *(CLIENT / "gtk").glob("*.py")]):
        text = path.read_text(encoding="utf-8")
        found += re.findall(r".*markup(?!_escape_text).*|\[TIP\] = (?!GLib.markup_escape_text).*", text)
    assert found == []
