"""Figures in the grid: the best one, the order, favourites, the search, and the split view's parts."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import events
from bridge_server.client.editor import choosing, figures, model
from bridge_server.client.editor.choices import MAX_FAVOURITES, Choices
from bridge_server.client.editor.history import History, note
from bridge_server.client.editor.view import Chosen
from bridge_server.client.geometry import Box
from bridge_server.client.records import Figures
from tests.editor.stage import RGBA, SIZE, Stage, finished_run, result

GOOD, FAIR, BAD = Figures(1.0, 0.95, 0.5), Figures(1.2, 0.9, 0.9), Figures(2.0, 0.5, 1.0)
NONE = Figures(None, None, None)


class Field:
    def __init__(self, value: Any) -> None:
        self.value = value

    def read(self) -> Any:
        return self.value


def judged(stage: Stage, *found: Figures | None, job: str = "job1") -> model.Run:
    """A run whose variants have these figures, up to its end."""
    stage.start(len(found))
    stage.tell(events.Accepted(job, 0, 10))
    for variant, each in enumerate(found):
        place = (0, 0, SIZE, SIZE)
        pixels = RGBA[variant + 1]
        stage.tell(events.Result(job, variant, 7 + variant, *place, "texture", 1.0, 10, False, "u8", each, rgba=pixels))
    return stage.flow.run


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_the_best_one_stands_in_the_layer_when_a_run_ends(stage: Stage) -> None:
    run = judged(stage, BAD, GOOD, FAIR)
    stage.tell(events.Done("job1", 1.0))
    assert stage.flow.selected == (run, 1)
    assert stage.host.layers[0].painted[-1] == RGBA[2]


def test_but_not_if_the_artist_has_chosen_one(stage: Stage) -> None:
    run = judged(stage, BAD, GOOD, FAIR)
    stage.flow.choose(run, 2)
    stage.tell(events.Done("job1", 1.0))
    assert stage.flow.selected == (run, 2)
    assert stage.host.layers[0].painted[-1] == RGBA[3]


def test_without_figures_it_is_the_first(stage: Stage) -> None:
    run = judged(stage, None, None)
    stage.tell(events.Done("job1", 1.0))
    assert stage.flow.selected == (run, 0)


def test_discord_is_symmetrical_and_copies_are_no_fault() -> None:
    assert figures.discord(Figures(1.0, 1.0, 0.0)) == 0
    assert figures.discord(Figures(2.0, 1.0, 1.0)) == pytest.approx(figures.discord(Figures(0.5, 1.0, 0.0)))
    assert figures.discord(Figures(2.0, None, None)) == pytest.approx(math.log(2))
    assert figures.discord(Figures(0.0, 1.0, None)) < math.inf
    assert figures.discord(None) == figures.discord(Figures(None, None, 1.0)) == math.inf
    assert figures.best([]) is None


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (GOOD, "fits"),
        (Figures(1.6, 1.0, 1.0), "edge"),
        (Figures(1.0, 0.5, 1.0), "smooth"),
        (Figures(1.0, 1.6, None), "grainy"),
        (Figures(1.0, 1.0, 0.1), "copied"),
        (None, ""),
        (NONE, ""),
    ],
)
def test_a_word_for_each(found: Figures | None, word: str) -> None:
    assert figures.verdict(found) == word


def test_the_tip_has_the_figures() -> None:
    assert figures.explained(Figures(1.234, None, 0.25)) == (
        "Edge 1.23, grain – (best at 1)\n25 % of it is found nowhere else in the picture"
    )
    assert figures.explained(None) == ""


def test_the_colour_of_the_ring_is_said_when_the_run_ends(stage: Stage) -> None:
    stage.running()
    told = replace(result(0, 1), figures=Figures(1.2, 0.9, 0.9, ring_before=7.26, ring_after=0.94))
    stage.tell(told, events.Done("job1", 3.0))
    assert stage.flow.sentence == "Done in 3 s. Colour difference at the edge (ΔE00): 7.3 → 0.9"
    assert figures.explained(told.figures).endswith("\nColour difference at the edge (ΔE00): 7.3 → 0.9")


def grid(stage: Stage, path: Path, search: str = "", order: str = "newest", only: bool = False) -> choosing.Choosing:
    widgets = {"search": Field(search), "order": Field(order), "only_favourites": Field(only)}
    return choosing.Choosing(stage.flow, Choices(path / "choices.json"), widgets)


def test_best_first(stage: Stage, tmp_path: Path) -> None:
    judged(stage, FAIR, None, BAD, GOOD)
    stage.tell(events.Done("job1", 1.0))
    assert [entry.variant.index for entry in grid(stage, tmp_path).entries()] == [0, 1, 2, 3]
    best = grid(stage, tmp_path, order="best").entries()
    assert [entry.variant.index for entry in best] == [3, 0, 2, 1]
    assert best[0].text == "✓ 4 fits"
    assert "Edge 1.00, grain 0.95" in best[0].tip
    assert f"{2} × {2} · 20" in best[0].tip


def test_favourites_are_kept(stage: Stage, tmp_path: Path) -> None:
    run = judged(stage, GOOD, FAIR)
    stage.tell(events.Done("job1", 1.0))
    one = grid(stage, tmp_path)
    chosen = Chosen(run, run.variants[1])
    one.favourite(chosen)
    again = grid(stage, tmp_path, only=True)
    assert again.is_favourite(chosen)
    assert [entry.text[0] for entry in again.entries()] == ["★"]
    again.favourite(chosen)
    assert not grid(stage, tmp_path).is_favourite(chosen)
    assert not again.is_favourite(None)


def test_a_file_with_other_favourites_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "choices.json"
    for found in ('"x"', "[1, null]", "7"):
        path.write_text(f'{{"user": {{}}, "documents": {{}}, "favourites": {found}}}')
        assert Choices(path).favourites == []
    one = Choices(path)
    for number in range(MAX_FAVOURITES + 5):
        one.favourites.append(str(number))
    one.favour("last", True)
    assert (len(one.favourites), one.favourites[-1]) == (MAX_FAVOURITES, "last")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("textu", True), ("TEXTURE".lower(), True), ("exemplar", False), ("2x2", True), ("2×2", True), ("3x2", False),
        ("2026-11", True), ("2026-12", False), (">1", True), (">2", False), ("<3", True), ("<2", False), ("7", True),
        (">", False), ("fast", True),
    ],
)  # fmt: skip
def test_a_search(stage: Stage, word: str, found: bool) -> None:
    run = finished_run(stage, "job1")
    run.made = 1795000000.0  # 2026-11-18
    assert choosing.matches(run, run.variants[0], word) == found


def test_the_split_view_has_the_original_and_the_last_two_of_a_place(stage: Stage, tmp_path: Path) -> None:
    run, one = judged(stage, GOOD, FAIR), grid(stage, tmp_path)
    stage.tell(events.Done("job1", 1.0))
    first, second = (Chosen(run, variant) for variant in run.variants)
    assert one.parts(None) == []
    assert [part.title for part in one.parts(first)] == ["Original", "B"]
    parts = one.parts(second)
    assert [part.title for part in parts] == ["Original", "A", "B"]
    assert [part.variant for part in parts] == [None, first.variant, second.variant]
    assert [part.variant for part in one.parts(second)] == [None, first.variant, second.variant], "asked once more"
    other = finished_run(stage, "job2")
    assert [part.title for part in one.parts(Chosen(other, other.variants[0]))] == ["Original", "B"], "another place"


def test_bars_do_not_pass_each_other() -> None:
    assert choosing.clamped([0.3, 0.6], 0, 0.8) == [0.6, 0.6]
    assert choosing.clamped([0.3, 0.6], 1, 0.1) == [0.3, 0.3]
    assert choosing.clamped([0.5], 0, -1) == [0.0]
    assert choosing.clamped([0.5], 0, 2) == [1.0]


def test_the_date_outlives_the_editor(stage: Stage) -> None:
    run = finished_run(stage, "job1")
    run.made = 1795000000.4
    entry = events.Recovered("job1", note(run), "texture", "done", 1, 1, 2, 2, "u8")
    history = History()
    assert history.add(entry)
    (found,) = history.take("document", "key", "/pictures/a.png")
    assert found.made == 1795000000
    assert found.target.bounds == Box(1, 1, 2, 2)
