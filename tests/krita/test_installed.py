"""The plug-in as users get it: through Krita's own importer, without an engine, or as half a copy."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bridge_server.client import launch

from .conftest import start_krita
from .desk import PRELUDE, Desk
from .host import REPOSITORY, Display, KritaHost

IMPORT = """
import importlib, os
importer = importlib.import_module("plugin_importer.plugin_importer")
resources = Krita.instance().getAppDataLocation()
found = importer.PluginImporter({archive!r}, resources, lambda plugin: True).import_all()
[plugin["name"] for plugin in found]
"""


def import_zip(host: KritaHost, archive: Path) -> list[str]:
    """Through the code behind Krita's "Import Python Plugin from File"."""
    return list(host.run(IMPORT.format(archive=str(archive))))


def without_plugin(work: Path, display: Display) -> KritaHost:
    work.mkdir(exist_ok=True)
    home = work / "bridge-home"  # no launch file there
    host = KritaHost(work, display=display, plugin=False, environment={launch.HOME_VARIABLE: str(home)})
    host.start()
    return host


@pytest.mark.essential
def test_packaged_zip_through_kritas_importer_says_what_to_run(display: Display, tmp_path: Path) -> None:
    """`installer.py package` → import inside Krita → the docker is there after a restart and, since no installer has
    written a launch file for this user, says in one sentence what to run; a click sends nothing and harms nothing."""
    subprocess.run(
        [sys.executable, str(REPOSITORY / "installer.py"), "package", "--out", str(tmp_path / "dist")],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    [archive] = (tmp_path / "dist").glob("repaint_krita-*.zip")
    host = without_plugin(tmp_path / "krita", display)
    try:
        assert import_zip(host, archive) == ["repaint_krita"]
        host.stop()
        resources = host.home / ".local/share/krita"
        assert (resources / "actions/repaint_krita.action").is_file()
        assert (resources / "pykrita/repaint_krita/_lib/bridge_server/client/session.py").is_file()
        host.start()
        desk = Desk(host)
        host.wait("flow.is_error", seconds=30, what="the missing engine is said")
        assert "python3 installer.py krita" in desk.status()
        document = desk.new(160, 120)
        desk.select(document, 40, 40, 30, 30)
        host.run("flow.say('')")
        assert "python3 installer.py krita" in desk.repaint()
        desk.screenshot("no-engine")
        assert host.run("len(flow.runs)") == 0
        assert desk.names(document) == ["Background"]
        host.stop()
    finally:
        host.kill()


def test_source_archive_through_kritas_importer_says_what_to_run(display: Display, tmp_path: Path) -> None:
    """People import the repository's "Download ZIP"; it lacks the client inside the plug-in's folder."""
    archive = tmp_path / "repaint-bridge-main.zip"
    plugin = REPOSITORY / "krita_plugin"
    with zipfile.ZipFile(archive, "w") as target:
        for path in [plugin, *sorted(plugin.rglob("*"))]:
            if "__pycache__" not in path.parts and "_lib" not in path.parts:
                target.write(path, "repaint-bridge-main/krita_plugin/" + path.relative_to(plugin).as_posix())
    host = without_plugin(tmp_path / "krita", display)
    try:
        assert import_zip(host, archive) == ["repaint_krita"]
        host.stop()
        host.start()
        host.run(
            PRELUDE.partition("from repaint_krita.docker")[0]
            + """
docker = Krita.instance().activeWindow().qwindow().findChild(QtWidgets.QDockWidget, "repaint_docker")
docker.show()
"""
        )
        sentence = host.run("docker.findChild(QtWidgets.QLabel, 'repaint_status').text()")
        host.screenshot("source-archive")
        assert "python3 installer.py krita" in sentence
        host.stop()
    finally:
        host.kill()


def test_choices_survive_a_restart_and_nonsense_falls_back(display: Display, tmp_path: Path) -> None:
    home = tmp_path / "nothing here"
    host = start_krita(tmp_path / "krita", display, **{launch.HOME_VARIABLE: str(home)})
    choices = "[dock().fields[name].read() for name in ('model', 'preset', 'source', 'variants', 'steps')]"
    file = home / "config/krita.json"
    try:
        Desk(host)
        host.run("""
from bridge_server.client.editor.fields import defaults
values = {**defaults(), "model": "test/gaussian", "preset": "repaint", "source": "layer", "variants": 3, "steps": 40}
dock().panel.show_values(values)
dock().panel.choices.keep(dock().panel.values())
""")
        host.run("app.action('file_quit').trigger()")
        assert host.process is not None
        host.process.wait(20)
        host.process = None
        host.check()
        host.start()
        Desk(host)
        assert host.run(choices) == ["test/gaussian", "repaint", "layer", 3, 40]
        host.stop()
        text = file.read_text()
        assert '"variants": 3' in text
        file.write_text(text.replace('"variants": 3', '"variants": "many"').replace('"layer"', '"%%nonsense"'))
        host.start()
        Desk(host)
        assert host.run(choices) == ["test/gaussian", "repaint", "visible", 1, 40]
        assert "source, variants" in host.run("dock().notice.text()")
        host.stop()
        file.write_text(text[: len(text) // 2])
        host.start()
        Desk(host)
        assert host.run(choices) == ["exemplar", "fast", "visible", 1, 0]
        assert "settings could not be read" in host.run("dock().notice.text()")
        assert (home / "config/krita.broken.json").read_text() == text[: len(text) // 2]
        host.stop()
    finally:
        host.kill()
