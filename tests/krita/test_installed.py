"""The plug-in as users get it: through Krita's own importer, without an engine, or as half a copy."""

from __future__ import annotations

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
def test_packaged_zip_through_kritas_importer_offers_the_set_up(
    display: Display, packaged: Path, tmp_path: Path
) -> None:
    """`installer.py package` → import inside Krita → the docker is there after a restart and, since this user has no
    engine, says what a set-up would do. tests/krita/test_set_up.py goes on from there."""
    [archive] = packaged.glob("repaint_krita-*.zip")
    host = without_plugin(tmp_path / "krita", display)
    try:
        assert import_zip(host, host.lend(archive)) == ["repaint_krita"]
        host.stop()
        resources = host.home / ".local/share/krita"
        assert (resources / "actions/repaint_krita.action").is_file()
        assert (resources / "pykrita/repaint_krita/_lib/bridge_server/client/session.py").is_file()
        host.start()
        desk = Desk(host)
        host.wait("not dock()._page._waiting and dock().set_up_panel.isVisible()", seconds=30, what="the set-up page")
        assert "not set up yet: click Set up" in host.run("dock().set_up_panel.parts['set_up_about'].text()")
        assert not host.run("dock().button.isVisible()")
        assert "set up" in desk.repaint(), "the action of the menu, too, says what is missing"
        desk.screenshot("no-engine")
        assert host.run("len(flow.runs)") == 0
        host.stop()
    finally:
        host.kill()


def test_source_archive_through_kritas_importer_names_the_right_file(display: Display, tmp_path: Path) -> None:
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
        assert "import the file repaint_krita-….zip" in sentence
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
