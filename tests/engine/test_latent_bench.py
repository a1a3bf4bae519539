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
    latent.main([row, size, "128", "3", "cpu"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1].removeprefix(latent.MARK))
    assert 0 < answer["seconds_per_call"] < 20
    facts = {"row": row, "size": size, "side": 128, "calls": 3, "device": "here", "load": None}
    assert f"| {latent.ROWS[row]} | {SMALL[size].title} | 128 |" in latent.table({"rows": [facts | answer]})


def _answer(seconds: float) -> dict:
    return {"dtype": "float32", "seconds_per_call": seconds, "rest": 5.0, "peak_mib": 100.0}


def test_a_run_goes_on_where_it_stopped_and_says_what_failed(monkeypatch, tmp_path):
    """Rows are written one by one; what failed is tried again, what was measured is not."""
    asked = []

    def apart(row, size, side, *_):
        asked.append((row, size, side))
        if row == "diffusers" and len(asked) < 4:
            return {"failed": "out of memory"}
        if len(asked) == 3:
            raise KeyboardInterrupt
        return _answer(1.0 if row == "ours" else 2.0)

    monkeypatch.setattr(latent, "_measured_apart", apart)
    out = tmp_path / "rows.json"
    with pytest.raises(KeyboardInterrupt):
        latent.measure(["sd", "sdxl"], 3, "cpu", [128], out)
    assert [(row["row"], row["size"]) for row in json.loads(out.read_text())["rows"]] == [
        ("ours", "sd"), ("diffusers", "sd")
    ]  # fmt: skip
    assert "out of memory" in latent.table(json.loads(out.read_text()))
    result = latent.measure(["sd", "sdxl"], 3, "cpu", [128], out)
    assert asked[3:] == [("diffusers", "sd", 128), ("ours", "sdxl", 128), ("diffusers", "sdxl", 128)]
    assert result["rows"] == json.loads(out.read_text())["rows"]
    shown = latent.table(result)
    assert shown.count("0.50 ×") == 2
    assert "| 80 |" in shown  # fast: 75 calls of a second, and the rest


def test_a_process_that_dies_is_a_row_that_says_so():
    """No size of that name inside the process: its last words are in the table."""
    found = latent._measured_apart("ours", "nothing", 128, 3, torch.device("cpu"))
    assert "nothing" in found["failed"]


@pytest.mark.parametrize(
    ("sizes", "calls", "sides"),
    [([], 3, None), (["sd3000"], 3, None), (["sd"], 1, None), (["sd"], 3, [100]), (["sd"], 3, [0])],
)
def test_what_cannot_be_timed(sizes, calls, sides):
    with pytest.raises(BadInput):
        latent.measure(sizes, calls, "cpu", sides)


def test_a_file_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "other.json").write_text('{"rows": []}')
    with pytest.raises(BadInput):
        latent.measure(["sd"], 3, "cpu", None, tmp_path / "other.json")
