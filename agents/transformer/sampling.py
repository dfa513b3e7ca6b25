"""How tokens are drawn: the one place that knows the behaviour distribution, for rollouts and updates alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.transformer.distributed import ALONE, World


@dataclass(frozen=True)
class Sampling:
    """The behaviour distribution: temperature, then truncation, then renormalised, then mixed with a uniform one.

    What is truncated is decided by the policy that draws, and kept: the update renormalises over the same tokens, so
    that before the first step of an update the ratio of new to old probabilities is 1.

    Attributes:
        temperature: logits are divided by it; above 0.
        top_k: only the k likeliest tokens; None: all.
        top_p: only the likeliest tokens that together have this probability (Holtzman et al. 2020); None: all.
        epsilon: epsilon-greedy exploration: with this probability, below 1, one of the tokens that can be drawn, all
            equally likely. What is learnt is the mixture: its probabilities are in the ratios, and in the entropy.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    epsilon: float = 0.0

    def __post_init__(self):
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.epsilon < 1:
            raise ValueError(f"epsilon must be at least 0 and below 1, got {self.epsilon}")

    @property
    def truncates(self) -> bool:
        return self.top_k is not None or self.top_p is not None

    def support(self, logits: Tensor, legal: Tensor | None) -> Tensor | None:
        """Which tokens can be drawn, bool (n, V), of logits (n, V); None: all. ``legal`` bool (n, V), or None."""
        if not self.truncates:
            return legal
        logits = logits.float()
        if legal is not None:
            logits = logits.masked_fill(~legal, float("-inf"))
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        kept = ordered > float("-inf")
        if self.top_k is not None:
            kept[:, self.top_k :] = False
        if self.top_p is not None:
            p = (ordered / self.temperature).softmax(-1)
            kept &= p.cumsum(-1) - p < self.top_p  # the likeliest one always
        return torch.zeros_like(kept).scatter_(-1, order, kept)

    def log_probs(self, logits: Tensor, support: Tensor | None) -> Tensor:
        """Log-probabilities (..., V), float32 or float64, of logits (..., V), over ``support`` bool (..., V)."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.temperature != 1.0:
            logits = logits / self.temperature
        if support is not None:
            logits = logits.masked_fill(~support, float("-inf"))
        log_probs = logits.log_softmax(-1)
        return log_probs if self.epsilon == 0 else self._mixed(log_probs, support)

    def _mixed(self, log_probs: Tensor, support: Tensor | None) -> Tensor:
        """log((1 - epsilon) p + epsilon / size of the support)."""
        if support is None:
            uniform = math.log(self.epsilon / log_probs.shape[-1])
            return torch.logaddexp(log_probs + math.log1p(-self.epsilon), log_probs.new_tensor(uniform))
        uniform = math.log(self.epsilon) - support.sum(-1, keepdim=True).log().to(log_probs.dtype)
        # what cannot be drawn is made possible for a moment: the gradient of log(0 + 0) is not a number
        possible = torch.where(support, log_probs, 0.0)
        mixed = torch.logaddexp(possible + math.log1p(-self.epsilon), uniform)
        return mixed.masked_fill(~support, float("-inf"))


BLOCK = 128  # tokens that the inverse of the distribution function looks at together


def draw(log_probs: Tensor, generator: torch.Generator, world: World = ALONE) -> Tensor:
    """One token a row, int64 (n,), of log-probabilities (n, V), by the inverse of the distribution function.

    For large V in two steps, first a block of tokens, then one in it: several times as fast as ``torch.multinomial``,
    and more exact in float32.
    """
    n, size = log_probs.shape
    p = log_probs.exp()
    u = world.rand(n, 1, generator=generator, device=p.device, dtype=p.dtype)
    if size <= 2 * BLOCK:
        return _inverse(p, u)[0]
    p = torch.nn.functional.pad(p, (0, -size % BLOCK)).unflatten(1, (-1, BLOCK))  # (n, blocks, BLOCK)
    block, rest = _inverse(p.sum(-1), u)
    return block * BLOCK + _inverse(p[torch.arange(n, device=p.device), block], rest)[0]


def _inverse(p: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """The place (n,) in weights p (n, m) where their running share passes u (n, 1) in [0, 1), and how far into it."""
    ends = p.cumsum(-1)
    total = ends[:, -1:]
    at = torch.minimum(u * total, total.nextafter(torch.zeros_like(total)))  # below the end, where rounding may lead
    place = torch.searchsorted(ends, at, right=True)  # the first to end behind it: it has some weight
    weight = p.gather(1, place)
    inside = ((at - (ends.gather(1, place) - weight)) / weight).clamp(0.0, 1.0 - torch.finfo(p.dtype).eps)
    return place.squeeze(1), inside
