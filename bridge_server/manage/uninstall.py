"""uninstall: everything of RePaint's in this user's folders and editors, told before it goes. Downloaded models and the
history of pictures stay unless they are asked for."""

from __future__ import annotations

from pathlib import Path

from bridge_server.client import setup
from bridge_server.client.setup import sentences
from bridge_server.manage import ROOT, places, plugins


def uninstall(models: bool, history: bool, sure: bool) -> int:
    """``models``, ``history``: these go as well; ``sure``: nobody is asked. Exit status 1 if the answer was no."""
    removal = setup.removable()
    chosen = {sentences.MODELS: models, sentences.HISTORY: history}
    asked = [row for row in removal.stays if chosen.get(row[0])]
    goes, stays = [*removal.goes, *asked], [row for row in removal.stays if row not in asked]
    editors = _plugins()
    print("Will be removed:" if goes or editors else "There is nothing to remove.")
    for folder in editors:
        print(f"  the plug-in in {folder}")
    _list(goes)
    _list([row for row in stays if row[0] in chosen], "Will be kept, unless --models or --history is given:")
    _list([row for row in stays if row[0] not in chosen], "Will be kept:")
    if not goes and not editors:
        return 0
    if not sure and input("Remove it? [y/N] ").strip().lower() not in ("y", "yes"):
        print("Nothing was removed.")
        return 1
    setup.remove(models, history)  # it may be refused; then all is as before
    for folder in editors:
        plugins.uninstall_krita(folder)
        plugins.uninstall_gimp(folder)
    for settings in places.krita_settings(*places.here()):
        if plugins.enabled_in_krita(settings):
            plugins.enable_in_krita(settings, enabled=False)
    print("Removed.")
    print(f"The program itself stays in {ROOT}: delete it yourself, or with the tool that installed it.")
    return 0


def _plugins() -> list[Path]:
    """The editors' folders with a plug-in of ours, also those of sandboxes."""
    here = places.here()
    krita = [folder for folder in places.krita_resources(*here) if (folder / "pykrita/repaint_krita").is_dir()]
    gimp = [folder for folder in places.gimp_configurations(*here) if (folder / "plug-ins/repaint_gimp").is_dir()]
    return krita + gimp


def _list(rows: list[tuple[str, Path, int]], heading: str = "") -> None:
    if rows and heading:
        print(heading)
    for words, path, size in rows:
        print(f"  {words} ({size / 1e6:.1f} MB, {path})")
