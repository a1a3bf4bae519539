"""Prompts through the real bridge, with the toy latent model."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.client import events
from tests.bridge.home import Home, request

TOY = Path(__file__).parents[1] / "engine" / "data" / "toy-latent"
SHORT = {"steps": 8, "jump_length": 8, "jump_samples": 1}


@pytest.fixture
def words(shared: Home) -> Iterator[Home]:
    """The shared home with the toy model in it."""
    place = shared.path / "data" / "models" / "toy-latent"
    if not place.exists():
        shutil.copytree(TOY, place)
    yield shared
    shutil.rmtree(place)


@pytest.mark.slow
def test_a_prompt_reaches_the_model_and_what_was_cut_comes_back(words: Home) -> None:
    watched = words.session()
    options = {**SHORT, "guidance": 3, "negative": "a blue square"}
    plain = watched.run(request("toy-latent", options=SHORT))[0]
    asked = watched.run(request("toy-latent", options={**options, "prompt": "a red circle on sand"}))[0]
    assert plain.rgba != asked.rgba
    perturbed = watched.run(request("toy-latent", options={**SHORT, "pag_scale": 5}))[0]
    assert perturbed.rgba != plain.rgba
    job = watched.session.submit(request("toy-latent", options={**options, "prompt": "red " * 90}))
    assert isinstance(watched.end(job), events.Done)
    (note,) = watched.of(job, events.Note)
    assert "not read: “red" in note.sentence
    kinds = [type(event) for event in watched.of(job)]
    assert kinds.index(events.Note) < kinds.index(events.Progress)
    watched.check_ends()


def test_words_that_cannot_be_used_are_one_sentence(words: Home) -> None:
    watched = words.session()
    for model, options, says in (
        ("toy-latent", {"prompt": 5}, "prompt"),
        ("toy-latent", {"prompt": "a", "guidance": "much"}, "guidance"),
        ("toy-latent", {"prompt": "a", "guidance": 99}, "0 to 30"),
        ("toy-latent", {"prompt": "a", "pag_scale": "much"}, "pag_scale"),
        ("toy-latent", {"prompt": "a", "pag_scale": 99}, "0 to 30"),
        ("toy-latent", {"known_noise": "much"}, "known_noise"),
        ("toy-latent", {"known_noise": 129}, "0 to 128"),
        ("test/gaussian", {"prompt": "a cat"}, "takes no prompt"),
        ("test/gaussian", {"pag_scale": 2}, "perturbed-attention"),
    ):
        end = watched.end(watched.session.submit(request(model, options={**SHORT, **options})))
        assert isinstance(end, events.Failed)
        assert says in end.sentence
