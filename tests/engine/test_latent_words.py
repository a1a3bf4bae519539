"""What words do, measured on the trained toy model: by a judge that first reports its own accuracy, and by colours."""

from __future__ import annotations

import numpy as np
import pytest

from engine import api, canvas
from tests.engine.latent_help import toy
from tests.engine.toys import pictures, study, train

COUNT = 4
COLOURS = list(pictures.COLOURS)
WAY = study.resampled(3, 12, 4)


@pytest.fixture(scope="module")
def judge():
    return train.load_judge()


@pytest.fixture(scope="module")
def grounds() -> np.ndarray:
    """The same few grounds, once for every colour."""
    return np.concatenate([study.grounds(COUNT, 300)[0]] * len(COLOURS))


@pytest.fixture(scope="module")
def asked(grounds) -> np.ndarray:
    """Each ground with a square of each colour asked for, with guidance that is not held back."""
    words = [f"a {colour} square" for colour in COLOURS for _ in range(COUNT)]
    return study.paint(toy(), grounds, words, 4.0, WAY, 5, held=False)


def _seen(painted: np.ndarray, judge) -> np.ndarray:
    """Whether the judge sees the colour that was asked for, by colour and ground."""
    wanted = np.repeat(np.arange(len(COLOURS)), COUNT)
    return (study.classify(painted, judge)[:, 0] == wanted).reshape(len(COLOURS), COUNT)


def _inner(painted: np.ndarray) -> np.ndarray:
    """Mean colour of the hole, (B, 3)."""
    return painted[:, study.selection() > 0].astype(float).mean(axis=1)


def test_the_judge_is_right_about_other_pictures(judge):
    colour, shape = study.accuracy(judge)
    assert colour > 0.97
    assert shape > 0.9


def test_nothing_is_seen_before_anything_is_painted(judge, grounds):
    assert (study.classify(grounds, judge)[:, 0] == len(COLOURS)).mean() > 0.9


def test_the_prompt_decides_what_colour_appears(judge, grounds, asked):
    """The asked colour in most pictures, every colour in half of them, and far oftener than without words."""
    plain = study.paint(toy(), grounds[:COUNT], [""] * COUNT, 1.0, WAY, 5)
    without = _seen(np.concatenate([plain] * len(COLOURS)), judge).mean()
    found = _seen(asked, judge)
    assert found.mean() >= 0.8
    assert (found.mean(axis=1) >= 0.5).all()
    assert found.mean() > without + 0.5


def test_colours_move_in_the_asked_direction(asked):
    """No judge: red against blue, by the hole's own mean colours, ground by ground."""
    red, blue = (
        _inner(asked.reshape(len(COLOURS), COUNT, 128, 128, 3)[COLOURS.index(name)]) for name in ("red", "blue")
    )
    towards_red = (red[:, 0] - red[:, 2]) - (blue[:, 0] - blue[:, 2])
    assert (towards_red > 0).all()
    assert towards_red.mean() > 30


def test_a_negative_prompt_takes_away(judge, grounds, asked):
    """The very same words against the picture: what they name is hardly seen."""
    words = [f"a {colour} square" for colour in COLOURS for _ in range(COUNT)]
    refused = study.paint(toy(), grounds, [""] * len(words), 4.0, study.plain(12), 5, against=words, held=False)
    assert _seen(refused, judge).mean() < _seen(asked, judge).mean() - 0.5


def test_the_known_pixels_stay_bit_for_bit_through_the_whole_engine(grounds):
    """The real way: one job with words, every pixel outside the selection the original one."""
    picture = np.dstack([grounds[0], np.full((128, 128), 255, np.uint8)])
    *_, last = api.run(
        api.Job(picture, study.selection(), model=toy().info.id, seed=2, prompt="a red circle", guidance=4.0, steps=20),
        toy(),
    )
    out = canvas.over(picture, last.layer())
    known = study.selection() == 0
    assert np.array_equal(out[known], picture[known])
    assert np.abs(out[~known].astype(int) - picture[~known]).mean() > 5


def test_resampling_joins_the_hole_to_its_surroundings():
    """Where the words ask for the ground itself: a smaller error in the rim than by plain masking, same steps."""
    bare, errors = study.grounds(8, 300)[0], {}
    for way in (study.plain(20), study.resampled(4, 20, 4)):
        painted = study.paint(toy(), bare, [""] * len(bare), 1.0, way, 7)
        errors[way.name] = study.rim_error(painted, bare)
    assert errors["resampled 4 times"] < 0.7 * errors["plain masking"]
