"""The network's class comes without the rest of diffusers, and leaves nothing behind: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("transformers.modeling_utils", "peft", "scipy", "sympy", "torch._dynamo", "diffusers.models.unets")

LEAN = f"""
import sys
from engine.models.network_class import unet_2d
found = unet_2d()
assert found is unet_2d()
loaded = [name for name in {HEAVY} if name in sys.modules]
assert not loaded, loaded
"""
WHOLE = """
import diffusers, torch
import torch._dynamo
from diffusers.models.transformers import SD3Transformer2DModel
from diffusers.models.unets.unet_2d import UNet2DModel
assert diffusers.UNet2DModel is found is UNet2DModel
assert issubclass(diffusers.UNet2DConditionModel, diffusers.ModelMixin)
assert issubclass(found, diffusers.ModelMixin)
"""
OTHER = """
import importlib
usual = importlib.import_module
def refuse(name, *rest):
    if name.endswith("unet_2d"): raise ImportError("another diffusers")
    return usual(name, *rest)
from engine.models import network_class
network_class.importlib = type("other", (), {"import_module": staticmethod(refuse)})
found = network_class.unet_2d()
"""


@pytest.mark.parametrize("code", [LEAN, OTHER], ids=["as pinned", "another diffusers"])
def test_the_class_is_diffusers_own_and_the_rest_can_follow(code: str) -> None:
    command = [sys.executable, "-c", code + WHOLE]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
