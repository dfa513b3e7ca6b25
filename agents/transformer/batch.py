"""Tokens to learn from: those of a rollout, text by text, and the minibatches that they are cut into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from agents.transformer.distributed import ALONE, World
from agents.transformer.rollout import Rollout


@dataclass(frozen=True)
class Batch:
    """The M tokens of a rollout in the order of their texts, and the S windows that they stand in.

    Attributes:
        windows: int64 (S, C).
        parts, columns: int64 (M,): the window of each token, and the column whose output chose it.
        actions, log_probs, values, advantages, targets: (M,).
        supports: bool (M, V), or None.
        reference_log_probs: float (M,), or None.
        forced: bool (M,), the token was a reference's and is learnt by cross-entropy; None: none was.
        rewards, own_rewards: float (M,), what the environment and the trainer paid for each token.
    """

    windows: Tensor
    parts: Tensor
    columns: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    advantages: Tensor
    targets: Tensor
    supports: Tensor | None = None
    reference_log_probs: Tensor | None = None
    forced: Tensor | None = None
    rewards: Tensor | None = None
    own_rewards: Tensor | None = None

    def with_advantages(self, advantages: Tensor, targets: Tensor | None = None) -> Batch:
        """The same tokens with other advantages and targets (M,); None: no targets."""
        return replace(
            self, advantages=advantages, targets=torch.zeros_like(advantages) if targets is None else targets
        )

    def ordered_by(self, keys: Tensor) -> Batch:
        """The same tokens, the windows sorted by ``keys`` (S,), equal ones as they stand."""
        order = keys.argsort(stable=True)
        return replace(self, windows=self.windows[order], parts=order.argsort()[self.parts])

    def drawn(self) -> Batch:
        """The tokens that the policy drew, and the windows that have any."""
        if self.forced is None:
            return self
        kept = ~self.forced
        of_tokens = {
            f.name: each[kept]
            for f in fields(self)
            if f.name != "windows" and (each := getattr(self, f.name)) is not None
        }
        there, parts = of_tokens["parts"].unique(return_inverse=True)
        return replace(self, **{**of_tokens, "windows": self.windows[there], "parts": parts, "forced": None})


def places(rollout: Rollout) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Of the rollout's M tokens, text by text: the part of each, how far in it, and its step and row; int64 (M,)."""
    sizes = rollout.last - rollout.first
    parts = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)
    within = torch.arange(len(parts), device=sizes.device) - (sizes.cumsum(0) - sizes)[parts]
    return parts, within, (rollout.starts[parts] + within, rollout.rows[parts])


def as_batch(rollout: Rollout, advantages: Tensor, targets: Tensor, prompt_length: int) -> Batch:
    """The rollout's tokens, text by text. ``advantages``, ``targets`` of the values: float (N, n)."""
    parts, within, at = places(rollout)
    return Batch(
        windows=rollout.windows,
        parts=parts,
        columns=prompt_length + rollout.first[parts] + within,
        actions=rollout.actions[at],
        log_probs=rollout.log_probs[at],
        values=rollout.values[at],
        advantages=advantages[at],
        targets=targets[at],
        supports=None if rollout.supports is None else rollout.supports[at],
        forced=None if rollout.forced is None else rollout.forced[at],
        rewards=rollout.rewards[at],
        own_rewards=torch.zeros_like(rollout.rewards[at]),
    )


@dataclass(frozen=True)
class Minibatch:
    """Some texts of a batch.

    Attributes:
        chosen: int64 (s,), their parts.
        tokens, texts: how many all ranks have in it.
    """

    chosen: Tensor
    tokens: int
    texts: int


def minibatches(batch: Batch, tokens: int, generator: torch.Generator, world: World = ALONE) -> Iterator[Minibatch]:
    """The parts of the batch in random order, some ``tokens`` tokens of all ranks together; each part once.

    Texts of like length stand together, so that little is spent on padding: lengths are bucketed with a noise of an
    eighth of the longest, then the minibatches are shuffled.
    """
    sizes = batch.parts.bincount(minlength=len(batch.windows)).cpu()
    ends = torch.zeros(len(batch.windows), dtype=torch.long)
    ends.scatter_reduce_(0, batch.parts.cpu(), batch.columns.cpu(), "amax")
    ends -= (batch.windows[:, 1:] == batch.windows[:, :1]).long().cumprod(1).sum(1).cpu()  # less the padding before
    ranks = world.gather((sizes, ends))
    first = sum(len(each) for each, _ in ranks[: world.rank])  # the number of this rank's first part among all
    sizes, ends = (torch.cat(each) for each in zip(*ranks, strict=True))
    noise = torch.rand(len(ends), generator=generator) * (1 + int(ends.max()) / 8)
    order = (ends + noise).argsort()
    cuts = (sizes[order].cumsum(0) - sizes[order]) // tokens
    groups = [order[cuts == i] for i in range(int(cuts.max()) + 1)]
    for i in torch.randperm(len(groups), generator=generator).tolist():
        if len(groups[i]):
            own = groups[i] - first
            own = own[(own >= 0) & (own < len(batch.windows))]
            yield Minibatch(own.to(batch.windows.device), int(sizes[groups[i]].sum()), len(groups[i]))


def in_minibatches(
    batch: Batch, tokens: int, generator: torch.Generator, world: World = ALONE
) -> Iterator[tuple[Minibatch, Tensor]]:
    """:func:`minibatches`, each with its tokens, int64 (m,)."""
    order = batch.parts.argsort(stable=True)
    bounds = [0, *batch.parts.bincount(minlength=len(batch.windows)).cumsum(0).tolist()]
    for cut in minibatches(batch, tokens, generator, world):
        of_parts = [order[bounds[part] : bounds[part + 1]] for part in cut.chosen.tolist()]
        yield cut, torch.cat(of_parts) if of_parts else order[:0]
