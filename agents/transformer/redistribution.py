"""Redistribution: what a text was paid, given to its tokens anew. The sum of a text stays what it was.

It is no potential-based shaping: part of what a token brings about is paid before it, so returns to go are biased, and
what is gained is that rewards are near. Tokens that are forced take their share, too, which nothing is learnt from.

"reward_attention" is ABC (Chan et al. 2024), where the reward is ``terminal`` of the metric ``learned`` and the share
their beta, 0.8: a token is paid as the reward model looked at it when it scored the whole text. "attention" is their
ABC-D: as the policy looks. They saw ABC learn fastest, and "uniform" slower than the terminal reward in texts of 8 to
16 tokens, faster in texts of 100.

Two controls: "shuffled_time" pays a text's tokens what they were paid, in random order (does it matter when a token is
paid?), and "shuffled_texts" pays a text what another one was paid (is there anything to learn from at all?), which
keeps the sum of all texts, not of each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.transformer.batch import Batch
from agents.transformer.policy import Policy
from textgym.metrics import Learned
from textgym.rewards import RewardFunction

REDISTRIBUTIONS = ("uniform", "attention", "reward_attention", "shuffled_time", "shuffled_texts")

Attention = Callable[[Tensor, Tensor], Tensor]
"""How much what is read at ``columns`` int64 (B,) looks at each column of windows int64 (B, C): float (B, C)."""


class Redistribution:
    """Gives whole texts' pay to their tokens anew.

    Args:
        how: of ``REDISTRIBUTIONS``.
        share: how much of it; the rest stays where it was paid.
        policy: what writes.
        env: has a ``prompt_length``, and pays ``env.state.reward``.

    Raises:
        ValueError: "reward_attention", and the reward pays no learned metric, or several; a network without attention.
    """

    def __init__(self, how: str, share: float, policy: Policy, env):
        self.how, self.share = how, share
        self.attention: Attention | None = None
        if how == "attention":
            self.attention = of_policy(policy)
        elif how == "reward_attention":
            self.attention = of_reward_model(env.state.reward, env.prompt_length)
        if self.attention is not None:
            window = torch.full((1, 2 + env.prompt_length), policy.vocabulary_size, device=policy.device)
            window[0, -1] = 0  # a text of one token
            try:
                self.attention(window, torch.tensor([1 + env.prompt_length], device=policy.device))
            except ValueError as error:
                raise ValueError(f"redistribute={how}: {error}") from error

    def __call__(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """What the tokens of whole texts are paid: float (M,). ``generator``, on the CPU, shuffles."""
        rewards, parts = batch.rewards, batch.parts
        if self.how.startswith("shuffled"):
            shuffled = shuffled_time if self.how == "shuffled_time" else shuffled_texts
            return self.share * shuffled(rewards, parts, generator) + (1 - self.share) * rewards
        weights = uniform(parts) if self.attention is None else by_attention(self.attention, batch)
        return redistributed(rewards, parts, weights, self.share)


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


def by_attention(attention: Attention, batch: Batch, texts: int = 256) -> Tensor:
    """How much the last token of each text looks at each of its tokens, as shares of the text: float (M,), at least 0.

    Args:
        batch: of whole texts; ``texts`` are read at a time.
    """
    last = torch.zeros(len(batch.windows), dtype=torch.long, device=batch.columns.device)
    last.scatter_reduce_(0, batch.parts, 1 + batch.columns, "amax")  # the columns of the last tokens
    looks = [attention(*both) for both in zip(batch.windows.split(texts), last.split(texts), strict=True)]
    weights = torch.cat(looks)[batch.parts, 1 + batch.columns].float()
    weights = weights + torch.finfo(weights.dtype).tiny  # a text that is not looked at at all: equal shares
    return weights / sums(weights, batch.parts)[batch.parts]


def of_policy(policy: Policy) -> Attention:
    """The attention of a policy, without dropout."""

    @torch.no_grad()
    def attention(windows: Tensor, columns: Tensor) -> Tensor:
        training = policy.training
        policy.eval()
        try:
            return policy.attention(windows, columns)
        finally:
            policy.train(training)

    return attention


def of_reward_model(reward: RewardFunction, prompt_length: int) -> Attention:
    """The attention of the model whose :class:`~textgym.metrics.Learned` metric ``reward`` pays, of windows with
    prompts of ``prompt_length``.

    Raises:
        ValueError: it pays no such metric, or those of several models.
    """
    models = {metric.arguments[0]: metric.scorer for metric in reward.metrics if isinstance(metric, Learned)}
    if len(models) != 1:
        found = f"pays those of {len(models)} reward models, {', '.join(models)}" if models else "pays none"
        raise ValueError(
            f"redistribute=reward_attention: one reward model's attention is needed, and the reward {reward.name!r} "
            f'{found}: {{"name": "terminal", "metric": {{"name": "learned", "model": FILE}}}} pays one'
        )
    (scorer,) = models.values()
    shift = scorer.prompt_length - prompt_length  # columns that its prompts are longer than ours, at least 0

    def attention(windows: Tensor, columns: Tensor) -> Tensor:
        pad = int(windows[0, 0])  # BEGIN is PAD
        read = F.pad(windows[:, 1:], (shift, 0), value=pad).cpu().numpy()
        looks = scorer.attention(read, (columns - prompt_length).cpu().numpy())[:, shift:]
        return F.pad(torch.from_numpy(looks).to(windows.device), (1, 0))

    return attention


def sums(values: Tensor, parts: Tensor) -> Tensor:
    """Of each text: float (E,), of values (M,)."""
    return torch.zeros(int(parts.max()) + 1, device=values.device, dtype=values.dtype).index_add_(0, parts, values)
