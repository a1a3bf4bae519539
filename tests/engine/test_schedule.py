"""Golden schedules: the paper's, the report's early and late lists, hand-written lists."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.sampling import schedule
from engine.sampling.schedule import Schedule

GOLDEN = [  # T, L, n, network calls, transitions
    (250, 10, 10, 2410, 4570),
    (250, 10, 1, 250, 250),
    (250, 10, 2, 490, 730),
    (250, 10, 5, 1210, 2170),
    (250, 10, 20, 4810, 9370),
    (250, 1, 10, 2491, 4732),
    (100, 10, 1, 100, 100),
    (100, 10, 2, 190, 280),
    (100, 10, 5, 460, 820),
    (100, 10, 10, 910, 1720),
    (50, 10, 1, 50, 50),
    (50, 10, 2, 90, 130),
    (50, 10, 5, 210, 370),
    (50, 10, 10, 410, 770),
    (50, 10, 25, 1010, 1970),
    (50, 10, 50, 2010, 3970),
    (50, 5, 2, 95, 140),
]


@pytest.mark.parametrize(("steps", "length", "samples", "calls", "transitions"), GOLDEN)
def test_golden_counts(steps, length, samples, calls, transitions):
    levels = schedule.uniform(steps, length, samples)
    assert (levels.calls, levels.transitions) == (calls, transitions)


def test_golden_list():
    expected = [7, 6, 5, 4, 5, 6, 5, 4, 5, 6, 5, 4, 3, 2, 3, 4, 3, 2, 3, 4, 3, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, -1]
    assert list(schedule.uniform(8, 2, 3).levels) == expected


def test_report_early_and_late_lists():
    down, jump = list(range(24, 14, -1)), [*range(14, 24), *range(24, 14, -1)]
    early = [*down, *jump, *jump, *jump, *range(14, -2, -1)]
    assert list(schedule.early(25, 10, 4).levels) == early
    bump = [*range(10), *range(10, 0, -1)]
    late = [*range(24, 0, -1), *bump, *bump, *bump, 0, -1]
    assert list(schedule.late(25, 10, 4).levels) == late
    assert schedule.early(25, 10, 4).calls == schedule.late(25, 10, 4).calls == 55


@pytest.mark.parametrize("name", ["early", "late", "uniform"])
def test_jump_as_long_as_the_run_is_a_plain_run(name):
    assert schedule.named(name, 10, 10, 5).levels == schedule.plain(10).levels


@given(st.integers(2, 120), st.integers(1, 40), st.integers(1, 6), st.integers(0, 120))
def test_every_uniform_schedule_is_valid(steps, length, samples, start):
    levels = schedule.uniform(steps, length, samples, min(start, steps))
    assert levels.steps == steps
    ups = [s for t, s in pairwise(levels.levels) if s > t]
    assert all(level <= min(start, steps) for level in ups)
    if start >= steps and length < steps:
        assert levels.calls == steps + -(-(steps - length) // length) * (samples - 1) * length


def test_hand_written_file(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"levels": [2, 1, 2, 1, 0, -1]}))
    assert schedule.from_file(file).calls == 4
    file.write_text("[2, 1, 0, -1]")
    assert schedule.from_file(file).levels == (2, 1, 0, -1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "JSON"),
        ('{"levels": 5}', "list"),
        ("[2, 1, -1]", "by one"),
        ("[2, 1, 0]", "end at -1"),
        ("[2, 1, 2, 3, 2, 1, 0, -1]", "above its start"),
        ('["2", 1, 0, -1]', "whole numbers"),
        ("[true, 0, -1]", "whole numbers"),
        ("[1000, 999]", "start at its top level"),
        ("[]", "start at its top level"),
    ],
)
def test_malformed_file_is_one_sentence(tmp_path, text, says):
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(BadInput, match=says):
        schedule.from_file(file)


@pytest.mark.parametrize(
    ("steps", "length", "samples"), [(1, 1, 1), (1001, 1, 1), (10, 0, 1), (10, 1, 0), (10, 1, 10**9)]
)
def test_values_out_of_range(steps, length, samples):
    with pytest.raises(BadInput):
        schedule.uniform(steps, length, samples)


def test_schedule_is_checked_however_it_is_made():
    with pytest.raises(BadInput):
        Schedule((3, 1, 0, -1))
