"""A latent text-to-image model small enough to lie beside the tests, and all that made it.

It is structurally a Stable Diffusion 1.x (AutoencoderKL, UNet2DConditionModel, CLIPTextModel, CLIPTokenizer), trained
by :mod:`tests.engine.toys.train` on the procedural pictures of :mod:`tests.engine.toys.pictures`.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "toy-latent"
"""The model, a folder in diffusers' layout."""
JUDGE = FOLDER.with_name("toy-judge.safetensors")
"""Weights of the classifier that tells what a picture shows."""
ASYMMETRIC = FOLDER.with_name("toy-asymmetric")
"""An asymmetric autoencoder for it, made by :mod:`tests.engine.toys.asymmetric`."""
