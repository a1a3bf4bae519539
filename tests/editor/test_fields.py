"""The fields: what can be entered is what the engine takes; values that lie between are led to one that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields as attributes

import numpy as np
import pytest

from bridge_server.client import events
from bridge_server.client.editor import fields
from bridge_server.client.editor.fields import FIELDS, Number, number
from bridge_server.client.editor.model import MAX_SEED
from engine import api, canvas, learning, sampling
from engine.errors import BadInput
from engine.run.job import Job, resolve
from engine.sampling import guidance

PIXELS = np.zeros((64, 64, 4), np.uint8)
SELECTION = np.pad(np.full((8, 8), 255, np.uint8), 28)
WORDS = events.Model("w", "W", "f", "l", True, True, False)
TEXTURE = events.Model("t", "T", "f", "l", True, False, False, learns=True)


def taken(work: Callable[[], object]) -> bool:
    try:
        work()
    except BadInput:
        return False
    return True


def job(**options: int) -> Callable[[], object]:
    return lambda: resolve(Job(PIXELS, SELECTION, **options))


CHECKS: dict[str, Callable[[int], bool]] = {
    "steps": lambda value: taken(job(steps=value, jump_length=1, jump_samples=1)),
    "jump_length": lambda value: taken(job(steps=1000, jump_length=value, jump_samples=2)),
    "jump_samples": lambda value: taken(job(steps=20, jump_length=5, jump_samples=value)),
    "padding": lambda value: taken(lambda: canvas.surroundings(SELECTION, value)),
    "known_noise": lambda value: taken(job(known_noise=value)),
    "guidance": lambda value: 0 <= value <= guidance.MAX_SCALE,
    "learn": lambda value: learning.adapt.SECONDS[0] <= value <= learning.adapt.SECONDS[1],
}
WIDER = {
    ("jump_length", 1),
    ("jump_samples", 1),
    ("guidance", -1),
    ("known_noise", -1),
}  # the engine takes more than is of use


def options() -> list[Number]:
    return [each for each in FIELDS.values() if isinstance(each, Number) and each.name in CHECKS]


def test_every_option_is_one_of_the_engines() -> None:
    names = {each.name for each in FIELDS.values() if each.option}
    assert names <= {each.name for each in attributes(Job)}
    assert set(CHECKS) <= names


@pytest.mark.parametrize("field", options(), ids=lambda field: field.name)
def test_a_range_is_the_engines(field: Number) -> None:
    accepts = CHECKS[field.name]
    assert accepts(field.low)
    assert accepts(field.high)
    if (field.name, -1) not in WIDER:
        assert not accepts(field.low - 1)
    if (field.name, 1) not in WIDER:
        assert not accepts(field.high + 1)


@pytest.mark.parametrize("field", options(), ids=lambda field: field.name)
def test_whatever_is_typed_becomes_a_value_that_can_be_sent(field: Number) -> None:
    for before in (0, field.low, field.high):
        for typed in (*range(field.low + 2), field.high, field.high + 1):
            value = field.check(field.snapped(typed, before))
            assert value == 0 or CHECKS[field.name](value)
    if field.low > 1:
        assert field.snapped(1, 0) == field.low, "the arrow up leads over the gap"
        assert field.snapped(field.low - 1, field.low) == 0, "and the arrow down back"


@pytest.mark.parametrize(
    ("name", "bad"),
    [("padding", 3), ("steps", 1), ("learn", 4), ("variants", 0), ("variants", 9), ("model", "no name!"), ("hard", 1),
     ("schedule", "never"), ("prompt", 7), ("history_mib", 0), ("seed", MAX_SEED + 1), ("steps", True)],
)  # fmt: skip
def test_what_a_file_must_not_hold(name: str, bad: object) -> None:
    with pytest.raises(ValueError, match=re.escape(str(bad))):
        FIELDS[name].check(bad)


def test_defaults_are_values_of_their_fields_and_leave_the_engine_to_its_own() -> None:
    values = fields.defaults()
    for name, each in FIELDS.items():
        assert each.check(values[name]) == each.default
    assert fields.options(values, None) == {}
    assert number("seed").high == sampling.MAX_SEED
    assert values["model"] == api.Job(PIXELS, SELECTION).model
    assert values["preset"] in api.PRESETS


def test_options_are_those_that_the_model_takes() -> None:
    values = {**fields.defaults(), "prompt": " a door ", "learn": 5, "padding": 16, "hard": True, "feather": 3}
    assert fields.options(values, WORDS) == {"prompt": "a door", "padding": 16, "hard": True}
    assert fields.options(values, TEXTURE) == {"learn": 5, "padding": 16, "hard": True}
    assert fields.options(values, None) == {"padding": 16, "hard": True}
    exemplar = events.Model("exemplar", "E", "exemplar", "l", True, False, False)
    noisy = {**fields.defaults(), "known_noise": 6}
    assert fields.options(noisy, TEXTURE) == {"known_noise": 6}
    assert fields.options(noisy, exemplar) == {}, "it copies the picture as it is"


def test_every_field_stands_on_one_page_and_has_a_label_and_a_tip() -> None:
    placed = [each.name for page in fields.PAGES for each in page.fields]
    placed += [each.name for each in (*fields.COMMON, *fields.MATERIAL, *fields.MAP_LAYERS, *fields.HISTORY)]
    assert sorted(placed) == sorted(FIELDS)
    for name, each in FIELDS.items():
        assert each.tip, name
        assert each.label or name == "lock_seed", name
