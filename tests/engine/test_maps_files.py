"""Maps in files: ``--with`` on the command line, in batches and in states."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from engine.batch import forecast as batch_forecast
from engine.batch import spec
from engine.commands import cli
from engine.files import imagefile
from engine.files.picture import Picture
from engine.tasks import maps
from tests.engine.test_maps import COLOUR, SELECTION, SHARES

QUICK = ["--steps", "4", "--jump-samples", "1", "--seed", "3"]


@pytest.fixture
def folder(tmp_path):
    """A colour, a height of 16 bits, flat normals that lean, a float roughness, a mask with a soft edge."""
    height = COLOUR @ SHARES
    normals = np.zeros((*height.shape, 3), np.uint8)
    normals[:] = np.rint((np.array([0.6, 0.0, 0.8]) + 1) * 127.5)
    normals[:, ::2, 0] = round((-0.6 + 1) * 127.5)
    soft = SELECTION.copy()
    soft[38:40] = soft[100:102] = np.where(SELECTION[40:42] > 0, 100, 0)
    for name, pixels in {
        "wall_colour.png": (COLOUR * 255).astype(np.uint8),
        "wall_height.png": np.rint(height[..., None] * 65535).astype(np.uint16),
        "wall_normal.png": normals,
        "wall_rough.tif": (1 - height[..., None]).astype(np.float32),
        "mask.png": soft[..., None],
        "small.png": normals[:100],
    }.items():
        imagefile.write(tmp_path / name, Picture(pixels))
    (tmp_path / "text_height.png").write_text("no picture")
    return tmp_path


def _run(folder, task: str, *more: str, out: str = "out.png") -> int:
    files = [str(folder / "wall_colour.png")]
    files += ["-m", str(folder / "mask.png")] if task == "inpaint" else []
    given = [str(folder / each) if each.startswith(("wall", "small", "text")) else each for each in more]
    return cli.main([task, *files, "-o", str(folder / out), *QUICK, *given])


def _pixels(path) -> np.ndarray:
    return imagefile.read(path).pixels


@pytest.mark.parametrize(
    ("task", "more", "size"),
    [
        ("inpaint", [], (150, 170)),
        ("extend", ["--right", "40", "--top", "20"], (170, 210)),
        ("tile", ["--size", "140x140"], (140, 140)),
    ],
)
def test_each_task_writes_the_maps_beside_its_picture(folder, task, more, size, capsys) -> None:
    three = ["--with", "wall_height.png", "--with", "wall_normal.png", "--with", "wall_rough.tif"]
    assert _run(folder, task, *three, *more) == 0
    told = capsys.readouterr().out
    colour = _pixels(folder / "out.png") / 255
    height, normal, rough = (_pixels(folder / f"out_{name}") for name in ("height.png", "normal.png", "rough.tif"))
    assert all(f"out_{name}" in told for name in ("height.png", "normal.png", "rough.tif"))
    assert (height.dtype, height.shape) == (np.uint16, (*size, 1))
    assert (normal.dtype, normal.shape) == (np.uint8, (*size, 3))
    assert (rough.dtype, rough.shape) == (np.float32, (*size, 1))
    inner = ((colour > 0) & (colour < 1)).all(2)
    assert np.abs(height[..., 0] / 65535 - colour @ SHARES)[inner].max() < 2.5 / 255
    assert np.abs(rough[..., 0] - (1 - height[..., 0] / 65535))[inner].max() < 1e-3
    length = np.linalg.norm(normal / 127.5 - 1, axis=2)
    assert np.abs(length - 1).max() < 0.02, "of unit length everywhere, under the soft edge too"
    if task == "inpaint":
        kept = _pixels(folder / "mask.png")[..., 0] == 0
        for name, made in (("height.png", height), ("normal.png", normal), ("rough.tif", rough)):
            assert np.array_equal(made[kept], _pixels(folder / f"wall_{name}")[kept]), "the rest as it was"


def test_several_variants_and_the_report(folder, capsys) -> None:
    assert _run(folder, "inpaint", "--with", "wall_height.png", "--variants", "2", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [each["maps"] for each in report["variants"]] == [
        [str(folder / f"out-{number}_height.png")] for number in (1, 2)
    ]
    assert not np.array_equal(_pixels(folder / "out-1_height.png"), _pixels(folder / "out-2_height.png"))


def test_a_branch_of_a_saved_state_writes_the_maps_again(folder) -> None:
    state = folder / "half.state"
    with_two = ["--with", "wall_height.png", "--with", "wall_rough.tif"]
    assert _run(folder, "inpaint", *with_two, "--save-state", str(state)) == 0
    assert cli.main(["branch", str(state), "-o", str(folder / "again.png")]) == 0
    for name in ("height.png", "rough.tif"):
        one, other = _pixels(folder / f"out_{name}"), _pixels(folder / f"again_wall_{name}")
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_a_branch_writes_a_map_that_came_as_jpeg(folder) -> None:
    gray = Image.fromarray(_pixels(folder / "wall_normal.png")).convert("L")
    gray.save(folder / "wall_gloss.jpg")
    state = folder / "half.state"
    assert _run(folder, "inpaint", "--with", "wall_gloss.jpg", "--save-state", str(state)) == 0
    assert cli.main(["branch", str(state), "-o", str(folder / "again.png")]) == 0
    assert np.array_equal(_pixels(folder / "out_gloss.png"), _pixels(folder / "again_wall_gloss.png"))


@pytest.mark.parametrize("out", ["wall.png", "wall_normal.png"])
def test_no_result_takes_the_place_of_a_map(folder, out, capsys) -> None:
    before = (folder / "wall_normal.png").read_bytes()
    assert _run(folder, "extend", "--right", "20", "--with", "wall_normal.png", out=out) == 2
    assert "would overwrite wall_normal.png, which this run reads; choose another name" in capsys.readouterr().err
    assert (folder / "wall_normal.png").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a/wall_normal.png", ("a/wall_normal.png", "normal")),
        ("wall_nrm.png", ("wall_nrm.png", "normal")),
        ("wall-n.png", ("wall-n.png", "normal")),
        ("plain.png", ("plain.png", "values")),
        ("Wood_1K-PNG_NormalGL.png", ("Wood_1K-PNG_NormalGL.png", "normal")),
        ("wood_normaldx.png", ("wood_normaldx.png", "normal")),
        ("wallNormal.png", ("wallNormal.png", "normal")),
        ("WallBaseColor.png", ("WallBaseColor.png", "colour")),
        ("wall_COL.jpg", ("wall_COL.jpg", "colour")),
        ("wall_Height.tif", ("wall_Height.tif", "values")),
        ("wall_albedo.png", ("wall_albedo.png", "colour")),
        ("any.png:normal", ("any.png", "normal")),
        ("wall_normal.png:values", ("wall_normal.png", "values")),
        ("C:/maps/wall.png", ("C:/maps/wall.png", "values")),
        ("C:\\maps\\wall.png:colour", ("C:\\maps\\wall.png", "colour")),
    ],
)
def test_the_kind_of_a_map_is_given_or_told_by_its_name(text, found) -> None:
    path, kind = maps.parted(text)
    assert (str(path).replace("/", "\\"), kind) == (found[0].replace("/", "\\"), found[1])


@pytest.mark.parametrize(
    ("name", "image", "ending"),
    [
        ("wall_normal.png", "wall_colour.jpg", "_normal.png"),
        ("wall_normal.png", "wall.png", "_normal.png"),
        ("height.exr", "wall.png", "_height.exr"),
        ("wall.tif", "wall.png", "_wall.tif"),
        ("brick-2-n.jpg", "brick-2-c.png", "_n.png"),
    ],
)
def test_results_are_named_by_what_the_map_has_of_its_own(tmp_path, name, image, ending) -> None:
    assert maps.ending(tmp_path / name, tmp_path / image) == ending


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--with", "small.png"], "The map small.png is 170 × 100 pixels but the picture is 170 × 150"),
        (["--with", "text_height.png"], "text_height.png"),
        (["--with", "wall_missing.png"], "There is no file"),
        (["--with", "wall_height.png:bump"], "The kind of a map is colour, normal, values, not 'bump'"),
        (["--with", "wall_height.png:normal"], "wall_height.png has normals of length 0"),
        (["--with", "wall_height.png", "--with", "wall_height.png"], "results of the same name"),
        (["--with-weight", "2"], "needs a map"),
        (["--with", "wall_height.png", "--with-weight", "1", "--with-weight", "2"], "There are 2 weights for 1 maps"),
        (["--with", "wall_height.png", "--with-weight", "0"], "The weight of the map wall_height.png must be"),
        (["--with", "wall_height.png", "--source", "wall_normal.png"], "together with sources"),
        (["--with", "wall_height.png", "--model", "test/gaussian"], "choose the model exemplar, or leave the maps out"),
    ],
)
def test_maps_that_cannot_be_used(folder, more, says, capsys) -> None:
    height = _pixels(folder / "wall_height.png").copy()
    height[10, 10] = 32768
    imagefile.write(folder / "wall_height.png", Picture(height))
    assert _run(folder, "extend", "--right", "20", *more) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(folder.glob("out*"))


def test_standard_output_takes_no_maps(folder, capfd) -> None:
    files = ["extend", str(folder / "wall_colour.png"), "--right", "20", "-o", "-", *QUICK]
    assert cli.main([*files, "--with", str(folder / "wall_height.png")]) == 2
    assert "Standard output holds one picture" in capfd.readouterr().err


def test_a_batch_takes_the_maps_beside_each_picture(folder, capsys) -> None:
    textures = folder / "textures"
    textures.mkdir()
    for name in ("oak", "elm"):
        for part in ("colour", "height"):
            (textures / f"{name}_{part}.png").write_bytes((folder / f"wall_{part}.png").read_bytes())
    out = folder / "tiles"
    command = ["batch", str(textures / "*_colour.png"), "-o", str(out), "--task", "tile", *QUICK[:4], "--workers", "1"]
    command += ["--with", "{set}_height.png"]
    assert cli.main(command) == 0
    assert {path.name for path in out.glob("*.png")} == {
        f"{name}_colour{more}.png" for name in ("oak", "elm") for more in ("", "_height")
    }
    assert _pixels(out / "oak_colour_height.png").dtype == np.uint16
    capsys.readouterr()
    assert cli.main(command) == 0
    assert "2 were done already" in capsys.readouterr().out
    height = _pixels(textures / "oak_height.png").copy()
    height[0] = 0
    imagefile.write(textures / "oak_height.png", Picture(height))
    assert cli.main(command) == 0
    assert "1 of 2 jobs done" in capsys.readouterr().out, "a map that has changed is looked at again"


def test_a_list_names_maps_and_weights(folder, capsys) -> None:
    jobs = folder / "jobs.jsonl"
    one = {"picture": "wall_colour.png", "task": "tile", "with": ["wall_height.png", "wall_rough.tif:values"]}
    jobs.write_text(json.dumps({**one, "with_weight": [1, 0.5]}) + "\n")
    table = folder / "jobs.csv"
    table.write_text("picture,task,with,output\nwall_colour.png,tile,wall_height.png; wall_rough.tif,b.png\n")
    for path, name in ((jobs, "wall_colour"), (table, "b")):
        out = folder / path.suffix[1:]
        assert cli.main(["batch", str(path), "-o", str(out), *QUICK[:4], "--workers", "1"]) == 0, capsys.readouterr()
        assert (out / f"{name}_height.png").exists()
        assert _pixels(out / f"{name}_rough.tif").dtype == np.float32
    jobs.write_text(json.dumps({**one, "with": ["small.png"]}) + "\n")
    assert cli.main(["batch", str(jobs), "-o", str(folder / "no"), "--workers", "1"]) == 2
    assert "The map small.png is" in capsys.readouterr().err


def test_maps_count_in_what_a_job_reads_and_needs(folder) -> None:
    plain = spec.Spec(0, "tile", str(folder / "wall_colour.png"), None, str(folder / "o.png"), 1, {})
    more = spec.Spec(0, "tile", plain.picture, None, plain.output, 1, {"with": [str(folder / "wall_height.png")]})
    assert more.inputs == [*plain.inputs, str(folder / "wall_height.png")]
    assert spec.key(more) != spec.key(plain)
    assert batch_forecast.memory([more]) > batch_forecast.memory([plain])
