"""Where a latent model's parts lie, and what happens when they do not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine import api
from engine.errors import EngineError
from engine.models import latent, memory
from tests.engine.latent_help import job, last, relative, toy
from tests.engine.toys import FOLDER

CPU = torch.device("cpu")


def test_the_forecast_takes_the_fastest_placement_that_fits():
    gib = 2**30
    sd = {"network": int(1.6 * gib), "others": int(0.56 * gib), "cells": 64 * 64, "width": 320, "pixels": 512 * 512}
    chosen = [memory.placement(int(free * gib), **sd) for free in (8, 4, 3, 1)]
    assert chosen == [
        memory.Placement(beside=True, streamed=False, paired=True),
        memory.Placement(beside=False, streamed=False, paired=True),
        memory.Placement(beside=False, streamed=False, paired=False),
        memory.Placement(beside=False, streamed=True, paired=False),
    ]


def test_prompts_in_pairs_and_layers_sent_over_give_the_same(monkeypatch):
    """The ways of a CUDA device, walked on the CPU: a pair in one batch; accelerate's offloading, layer by layer."""
    x, words = torch.randn(2, 4, 16, 16), (toy().read("a red circle"), toy().read(""))
    expected = toy().predict(x, 500, words)
    for chosen in (memory.Placement(True, False, True), memory.Placement(False, True, False)):
        monkeypatch.setattr("engine.models.latent._placement", lambda *_, chosen=chosen: chosen)
        model = api.load_model(str(FOLDER), "cpu")
        assert relative(model.predict(x, 500, words), expected) < 1e-4


def test_a_pair_that_does_not_fit_goes_on_one_by_one(monkeypatch):
    """The way of a CUDA device: the batch of both prompts is too much, each alone is not."""
    monkeypatch.setattr("engine.models.latent._placement", lambda *_: memory.Placement(True, False, True))
    from diffusers import UNet2DConditionModel

    forward, rows = UNet2DConditionModel.forward, []

    def limited(self, sample, *more, **options):
        rows.append(len(sample))
        if len(sample) > 1:
            raise torch.OutOfMemoryError("injected")
        return forward(self, sample, *more, **options)

    model = api.load_model(str(FOLDER), "cpu")
    expected = last(toy(), prompt="a red circle", guidance=3.0)
    monkeypatch.setattr(UNet2DConditionModel, "forward", limited)
    found = last(model, prompt="a red circle", guidance=3.0)
    assert rows == [2] + [1] * 12
    assert np.abs(found.fill - expected.fill).max() < 1e-3


def test_a_model_that_does_not_fit_is_sent_over_layer_by_layer_or_is_a_sentence(monkeypatch):
    """The forecast was too hopeful; and nothing helps."""

    move, tried = latent._move, []

    def failing(network, others, place, device):
        tried.append(place)
        if len(tried) in fails:
            raise torch.OutOfMemoryError("injected")
        return move(network, others, place, device)

    monkeypatch.setattr(latent, "_move", failing)
    monkeypatch.setattr(latent, "_placement", lambda *_: memory.Placement(True, False, True))
    fails = {1}
    model = api.load_model(str(FOLDER), "cpu")
    assert [place.streamed for place in tried] == [False, True]
    x, words = torch.randn(1, 4, 16, 16), (toy().read("a red circle"),)
    assert relative(model.predict(x, 500, words), toy().predict(x, 500, words)) < 1e-4
    fails = {3, 4}
    with pytest.raises(EngineError) as caught:
        api.load_model(str(FOLDER), "cpu")
    assert caught.value.code == "out_of_memory"
    assert "choose a smaller model" in caught.value.sentence


def test_out_of_memory_goes_on_in_a_smaller_plan():
    seen = []

    def predict(x, timestep, words):
        seen.append(x.shape[-1])
        if x.shape[-1] > 8:
            raise torch.OutOfMemoryError("injected")
        return toy().predict(x, timestep, words)

    note, *_, event = api.run(job(toy()), replace(toy(), predict=predict))
    assert note == api.Note(api.SMALLER_PARTS)
    assert seen[0] == 16
    assert set(seen[1:]) == {8}  # one window a call is no less here, and not tried
    assert event.fill.shape == (48, 48, 3)


def test_out_of_memory_at_last_is_a_sentence():
    def predict(*_):
        raise torch.OutOfMemoryError("injected")

    with pytest.raises(EngineError) as caught:
        last(replace(toy(), predict=predict))
    assert caught.value.code == "out_of_memory"


def test_the_autoencoder_falls_back_to_tiles():
    """Both ways, with the same picture within what blending changes."""
    space = toy().space
    decode, encode, sizes = space._vae.decode, space._vae.encode, []

    def failing(work, most):
        def limited(x, *more, **options):
            sizes.append(x.shape[-1])
            if x.shape[-1] > most:
                raise torch.OutOfMemoryError("injected")
            return work(x, *more, **options)

        return limited

    x = torch.randn(1, 4, 24, 40, generator=torch.Generator().manual_seed(0))
    expected = space.leave(x)
    known = torch.ones(1, 1, *expected.shape[2:])
    cells = space.enter(expected, known).y
    space._vae.decode, space._vae.encode = failing(decode, 16), failing(encode, 128)
    try:
        found, entered = space.leave(x), space.enter(expected, known).y
    finally:
        del space._vae.decode, space._vae.encode
    assert sizes == [40] + [16] * 6 + [320] + [128] * 6
    assert (found - expected).abs().mean() < 0.03
    assert (entered - cells).abs().mean() < 0.05
