"""What an update makes smaller, a term a function; all of them of M tokens at once, and averaged in one place."""

from __future__ import annotations

import torch
from torch import Tensor

from textgym.errors import one_of

AGGREGATIONS = ("token", "sequence", "constant")


def ppo_loss(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """The clipped surrogate objective, negated (Schulman et al. 2017, eq. 7): float (M,)."""
    ratio = (log_probs - old_log_probs).exp()
    return torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip))


def policy_gradient_loss(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """Log-likelihood weighted by advantage, negated (Williams 1992; A2C: Mnih et al. 2016): float (M,)."""
    return -advantages * log_probs


def value_loss(values: Tensor, targets: Tensor, old_values: Tensor | None = None, clip: float | None = None) -> Tensor:
    """Squared error, float (M,). With ``clip`` the worse of it and that of values at most ``clip`` away from the old
    ones (as in OpenAI baselines' PPO); SB3's default is none."""
    error = (values - targets) ** 2
    if clip is None:
        return error
    near = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum(error, (near - targets) ** 2)


def entropy(log_probs: Tensor) -> Tensor:
    """Of distributions (M, V) given as log-probabilities, in nats: float (M,). What is impossible adds nothing."""
    return -(log_probs.exp() * log_probs.clamp_min(torch.finfo(log_probs.dtype).min)).sum(-1)


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """KL(policy || reference) from one token each, never negative, unbiased when the policy drew them ("k3", Schulman
    2020; GRPO's): float (M,)."""
    difference = reference_log_probs - log_probs
    return difference.exp() - 1 - difference


def aggregate(losses: Tensor, parts: Tensor, how: str, longest: int) -> Tensor:
    """The mean of M token losses.

    Args:
        losses: float (M,).
        parts: int64 (M,), which text each token is of.
        how: "token": every token counts the same, so long texts count more (PPO, DAPO); "sequence": every text counts
            the same, so a token of a long text counts less, which favours long wrong texts over short ones (GRPO's
            original form); "constant": the sum over a text by ``longest``, the same for all (Liu et al. 2025).
        longest: tokens of the longest possible text.
    """
    one_of("aggregation", how, AGGREGATIONS)
    if how == "token":
        return losses.mean()
    _, inverse, sizes = parts.unique(return_inverse=True, return_counts=True)
    weights = 1.0 / sizes[inverse] if how == "sequence" else torch.full_like(losses, 1.0 / longest)
    return (losses * weights).sum() / len(sizes)
