"""What each token was worth: estimators over per-token rewards, all of the same shape, (N, n) steps by rows.

RLOO and GRPO compare whole texts: what they are given is the sum of a text's per-token rewards (Ahmadian et al. 2024
take generating a text as one action; in GRPO with outcome supervision all tokens of a text share its advantage). So
they cannot see when a reward was paid: "delta" and "terminal" are the same to them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from textgym.errors import one_of

ESTIMATORS = ("gae", "n_step", "monte_carlo")


def gae(rewards: Tensor, values: Tensor, ended: Tensor, last_values: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16): float (N, n).

    Args:
        rewards, values: float (N, n); ``values`` of the text before each token.
        ended: bool (N, n), the text ended with this token: nothing is bootstrapped there.
        last_values: float (n,), of the texts after the last step.
        gamma, lam: in [0, 1]; lam 1 is Monte Carlo with a baseline, lam 0 one-step temporal difference.
    """
    advantages = torch.empty_like(values)
    following, value = torch.zeros_like(last_values), last_values
    for t in range(len(rewards) - 1, -1, -1):
        goes_on = (~ended[t]).to(values.dtype)
        error = rewards[t] + gamma * value * goes_on - values[t]
        following = error + gamma * lam * following * goes_on
        advantages[t], value = following, values[t]
    return advantages


def returns_to_go(rewards: Tensor, ended: Tensor, last_values: Tensor, gamma: float) -> Tensor:
    """Discounted rewards from each token to the end of its text, float (N, n), ``last_values`` standing for what the
    rollout does not reach: Monte Carlo."""
    returns = torch.empty_like(rewards)
    following = last_values
    for t in range(len(rewards) - 1, -1, -1):
        following = returns[t] = rewards[t] + gamma * following * ~ended[t]
    return returns


def n_step(rewards: Tensor, values: Tensor, ended: Tensor, last_values: Tensor, gamma: float, n: int) -> Tensor:
    """n-step advantages (Mnih et al. 2016): n rewards and the value after them, less the value before: float (N, n)."""
    advantages, steps = torch.empty_like(values), len(rewards)
    following = torch.cat([values[1:], last_values[None]])  # (N, n), of the text after each token
    for t in range(steps):
        total, weight = torch.zeros_like(last_values), torch.ones_like(last_values)  # weight 0: the text has ended
        for k in range(t, min(t + n, steps)):
            total = total + weight * rewards[k]
            weight = weight * gamma * ~ended[k]
        advantages[t] = total + weight * following[k] - values[t]
    return advantages


def estimate(
    estimator: str,
    rewards: Tensor,
    values: Tensor,
    ended: Tensor,
    last_values: Tensor,
    gamma: float,
    lam: float,
    n: int,
) -> Tensor:
    """Advantages by the name of their estimator, of ``ESTIMATORS``; ``lam`` is GAE's, ``n`` that of n-step returns."""
    if one_of("estimator", estimator, ESTIMATORS) == "gae":
        return gae(rewards, values, ended, last_values, gamma, lam)
    if estimator == "n_step":
        return n_step(rewards, values, ended, last_values, gamma, n)
    return returns_to_go(rewards, ended, last_values, gamma) - values


def on_grid(values: Tensor, parts: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Values (M,) of E whole texts as steps by rows, a text a row: float (T, E), 0 behind their ends; and the places
    of the M in it. ``parts``: int64 (M,), ascending in 0 .. E - 1."""
    sizes = parts.bincount()
    within = torch.arange(len(parts), device=parts.device) - (sizes.cumsum(0) - sizes)[parts]
    grid = torch.zeros(int(sizes.max()), len(sizes), device=values.device, dtype=values.dtype)
    return grid.index_put((within, parts), values), (within, parts)


def leave_one_out(returns: Tensor, groups: Tensor) -> Tensor:
    """Each return less the mean of the others of its group: RLOO (Ahmadian et al. 2024); float (E,).

    Args:
        returns: float (E,), of whole texts.
        groups: int64 (E,), equal for the texts of one prompt. A text alone in its group has no baseline.
    """
    mean, size, _ = _of_groups(returns, groups)
    return torch.where(size > 1, (returns - mean) * size / (size - 1).clamp_min(1), returns)


def group_relative(returns: Tensor, groups: Tensor, scale: bool = True, eps: float = 1e-4) -> Tensor:
    """Each return less the mean of its group, by its deviation: GRPO (Shao et al. 2024); float (E,).

    ``scale=False`` leaves the deviation out, which else weighs prompts by how sure the policy is of them (Dr. GRPO, Liu
    et al. 2025). ``eps`` is TRL's.
    """
    mean, size, inverse = _of_groups(returns, groups)
    centred = returns - mean
    if not scale:
        return centred
    variance = torch.zeros_like(returns).index_add_(0, inverse, centred**2)[inverse] / (size - 1).clamp_min(1)
    return centred / (variance.sqrt() + eps)


def _of_groups(returns: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and size of each one's group, and the group's number: (E,) each."""
    _, inverse = groups.unique(return_inverse=True)
    size = torch.zeros_like(returns).index_add_(0, inverse, torch.ones_like(returns))[inverse]
    return torch.zeros_like(returns).index_add_(0, inverse, returns)[inverse] / size, size, inverse
