"""Each example of docs/guide/gimp-scripts.md as it stands there, in a real GIMP console."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from tests.desk import photograph

from .desk import Desk
from .host import REPOSITORY

GUIDE = (REPOSITORY / "docs/guide/gimp-scripts.md").read_text(encoding="utf-8")


def example(title: str) -> str:
    """The Python below a heading, and what comes before all of them."""
    parts = re.split(r"^## (.*)$", GUIDE, flags=re.M)
    found = dict(zip(["", *parts[1::2]], parts[::2], strict=True))
    codes = [re.findall(r"^```python\n(.*?)^```", found[each], re.M | re.S) for each in ("", title)]
    return "".join(code for block in codes for code in block)


def run(shell: Desk, code: str, image: str = "None") -> None:
    shell.host.run(
        f"space = dict(Gimp=Gimp, Gegl=Gegl, Gio=Gio, image={image})\nexec({code!r}, space)\nNone", seconds=240
    )


def test_repair_all_scans_in_a_folder(shell: Desk, work: Path) -> None:
    scans = work / "scans"
    scans.mkdir()
    for number in (1, 2):
        photograph(scans / f"{number}.png", 110, 80)
        mask = np.zeros((80, 110), np.uint8)
        mask[30:42, 30 * number : 30 * number + 14] = 255
        Picture.fromarray(mask).save(scans / f"{number}.mask.png")
    code, home = example("Repair all scans in a folder"), 'Path.home() / "scans"'
    assert home in code
    run(shell, code.replace(home, f"Path({str(shell.host.gimp.inside(scans))!r})"))
    for number in (1, 2):
        files = [folder / f"{number}.png" for folder in (scans, scans / "repaired")]
        before, after = (np.asarray(Picture.open(file).convert("RGB")) for file in files)
        changed = (before != after).any(-1)
        hole = changed[30:42, 30 * number : 30 * number + 14]
        assert hole.mean() > 0.9
        assert changed.sum() == hole.sum()


def test_make_all_layers_tileable(shell: Desk) -> None:
    image = shell.new(60, 48)
    shell.host.run(f"""
second = {image.code}.get_layers()[0].copy()
{image.code}.insert_layer(second, None, 0)
second.set_name("Second")
second.invert(False)
None
""")
    before = [shell.layer_pixels(image, name).astype(float) for name in ("Second", "Background")]
    run(shell, example("Make all layers tileable"), image.code)
    assert shell.names(image) == ["Second", "Background"]
    for name, old in zip(("Second", "Background"), before, strict=True):
        new = shell.layer_pixels(image, name).astype(float)
        assert new.shape[:2] == (48, 60)
        assert np.array_equal(new[12:-12, 12:-12, :3], old[12:-12, 12:-12, :3])
        jumps = [np.abs(each[0, :, :3] - each[-1, :, :3]).mean() for each in (old, new)]
        assert jumps[1] < 0.5 * jumps[0]


def test_extend_an_animations_background(shell: Desk) -> None:
    image = shell.new(120, 90)
    shell.host.run(f"""
for number in range(2):
    frame = Gimp.Layer.new({image.code}, "Frame %d" % number, 20, 20, Gimp.ImageType.RGBA_IMAGE, 100,
                           {image.code}.get_default_new_layer_mode())
    {image.code}.insert_layer(frame, None, 0)
    frame.fill(Gimp.FillType.WHITE)
    frame.set_offsets(10 + 40 * number, 30)
None
""")
    frames = [shell.layer_pixels(image, f"Frame {number}") for number in range(2)]
    run(shell, example("Extend an animation's background"), image.code)
    assert shell.host.run(f"[{image.code}.get_width(), {image.code}.get_height()]") == [248, 90]
    assert shell.names(image) == ["Frame 1", "Frame 0", "Background"]
    for number in range(2):
        assert np.array_equal(shell.layer_pixels(image, f"Frame {number}"), frames[number])
        place = f"list({image.code}.get_layers()[{1 - number}].get_offsets())[1:]"
        assert shell.host.run(place) == [10 + 40 * number, 30]
    assert shell.layer_pixels(image, "Background").shape[:2] == (90, 248)
