"""What a network is asked for: labels, prompts, and guidance by prompts and by perturbed attention.

Classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598) moves the prediction away from what the network says to
the negative (or empty) prompt, perturbed-attention guidance (Ahn et al. 2024, arXiv 2403.17377) away from what it says
to the same prompt when its self-attention is perturbed: ε̂ = ε̂(c) + (s − 1)(ε̂(c) − ε̂(∅)) + p (ε̂(c) − ε̂'(c)). Both act
in the hole only: the known region is given, and pushing it as well would only pull it away from what it is. They can be
limited to an interval of the way (Kynkäänniemi et al. 2024, arXiv 2404.07724); outside of it one evaluation of the
network does instead of two or three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from engine.errors import BadInput
from engine.sampling.diffusion import Network

MAX_SCALE = 30.0


@dataclass(frozen=True)
class Words:
    """A prompt as a network takes it.

    Attributes:
        embeddings: one row each, by the network's own names.
        cut: the end of the prompt that the text encoder does not read; empty where it reads all.
        perturbed: to be answered with perturbed self-attention (:mod:`engine.models.perturbed`).
    """

    embeddings: dict[str, torch.Tensor] = field(repr=False)
    cut: str = ""
    perturbed: bool = False


Condition = int | tuple[Words, ...] | None
"""A class by number, one or several prompts, or nothing.

For k prompts a network answers with (B, k C, h, w): its output for each, one after the other, so that windows can be
fused as if it were one."""


@dataclass(frozen=True)
class Guide:
    """Prompts and how strongly they act.

    Attributes:
        words, against: the prompt, and what to move away from.
        scale: s, 0 … :data:`MAX_SCALE`; 1 is no guidance.
        interval: of the way from noise (0) to the clean picture (1), within which guidance acts.
        pag_scale: p, of perturbed-attention guidance, 0 … :data:`MAX_SCALE`; 0 is none.
    """

    words: Words
    against: Words
    scale: float
    interval: tuple[float, float] = (0.0, 1.0)
    pag_scale: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.scale <= MAX_SCALE:
            raise BadInput("bad_guidance", f"The guidance must be 0 to {MAX_SCALE:g}, not {self.scale:g}.")
        if not 0 <= self.pag_scale <= MAX_SCALE:
            raise BadInput(
                "bad_guidance", f"Perturbed-attention guidance must be 0 to {MAX_SCALE:g}, not {self.pag_scale:g}."
            )
        start, stop = self.interval
        if not 0 <= start <= stop <= 1:
            raise BadInput(
                "bad_guidance", f"Guidance acts from one share of the way to a later one, not {start:g} to {stop:g}."
            )

    def acts(self, timestep: int, timesteps: int) -> tuple[bool, bool]:
        """Whether classifier-free and whether perturbed-attention guidance acts at a timestep of so many."""
        way = 1 - timestep / max(1, timesteps - 1)
        inside = self.interval[0] <= way <= self.interval[1]
        return inside and self.scale != 1, inside and self.pag_scale != 0

    def evaluations(self, timestep: int, timesteps: int) -> int:
        """Evaluations of the network in one call: 1, and 1 more for each kind of guidance that acts."""
        return 1 + sum(self.acts(timestep, timesteps))


Predict = Callable[[torch.Tensor, int, Condition], torch.Tensor]


def conditioned(
    predict: Predict,
    condition: int | Guide | None,
    keep: torch.Tensor,
    beside: torch.Tensor | None,
    timesteps: int,
    windowed: Callable[[Network], Network],
) -> Network:
    """The network that the sampler calls.

    Args:
        predict: the model's own.
        condition: a class, or prompts with guidance.
        keep: 1 where known, (1, 1, h, w): no guidance there.
        beside: put beside x_t at every call, (B, E, h, w).
        timesteps: of the model.
        windowed: fuses a network over windows.
    """

    def asked(which: Condition) -> Network:
        fused = windowed(lambda x, timestep: predict(x, timestep, which))
        if beside is None:
            return fused
        return lambda x, timestep: fused(torch.cat([x, _rows(beside, len(x))], dim=1), timestep)

    if not isinstance(condition, Guide):
        return asked(condition)
    guide, words = condition, condition.words
    pushed = replace(words, perturbed=True)
    networks = {
        (away, perturbed): asked((words,) + (guide.against,) * away + (pushed,) * perturbed)
        for away in (False, True)
        for perturbed in (False, True)
    }

    def guided(x: torch.Tensor, timestep: int) -> torch.Tensor:
        away, perturbed = guide.acts(timestep, timesteps)
        answers = networks[away, perturbed](x, timestep)
        if not (away or perturbed):
            return answers
        towards, *others = answers.chunk(1 + away + perturbed, dim=1)
        out = towards
        if away:
            out = out + (guide.scale - 1) * (1 - keep) * (towards - others[0])
        if perturbed:
            out = out + guide.pag_scale * (1 - keep) * (towards - others[-1])
        return out

    return guided


def _rows(tensor: torch.Tensor, count: int) -> torch.Tensor:
    return tensor if len(tensor) == count else tensor[:1].expand(count, *tensor.shape[1:])


def _short(text: str) -> str:
    return text if len(text) <= 150 else f"{text[:100]} … {text[-40:]}"


def left_out(words: Sequence[Words]) -> str:
    """The sentence that says what of the prompts was not read; empty where all was."""
    parts = [f"“{_short(each.cut)}”" for each in words if each.cut]
    return f"The prompt is too long for this model; not read: {' and '.join(parts)}." if parts else ""
