"""Which device is chosen, where torch offers one or another; no such device is needed."""

from __future__ import annotations

import pytest
import torch

from engine import devices
from engine.commands import cli
from engine.errors import BadInput


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps", None, "something"])
def test_the_best_is_what_torch_offers_and_the_cpu_is_always_there(monkeypatch, kind):
    found = None if kind is None else type("Device", (), {"type": kind})()
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: found)
    known = kind in devices.KINDS
    assert devices.available() == ((kind, "cpu") if known else ("cpu",))
    assert devices.chosen().type == (kind if known else "cpu")
    assert devices.chosen("cpu").type == "cpu"
    others = {"cuda", "xpu", "mps"} - {kind}
    for other in sorted(others):
        with pytest.raises(BadInput, match=r"not available here; use .*cpu"):
            devices.chosen(other)


def test_no_device_computes_in_bfloat16_that_only_imitates_it(monkeypatch):
    for module in (torch.cuda, torch.xpu):
        for has in (True, False):
            monkeypatch.setattr(module, "is_bf16_supported", lambda has=has, **_: has)
            device = torch.device("cuda" if module is torch.cuda else "xpu")
            assert devices.inference_dtype(device) == (torch.bfloat16 if has else torch.float32)
    assert devices.inference_dtype(torch.device("mps")) == torch.float32


def test_the_command_line_takes_every_kind_and_says_which_are_here(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: None)
    arguments = ["inpaint", str(tmp_path / "a.png"), "-m", str(tmp_path / "b.png"), "-o", str(tmp_path / "c.png")]
    for kind in devices.KINDS:
        assert cli._parser().parse_args([*arguments, "--device", kind]).device == kind
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--device", "abacus"])
    assert "abacus" in capsys.readouterr().err
