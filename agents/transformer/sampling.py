"""How tokens are drawn: the one place that knows the behaviour distribution, for rollouts and updates alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """The behaviour distribution: temperature, then truncation, then renormalised.

    What is truncated is decided by the policy that draws, and kept: the update renormalises over the same tokens, so
    that before the first step of an update the ratio of new to old probabilities is 1.

    Attributes:
        temperature: logits are divided by it; above 0.
        top_k: only the k likeliest tokens; None: all.
        top_p: only the likeliest tokens that together have this probability (Holtzman et al. 2020); None: all.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self):
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")

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
        return logits.log_softmax(-1)


BLOCK = 128  # tokens that the inverse of the distribution function looks at together


def draw(log_probs: Tensor, generator: torch.Generator) -> Tensor:
    """One token a row, int64 (n,), of log-probabilities (n, V), by the inverse of the distribution function.

    For large V in two steps, first a block of tokens, then one in it: several times as fast as ``torch.multinomial``,
    and more exact in float32.
    """
    n, size = log_probs.shape
    p = log_probs.exp()
    u = torch.rand(n, 1, generator=generator, device=p.device, dtype=p.dtype)
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
