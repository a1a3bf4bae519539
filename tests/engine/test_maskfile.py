"""Masks in files: what counts, and what cannot have been meant."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.canvas import check
from engine.commands.cli import main
from engine.errors import BadInput
from engine.files import maskfile

SIZE = (48, 60)


def _shape(inside: int = 255, outside: int = 0) -> np.ndarray:
    mask = np.full(SIZE, outside, np.uint8)
    mask[12:30, 20:44] = inside
    return mask


def _saved(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def _colours(*planes: np.ndarray) -> np.ndarray:
    return np.stack(planes, 2)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "m.png"


def test_gray_is_a_soft_edge_and_transparent_is_black(file):
    row = [[255, 255, 255, 255], [255, 255, 255, 0], [100, 100, 100, 255], [0, 0, 0, 255]]
    assert maskfile.read(_saved(file, np.array([row], np.uint8))).tolist() == [[255, 0, 100, 0]]


def test_a_soft_brush_and_a_gradient_are_taken_as_they_are(file):
    brush = cv2.GaussianBlur(_shape(), (0, 0), 6)
    assert np.array_equal(maskfile.read(_saved(file, brush)), brush)
    slope = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (40, 1))
    assert np.array_equal(maskfile.read(_saved(file, slope), invert=False), slope)


def test_a_shape_in_the_alpha_channel_alone_is_the_mask(file):
    none = np.zeros(SIZE, np.uint8)
    _saved(file, _colours(none, none, none, _shape()))
    assert np.array_equal(maskfile.read(file), _shape())


@pytest.mark.parametrize(
    ("channel", "expected"),
    [("red", 255), ("green", 0), ("blue", 10), ("alpha", 200), ("luma", round(255 * 0.299 + 10 * 0.114) * 200 // 255)],
)
def test_a_channel_can_be_chosen(file, channel, expected):
    part, none = _shape(), np.zeros(SIZE, np.uint8)
    _saved(file, _colours(part, none, _shape(10), _shape(200)))
    assert maskfile.read(file, channel, invert=False)[20, 30] == pytest.approx(expected, abs=1)


def test_no_alpha_to_choose(file):
    with pytest.raises(BadInput, match="no alpha channel"):
        maskfile.read(_saved(file, _shape()), "alpha")


@pytest.mark.parametrize("deep", [False, True])
def test_numbers_of_things_need_a_threshold(file, deep):
    labels = _shape(1)
    labels[40:, :5] = 3
    cv2.imwrite(str(file), labels.astype(np.uint16) if deep else labels)
    with pytest.raises(BadInput, match=r"m\.png is 3, which is nearly black; add --mask-threshold 1"):
        maskfile.read(file)
    assert np.array_equal(maskfile.read(file, threshold=1) == 255, labels > 0)
    assert np.array_equal(maskfile.read(file, threshold=2) == 255, labels > 1)


@pytest.mark.parametrize(("dark", "light"), [(16, 235), (3, 255), (30, 200)])
def test_a_background_that_is_not_black_is_told(file, dark, light):
    _saved(file, _shape(light, dark))
    with pytest.raises(BadInput, match=f"its darkest value is {dark}, .* add --mask-threshold") as told:
        maskfile.read(file)
    threshold = int(told.value.sentence.rstrip(".").split()[-1])
    assert np.array_equal(maskfile.read(file, threshold=threshold), _shape())


def test_nearly_everything_selected_is_asked_for(file):
    mask = 255 - np.pad(np.full((8, 8), 255, np.uint8), [(20, 20), (20, 32)])
    _saved(file, mask)
    with pytest.raises(BadInput, match="selects 98% of the picture; add --invert-mask"):
        maskfile.read(file)
    assert np.array_equal(maskfile.read(file, invert=True), 255 - mask)
    assert np.array_equal(maskfile.read(file, invert=False), mask)


def test_a_photograph_is_no_mask(file):
    generator = np.random.default_rng(0)
    rough = cv2.GaussianBlur(generator.uniform(0, 255, SIZE).astype(np.float32), (0, 0), 1.0)
    gray = cv2.normalize(rough, None, 1, 250, cv2.NORM_MINMAX).astype(np.uint8)
    coloured = _colours(gray, np.roll(gray, 9, 0), np.roll(gray, 7, 1))
    for picture in (gray, coloured):
        with pytest.raises(BadInput, match="looks like a photograph"):
            maskfile.read(_saved(file, picture))
        assert np.array_equal(
            maskfile.read(file, "red", threshold=100) == 255, (picture.T[0].T if picture.ndim > 2 else gray) >= 100
        )


def test_a_mask_painted_in_one_colour_counts_by_its_gray(file):
    none = np.zeros(SIZE, np.uint8)
    _saved(file, _colours(_shape(), none, none))
    assert maskfile.read(file)[20, 30] == 76


def test_jpeg_ringing_is_not_selected(tmp_path):
    path = _saved(tmp_path / "m.jpg", _shape(), quality=85)
    assert (np.asarray(Image.open(path))[_shape() == 0] > 0).any()
    mask = maskfile.read(path)
    assert np.array_equal(mask > 127, _shape() > 0)
    assert not mask[(cv2.dilate(_shape(), np.ones((5, 5))) == 0)].any()


@pytest.mark.parametrize("threshold", [0, 256, -3])
def test_thresholds_out_of_range(file, threshold):
    with pytest.raises(BadInput, match="--mask-threshold must be 1 to 255"):
        maskfile.read(_saved(file, _shape()), threshold=threshold)


def test_a_mask_that_fits_only_when_turned_is_told():
    with pytest.raises(BadInput, match="one of them must be turned"):
        check(np.zeros((*SIZE, 4), np.uint8), _shape().T)


def test_the_command_line_says_it_in_one_line_and_helps_itself(tmp_path, capsys):
    picture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    picture_file, mask = _saved(tmp_path / "in.png", picture), _saved(tmp_path / "m.png", 255 - _shape())
    command = ["inpaint", str(picture_file), "-m", str(mask), "-o", str(tmp_path / "out.png"), "--seed", "1"]
    _saved(mask, _shape(1))
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*command, "--mask-threshold", "1"]) == 0
    out = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(out[_shape() == 0], picture[_shape() == 0])
    assert not np.array_equal(out, picture)
