"""What a model is: a line of the catalogue, and a function with what the sampler must know about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.canvas import Geometry
from engine.errors import BadInput
from engine.exemplar import Exemplar
from engine.models.entries import Entry
from engine.sampling import Diffusion, Guide, Pixels, Prediction, Settings, Space, Words


@dataclass(frozen=True)
class ModelInfo:
    """A line of the catalogue.

    Attributes:
        installed: its files are here (not that they are sound: ``models verify`` tells).
        takes_label: it makes, or its classifier guides towards, one of several classes.
        classifier: folder of its noisy classifier, where it has one.
        vae: folder of an autoencoder in place of its own.
        learned: SHA-256 of the weights that stand in place of the folder's, where it has learned a picture.
        learns: it can learn a picture first (:mod:`engine.learning.adapt`).
        entry: how it can be had, where it is not here.
    """

    id: str
    title: str
    family: str
    licence: str
    folder: Path | None = None
    installed: bool = True
    takes_prompt: bool = False
    takes_label: bool = False
    classifier: Path | None = None
    vae: Path | None = None
    learned: str = ""
    learns: bool = False
    entry: Entry | None = None


@dataclass(frozen=True)
class Model:
    """A loaded model: one function and what the sampler must know about it.

    Attributes:
        predict: (x (B, C, h, w) float32 on ``device``, timestep, :data:`engine.sampling.guidance.Condition`) → output
            float32.
        alpha_bar: the model's own ᾱ of its training timesteps, shape (N,), float64.
        labels: names of the classes of a class-conditional model or of its classifier, by number; else empty.
        label_optional: True where only the classifier knows classes, so that the model also works without a label.
        classifier_gradient: (x, timestep, label number) → ∇_x log p(label | x), x's shape; None without a classifier.
        space: what ``predict`` works in.
        read: a prompt as the network takes it; None for models without prompts.
        guidance: scale of classifier-free guidance where a job names none.
        perturbs: it answers to words with perturbed self-attention, too.
        blind_below: ᾱ below which the model decides nothing. Networks do: noise says what is bright and dark, and a run
            that begins with pure noise where ᾱ is higher keeps it, as dark or bright patches.
        eta: η of few steps, where a preset leaves it to the model; None for the DDPM step, which is η = 1 where its
            variance is small. The fewer the steps, the more variance they lose with η = 1 (Song et al. 2021, arXiv
            2010.02502, Table 1), unless x_0 is all but certain, as for the exemplar model; a network that guesses what
            it does not know guesses too boldly with less.
        anchor: σ above which estimates are held to the surroundings (:mod:`engine.sampling.anchor`), where a preset
            asks for it; 0: never. For networks of textures in general.
        exemplar: for models made of the picture itself: (pixels (H, W, 3) float32 in [−1, 1], known (H, W) bool) → its
            patches, whose denoiser then takes the place of ``predict``; large pictures are painted by
            :mod:`engine.exemplar.octave_run` instead.
    """

    info: ModelInfo
    predict: Callable[[torch.Tensor, int, Any], torch.Tensor]
    alpha_bar: np.ndarray
    prediction: Prediction
    geometry: Geometry
    device: torch.device
    labels: tuple[str, ...] = ()
    label_optional: bool = False
    classifier_gradient: Callable[[torch.Tensor, int, int], torch.Tensor] | None = None
    space: Space = field(default_factory=Pixels)
    read: Callable[[str], Words] | None = None
    guidance: float = 1.0
    perturbs: bool = False
    blind_below: float = 0.0
    eta: float | None = None
    anchor: float = 0.0
    exemplar: Callable[[np.ndarray, np.ndarray], Exemplar] | None = None

    def guide(
        self, prompt: str, negative: str, scale: float | None, interval: tuple[float, float], pag_scale: float = 0.0
    ) -> Guide | None:
        """What a job's words mean to this model; None for a model without prompts.

        Raises:
            BadInput: words or perturbed attention for a model without, a scale or an interval out of range.
        """
        if pag_scale and not self.perturbs:
            raise BadInput(
                "bad_guidance", f"The model {self.info.title} has no perturbed-attention guidance; leave it at 0."
            )
        if self.read is None:
            if prompt or negative:
                raise BadInput("bad_prompt", f"The model {self.info.title} takes no prompt; leave it out.")
            return None
        strength = self.guidance if scale is None else scale
        guide = Guide(self.read(prompt), self.read(negative), strength, interval, pag_scale)
        return guide if prompt or negative else replace(guide, scale=1.0)

    def diffusion(self, steps: int, settings: Settings) -> Diffusion:
        """The levels of a run with settings that :meth:`settings` returned."""
        return Diffusion(self.alpha_bar, steps, self.prediction, settings.spacing, settings.first_alpha_bar)

    def settings(self, asked: Settings) -> Settings:
        """A run's settings as this model takes them: no clipping of latents, its own η where that is left to it, and
        where the first levels are left out, those at which the model decides nothing are, too."""
        return replace(
            asked.with_eta(self.eta),
            clip=asked.clip and self.space.clip,
            first_alpha_bar=max(asked.first_alpha_bar, self.blind_below) if asked.first_alpha_bar else 0.0,
        )

    def label_number(self, label: str | int | None) -> int | None:
        """The number of a class given by number or by name (case does not matter; one of several synonyms will do).

        Raises:
            BadInput: no such class, a name of several, a label for a model without classes, or none where one is due.
        """
        if not self.labels:
            if label is None:
                return None
            raise BadInput("bad_label", f"The model {self.info.title} has no classes; leave the label out.")
        last = len(self.labels) - 1
        if label is None:
            if self.label_optional:
                return None
            raise BadInput(
                "bad_label", f"The model {self.info.title} needs a class label: a name or a number from 0 to {last}."
            )
        text = str(label).strip().casefold()
        if text.isdecimal() and int(text) <= last:
            return int(text)
        whole = [number for number, name in enumerate(self.labels) if name.casefold() == text]
        found = whole or [
            number
            for number, name in enumerate(self.labels)
            if text in [synonym.strip() for synonym in name.casefold().split(",")]
        ]
        if len(found) > 1:
            numbers = " or ".join(str(number) for number in found)
            raise BadInput("bad_label", f"Several classes are called {label!r}; give the number {numbers} instead.")
        if not found:
            raise BadInput("bad_label", f"There is no class {label!r}; give a name or a number from 0 to {last}.")
        return found[0]
