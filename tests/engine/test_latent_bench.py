"""``bench latent`` on networks small enough for a test."""

from __future__ import annotations

import json

import pytest
import torch

from engine.bench import latent
from engine.errors import BadInput
from tests.engine.toys import train

SMALL = {
    "sd": latent.Size("small", "sd", 128, train.UNET | {"sample_size": 16}),
    "sdxl": latent.Size(
        "small XL",
        "sdxl",
        128,
        train.UNET
        | {
            "sample_size": 16,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 64 + 6 * 8,
        },
        pooled=64,
    ),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(latent, "VAE", {name: value for name, value in train.VAE.items() if name != "sample_size"})
    for size in SMALL.values():
        size.unet.pop("sample_size", None)
    monkeypatch.setattr(latent, "SIZES", SMALL)


@pytest.mark.parametrize("size", ["sd", "sdxl"])
@pytest.mark.parametrize("row", ["ours", "diffusers"])
def test_a_row_makes_the_calls_it_is_asked_for(row, size, capsys):
    """Prepared, run and timed as its process does it."""
    torch.manual_seed(0)
    latent.main([row, size, "3", "cpu"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["row"], answer["size"]) == (row, size)
    assert 0 < answer["seconds_per_call"] < 20
    table = latent.table({"device": "here", "calls": 3, "load": [0.5, None], "rows": [answer]})
    assert f"| {latent.ROWS[row]} | {SMALL[size].title} | 128 |" in table


@pytest.mark.parametrize(("sizes", "calls"), [([], 3), (["sd3000"], 3), (["sd"], 1)])
def test_what_cannot_be_timed(sizes, calls):
    with pytest.raises(BadInput):
        latent.measure(sizes, calls, "cpu")
