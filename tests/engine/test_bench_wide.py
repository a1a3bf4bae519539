"""``bench photo --wide`` and ``--learn``: the cases, and what is learned before the clock starts; no network."""

from __future__ import annotations

import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from engine.bench import methods, photo, photo_run
from engine.commands import cli
from engine.errors import BadInput


def _case(side: int, kind: str = "texture", name: str = "felt") -> photo.PhotoCase:
    noise = np.random.default_rng(3).integers(0, 256, (side, side, 3), np.uint8)
    pixels = cv2.addWeighted(cv2.GaussianBlur(noise, (0, 0), 4), 0.7, noise, 0.3, 0)
    entry = photo.Entry(
        name=f"{name}-hole", kind=kind, task="hole", set="tuning", picture=name, package="made-up", version="1",
        file="a.png", licence="CC0-1.0", crop=(0, 0, side, side), sha256=photo.digest(pixels), side=24,
        mask={"shape": "blob", "centre": [side // 2, side // 2], "side": 24, "seed": 3},
    )  # fmt: skip
    return photo.case_of(entry, pixels)


def test_wide_cases_are_a_hole_in_each_texture_and_its_right_side():
    felt, sea = _case(600), _case(600, "photograph", "sea")
    hole, right = photo.wide([felt, sea])
    assert (hole.name, hole.kind, hole.task) == ("felt-wide-hole", "hole 256", "hole")
    rows, columns = np.nonzero(hole.new)
    assert [np.ptp(rows) + 1, np.ptp(columns) + 1] == pytest.approx([256, 256], abs=3)
    assert (right.name, right.kind, right.has_truth) == ("felt-wide-extend", "extend one side", True)
    assert np.array_equal(right.truth, felt.truth[44:556])
    assert np.array_equal(np.flatnonzero(right.new.all(axis=0)), np.arange(344, 600))
    assert not right.new[:, :344].any()
    with pytest.raises(BadInput, match="no hole in a texture"):
        photo.wide([sea])


def test_what_is_prepared_for_a_case_is_no_part_of_its_cost():
    def busy(seconds: float) -> None:
        end = os.times().user + seconds
        while os.times().user < end:
            sum(range(1000))

    method = replace(methods.truth(), prepare=lambda _case: busy(0.5))
    spent = photo_run.priced(method, _case(96), 0, torch.device("cpu"))[2].processor_seconds
    assert spent is None or spent < 0.4  # the system does not tell


def test_the_command_asks_for_the_network_as_it_is_and_once_it_has_learned(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(photo.Pictures, "cases", lambda _self, _entries: [_case(300)])
    wanted = ["bench", "photo", "--wide", "--model", "texture", "--rivals", "none", "--no-perceptual"]
    wanted += ["--out", str(tmp_path), "--limit", "-1"]
    assert cli.main([*wanted, "--learn", "long"]) != 0
    assert "--learn takes seconds, e.g. 60,180, not 'long'." in capsys.readouterr().err
    assert cli.main([*wanted, "--learn", "5"]) == 0
    assert "6 pictures are still missing" in capsys.readouterr().out, "three for each case"
