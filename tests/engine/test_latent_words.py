"""What words do, measured on the trained toy model: by a judge that first reports its own accuracy, and by colours."""

from __future__ import annotations

import numpy as np
import pytest

from engine import api, canvas
from tests.engine.latent_help import toy
from tests.engine.toys import pictures, study, train

COUNT = 8
WAY = study.plain(20)


@pytest.fixture(scope="module")
def judge():
    return train.load_judge()


@pytest.fixture(scope="module")
def grounds() -> np.ndarray:
    return study.grounds(COUNT, 300)[0]


def _share(painted: np.ndarray, colour: str, judge) -> float:
    """Of pictures in which the judge sees that colour."""
    return float((study.classify(painted, judge)[:, 0] == list(pictures.COLOURS).index(colour)).mean())


def _inner(painted: np.ndarray) -> np.ndarray:
    """Mean colour of the hole, (B, 3)."""
    return painted[:, study.selection() > 0].astype(float).mean(axis=1)


def test_the_judge_is_right_about_other_pictures(judge):
    colour, shape = study.accuracy(judge)
    assert colour > 0.97
    assert shape > 0.9


def test_nothing_is_seen_before_anything_is_painted(judge, grounds):
    assert (study.classify(grounds, judge)[:, 0] == len(pictures.COLOURS)).mean() > 0.9


@pytest.mark.parametrize("colour", list(pictures.COLOURS))
def test_the_prompt_decides_what_colour_appears(judge, grounds, colour):
    """The asked colour in most pictures, and far oftener than without words; everything else is the same."""
    asked = study.paint(toy(), grounds, [f"a {colour} circle"] * COUNT, 4.0, WAY, 5)
    plain = study.paint(toy(), grounds, [""] * COUNT, 1.0, WAY, 5)
    assert _share(asked, colour, judge) >= 0.7
    assert _share(asked, colour, judge) > _share(plain, colour, judge) + 0.4


def test_colours_move_in_the_asked_direction(grounds):
    """No judge: red against blue, by the hole's own mean colours, in every picture."""
    red, blue = (
        _inner(study.paint(toy(), grounds, [f"a {colour} square"] * COUNT, 4.0, WAY, 6)) for colour in ("red", "blue")
    )
    towards_red = (red[:, 0] - red[:, 2]) - (blue[:, 0] - blue[:, 2])
    assert (towards_red > 0).mean() >= 0.85
    assert towards_red.mean() > 40


def test_a_negative_prompt_takes_away(judge, grounds):
    """What the negative prompt names is seen less often than when the prompt names it."""
    asked = study.paint(toy(), grounds, ["a yellow square"] * COUNT, 4.0, WAY, 5)
    refused = study.paint(toy(), grounds, [""] * COUNT, 4.0, WAY, 5, against="a yellow square")
    assert _share(refused, "yellow", judge) < _share(asked, "yellow", judge) - 0.4


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


def test_resampling_joins_the_hole_to_its_surroundings(grounds):
    """Where the words ask for the ground itself: a smaller error in the rim than by plain masking, same steps."""
    errors = {}
    for way in (study.plain(20), study.resampled(4, 20, 4)):
        painted = study.paint(toy(), grounds, [""] * COUNT, 1.0, way, 7)
        errors[way.name] = study.rim_error(painted, grounds)
    assert errors["resampled 4 times"] < 0.9 * errors["plain masking"]
