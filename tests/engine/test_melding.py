"""Shading between pieces: the equation, its solver, and what it does to pictures."""

import numpy as np
import pytest

from engine.exemplar import melding
from engine.exemplar.melding import Grid
from tests.engine.patterns import boxed

NO_WRAP = (False, False)


def _last(iterator):
    *_, last = iterator
    return last


@pytest.mark.parametrize(("height", "width"), [(9, 12), (16, 7), (5, 5)])
@pytest.mark.parametrize("wraps", [(False, False), (True, False), (True, True)])
def test_the_solver_solves_the_equation(height, width, wraps):
    """Against the matrix, written out; edges of all weights, also 0."""
    rng = np.random.default_rng(height)
    down, across = (rng.choice([0, 0.01, 1], (height, width)).astype(np.float32) for _ in range(2))
    if not wraps[0]:
        down[-1] = 0
    if not wraps[1]:
        across[:, -1] = 0
    diagonal = rng.uniform(0.001, 0.1, (height, width)).astype(np.float32)
    matrix = np.diag(diagonal.ravel().astype(float))
    number = np.arange(height * width).reshape(height, width)
    for weight, axis in ((down, 0), (across, 1)):
        for w, a, b in zip(weight.ravel(), number.ravel(), np.roll(number, -1, axis).ravel(), strict=True):
            matrix[[a, b], [a, b]] += w
            matrix[[a, b], [b, a]] -= w
    right = rng.normal(size=(height, width, 3)).astype(np.float32)
    grid = Grid(diagonal, down, across)
    wanted = np.linalg.solve(matrix, right.reshape(-1, 3)).reshape(right.shape)
    assert np.allclose(grid.applied(wanted.astype(np.float32)), right, atol=1e-3)
    assert np.allclose(_last(melding.solutions(grid, right, 40)), wanted, atol=1e-2 * np.abs(wanted).max())


def test_a_few_iterations_are_enough_for_a_large_area():
    hole = boxed((300, 400), 20, 20, 260, 360) > 0
    down, across = ((hole & np.roll(hole, -1, axis)).astype(np.float32) for axis in (0, 1))
    edge = sum((hole & ~np.roll(hole, shift, axis)).astype(np.float32) for shift in (1, -1) for axis in (0, 1))
    grid = Grid(np.where(hole, edge + 1e-4, 0).astype(np.float32), down, across)
    wanted = np.where(hole[..., None], np.random.default_rng(0).normal(size=(300, 400, 3)), 0).cumsum(0).cumsum(1)
    wanted = np.where(hole[..., None], wanted, 0).astype(np.float32)
    error = _last(melding.solutions(grid, grid.applied(wanted))) - wanted
    assert np.sqrt((error[hole] ** 2).mean() / (wanted[hole] ** 2).mean()) < 0.02


def _steps(picture):
    return tuple(np.roll(picture, -1, axis) - picture for axis in (0, 1))


def _pieces(size, step):
    """A slope with a hole of two pieces, the right one lighter by ``step``; their own differences have no border."""
    slope = np.broadcast_to(np.linspace(-0.3, 0.3, size)[:, None, None], (size, size, 3)).astype(np.float32)
    hole = boxed((size, size), size // 4, size // 4, size // 2, size // 2) > 0
    picture = slope + (hole & (np.arange(size) >= size // 2))[..., None] * np.float32(step)
    return slope, picture.astype(np.float32), hole


def test_two_pieces_of_slightly_other_light_become_one():
    slope, picture, hole = _pieces(48, 0.03)
    change = _last(melding.changes(picture, _steps(slope), ~hole, hole, NO_WRAP))
    assert not change[~hole].any()
    assert np.abs(picture + change - slope)[hole].max() < 0.01 < np.abs(picture - slope)[hole].max()


def test_the_border_of_a_thing_is_kept():
    slope, picture, hole = _pieces(48, 0.8)
    change = _last(melding.changes(picture, _steps(slope), ~hole, hole, NO_WRAP))
    assert np.abs(change).max() < 0.05


def test_a_picture_that_has_its_differences_stays():
    rng = np.random.default_rng(1)
    picture = rng.uniform(-1, 1, (20, 31, 3)).astype(np.float32)
    hole = boxed((20, 31), 0, 5, 20, 9) > 0
    for wraps in (NO_WRAP, (True, True)):
        assert np.abs(_last(melding.changes(picture, _steps(picture), ~hole, hole, wraps))).max() < 1e-5


def test_what_is_neither_known_nor_wanted_changes_nothing():
    slope, picture, hole = _pieces(48, 0.03)
    known = ~hole
    known[:, :12] = False
    apart = [
        _last(melding.changes(p, _steps(slope), known, hole, NO_WRAP))
        for p in (picture, picture + ~(known | hole)[..., None])
    ]
    assert np.array_equal(*apart)
