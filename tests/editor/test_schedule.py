"""The walk that the windows draw is the engine's own."""

from __future__ import annotations

import pytest

from bridge_server.client.editor.fields import FIELDS
from bridge_server.client.editor.schedule import levels
from engine.sampling import PRESETS, schedule


@pytest.mark.parametrize("kind", [value for value, _ in FIELDS["schedule"].entries])
@pytest.mark.parametrize("steps", [2, 3, 20, 40, 250])
@pytest.mark.parametrize(("length", "samples"), [(1, 1), (1, 2), (5, 2), (5, 10), (10, 3), (20, 2), (40, 2), (300, 5)])
def test_the_walk_is_the_engines(kind: str, steps: int, length: int, samples: int) -> None:
    assert levels(steps, length, samples, kind) == list(schedule.named(kind, steps, length, samples).levels)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)
def test_and_those_of_the_presets(preset: object) -> None:
    values = (preset.steps, preset.jump_length, preset.jump_samples)
    assert levels(*values, "uniform") == list(schedule.named("uniform", *values).levels)
