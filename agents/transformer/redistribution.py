"""Redistribution: what a text was paid, given to its tokens anew. The sum of a text stays what it was.

It is no potential-based shaping: part of what a token brings about is paid before it, so returns to go are biased, and
what is gained is that rewards are near. Chan et al. 2024 (ABC) saw a terminal reward redistributed by attention learnt
fastest, and uniformly slower than the terminal one in texts of 8 to 16 tokens, faster in texts of 100. Tokens that are
forced take their share, too, which nothing is learnt from.

Two controls: "shuffled_time" pays a text's tokens what they were paid, in random order (does it matter when a token is
paid?), and "shuffled_texts" pays a text what another one was paid (is there anything to learn from at all?), which
keeps the sum of all texts, not of each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from agents.transformer.batch import Batch
from agents.transformer.policy import Policy

REDISTRIBUTIONS = ("uniform", "attention", "shuffled_time", "shuffled_texts")


def given_anew(how: str, policy: Policy, batch: Batch, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """What the tokens of whole texts are paid by a name of ``REDISTRIBUTIONS``, of which ``share`` counts and the rest
    stays as it was: float (M,)."""
    if how.startswith("shuffled"):
        shuffled = shuffled_time if how == "shuffled_time" else shuffled_texts
        return share * shuffled(batch.rewards, batch.parts, generator) + (1 - share) * batch.rewards
    weights = uniform(batch.parts) if how == "uniform" else by_attention(policy, batch)
    return redistributed(batch.rewards, batch.parts, weights, share)


def redistributed(rewards: Tensor, parts: Tensor, weights: Tensor, share: float = 1.0) -> Tensor:
    """Rewards float (M,), of which ``share`` is given anew (beta of Chan et al. 2024, eq. 6): float (M,).

    Args:
        rewards: of M tokens.
        parts: int64 (M,), in 0 .. E - 1: the text of each.
        weights: float (M,), adding up to 1 in every text.
    """
    return share * weights * sums(rewards, parts)[parts] + (1 - share) * rewards


def shuffled_time(rewards: Tensor, parts: Tensor, generator: torch.Generator) -> Tensor:
    """Rewards (M,) in random order within each text: float (M,).

    Args:
        parts: int64 (M,), ascending: the text of each.
        generator: on the CPU.
    """
    order = torch.randperm(len(parts), generator=generator).to(parts.device)
    return rewards[order[parts[order].argsort(stable=True)]]


def shuffled_texts(rewards: Tensor, parts: Tensor, generator: torch.Generator) -> Tensor:
    """Each text is paid the rewards (M,) of another one, or by chance its own, token by token: float (M,).

    Where the other one is longer, the last token is paid the rest; where it is shorter, the tokens beyond get nothing.

    Args:
        parts: int64 (M,), ascending in 0 .. E - 1: the text of each.
        generator: on the CPU.
    """
    sizes = parts.bincount()
    firsts = sizes.cumsum(0) - sizes
    payer = torch.randperm(len(sizes), generator=generator).to(parts.device)  # text e is paid by payer[e]
    payee = payer.argsort()
    to = payee[parts]
    within = torch.arange(len(parts), device=parts.device) - firsts[parts]
    return torch.zeros_like(rewards).index_add_(0, firsts[to] + torch.minimum(within, sizes[to] - 1), rewards)


def uniform(parts: Tensor) -> Tensor:
    """Every token of a text weighs the same: float (M,)."""
    return 1.0 / parts.bincount()[parts]


@torch.no_grad()
def by_attention(policy: Policy, batch: Batch, texts: int = 256) -> Tensor:
    """How much the last token of each text looks at each of its tokens, in the last layer of ``policy``, mean of its
    heads, as shares of the text: float (M,). ABC takes that of the reward model, where there is one.

    Args:
        batch: of whole texts; ``texts`` are read at a time.

    Raises:
        ValueError: the policy has no attention.
    """
    last = torch.zeros(len(batch.windows), dtype=torch.long, device=batch.columns.device)
    last.scatter_reduce_(0, batch.parts, 1 + batch.columns, "amax")  # the columns of the last tokens
    training = policy.training
    policy.eval()
    looks = [policy.attention(*both) for both in zip(batch.windows.split(texts), last.split(texts), strict=True)]
    policy.train(training)
    weights = torch.cat(looks)[batch.parts, 1 + batch.columns].float()
    return weights / sums(weights, batch.parts)[batch.parts]


def sums(values: Tensor, parts: Tensor) -> Tensor:
    """Of each text: float (E,), of values (M,)."""
    return torch.zeros(int(parts.max()) + 1, device=values.device, dtype=values.dtype).index_add_(0, parts, values)
