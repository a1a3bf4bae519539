"""Gaussian mixtures: priors whose denoiser, score and posterior are known in closed form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Mixture:
    """Σ_k w_k N(m_k, Q_k diag(v_k) Q_kᵀ), all float64.

    Attributes:
        weights: w, (K,), sum 1.
        means: m, (K, d).
        variances: v, (K, d), or (1, d) where all components share them; then ``axes`` is None.
        axes: Q, (K, d, d), orthonormal columns; None where the covariances are diagonal.
    """

    weights: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor
    axes: torch.Tensor | None = None

    @property
    def shared(self) -> bool:
        return self.axes is None and self.variances.shape[0] == 1

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(count, d) independent draws."""
        chosen = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        z = torch.randn(count, self.means.shape[1], generator=generator).double()
        z = z * self.variances.expand_as(self.means)[chosen].sqrt()
        if self.axes is not None:
            z = torch.einsum("nij,nj->ni", self.axes[chosen], z)
        return self.means[chosen] + z

    def moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of each coordinate, (d,) each."""
        mean = self.weights @ self.means
        variances = self.variances.expand_as(self.means)
        if self.axes is not None:
            variances = torch.einsum("kij,kj->ki", self.axes**2, variances)
        return mean, self.weights @ (variances + (self.means - mean) ** 2)

    def denoise(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """E[x_0 | x_0 + σ n = x] for x (N, d); differentiable."""
        if self.shared:  # no (N, K, d) tensor: d may be 800
            total = self.variances + sigma**2
            precise = self.means / total
            logits = torch.log(self.weights) + x @ precise.T - (precise * self.means).sum(1) / 2
            gain = self.variances / total
            return gain * x + (1 - gain) * (torch.softmax(logits, 1) @ self.means)
        share, along = self._components(x, sigma)
        fitted = self.variances / (self.variances + sigma**2) * along
        if self.axes is not None:
            fitted = torch.einsum("kij,nkj->nki", self.axes, fitted)
        return (share[..., None] * (self.means + fitted)).sum(1)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """∇ log p(x) for x (N, d)."""
        share, along = self._components(x, 0.0)
        pull = -along / self.variances
        if self.axes is not None:
            pull = torch.einsum("kij,nkj->nki", self.axes, pull)
        return (share[..., None] * pull).sum(1)

    def observed(self, scale: torch.Tensor, y: torch.Tensor, noise: float) -> Mixture:
        """The posterior given y = scale · x + noise · n, coordinate by coordinate; scale (d,) is 0 where nothing is
        known."""
        information = (scale / noise) ** 2
        if self.axes is None:
            variances = 1 / (1 / self.variances + information)
            means = variances * (self.means / self.variances + scale * y / noise**2)
            total = self.variances * scale**2 + noise**2
            away = (y - scale * self.means) ** 2 / total + total.log()
            logits = torch.log(self.weights) - (away * (scale > 0)).sum(1) / 2
            return replace(self, weights=torch.softmax(logits, 0), means=means, variances=variances)
        prior = torch.einsum("kij,kj,klj->kil", self.axes, 1 / self.variances, self.axes)
        values, axes = torch.linalg.eigh(prior + torch.diag(information))
        covariance = torch.einsum("kij,kj,klj->kil", axes, 1 / values, axes)
        means = torch.einsum(
            "kij,kj->ki", covariance, torch.einsum("kij,kj->ki", prior, self.means) + scale * y / noise**2
        )
        known = scale > 0
        spread = torch.einsum("kij,kj,klj->kil", self.axes, self.variances, self.axes)[:, known][:, :, known]
        spread = scale[known, None] * spread * scale[known] + noise**2 * torch.eye(int(known.sum()))
        away = (y - scale * self.means)[:, known]
        logits = torch.log(self.weights) - torch.linalg.slogdet(spread)[1] / 2
        logits = logits - torch.einsum("ki,kij,kj->k", away, torch.linalg.inv(spread), away) / 2
        return Mixture(torch.softmax(logits, 0), means, 1 / values, axes)

    def _components(self, x: torch.Tensor, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """p(k | x) (N, K), and Q_kᵀ (x − m_k) (N, K, d), where noise of deviation σ was added."""
        along = x[:, None] - self.means
        if self.axes is not None:
            along = torch.einsum("kji,nkj->nki", self.axes, along)
        total = self.variances + sigma**2
        logits = torch.log(self.weights) - (along**2 / total + total.log()).sum(-1) / 2
        return torch.softmax(logits, 1), along
