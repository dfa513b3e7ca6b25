"""Updates: one forward a text for all its tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from agents.transformer.losses import aggregate, entropy, kl_estimate, policy_gradient_loss, ppo_loss, value_loss
from agents.transformer.policy import Policy
from agents.transformer.rollout import Rollout
from agents.transformer.sampling import Sampling


@dataclass(frozen=True)
class Objective:
    """What is minimised.

    Attributes:
        clip: PPO's clip range; None: the plain policy gradient.
        value_weight, entropy_weight: of these terms (SB3's defaults: 0.5, 0.0).
        value_clip: see :func:`~agents.transformer.losses.value_loss`.
        kl_weight: of the KL to the reference policy in the loss.
        aggregation: see :func:`~agents.transformer.losses.aggregate`.
        normalise: centre and scale the advantages of each minibatch, as SB3's PPO does.
    """

    clip: float | None = 0.2
    value_weight: float = 0.5
    entropy_weight: float = 0.0
    value_clip: float | None = None
    kl_weight: float = 0.0
    aggregation: str = "token"
    normalise: bool = True


@dataclass(frozen=True)
class Batch:
    """The M tokens of a rollout in the order of their texts, and the S windows that they stand in.

    Attributes:
        windows: int64 (S, C).
        parts, columns: int64 (M,): the window of each token, and the column whose output chose it.
        actions, log_probs, values, advantages, targets: (M,).
        supports: bool (M, V), or None.
        reference_log_probs: float (M,), or None.
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

    def with_advantages(self, advantages: Tensor) -> Batch:
        """The same tokens with other advantages (M,), and no targets."""
        return replace(self, advantages=advantages, targets=torch.zeros_like(advantages))


def as_batch(rollout: Rollout, advantages: Tensor, targets: Tensor, prompt_length: int) -> Batch:
    """The rollout's tokens, text by text. ``advantages``, ``targets`` of the values: float (N, n)."""
    sizes = rollout.last - rollout.first
    parts = torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes)  # (M,)
    within = torch.arange(len(parts), device=sizes.device) - (sizes.cumsum(0) - sizes)[parts]
    at = rollout.starts[parts] + within, rollout.rows[parts]  # step and row
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
    )


def minibatches(batch: Batch, tokens: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Parts of the batch in random order, int64 (s,), some ``tokens`` tokens together; each part once.

    Texts of like length stand together, so that little is spent on padding: lengths are bucketed with a noise of an
    eighth of the longest, then the minibatches are shuffled.
    """
    sizes = batch.parts.bincount(minlength=len(batch.windows)).cpu()
    ends = torch.zeros(len(batch.windows), dtype=torch.long)
    ends.scatter_reduce_(0, batch.parts.cpu(), batch.columns.cpu(), "amax")
    noise = torch.rand(len(ends), generator=generator) * (1 + int(ends.max()) / 8)
    order = (ends + noise).argsort()
    cuts = (sizes[order].cumsum(0) - sizes[order]) // tokens
    groups = [order[cuts == i] for i in range(int(cuts.max()) + 1)]
    for i in torch.randperm(len(groups), generator=generator).tolist():
        if len(groups[i]):
            yield groups[i].to(batch.windows.device)


def evaluate_tokens(policy: Policy, batch: Batch, chosen: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (m, V) and values (m,) at tokens ``at`` int64 (m,) of the parts ``chosen`` int64 (s,): one forward."""
    place = torch.empty(len(batch.windows), dtype=torch.long, device=at.device)
    place[chosen] = torch.arange(len(chosen), device=at.device)
    with policy.autocast():
        logits, values = policy.heads(policy.outputs(batch.windows[chosen], place[batch.parts[at]], batch.columns[at]))
    return logits, values.to(torch.promote_types(values.dtype, torch.float32))


@torch.no_grad()
def reference_log_probs(reference: Policy, batch: Batch, sampling: Sampling, minibatch: int) -> Batch:
    """The batch with what ``reference`` gives its tokens, some ``minibatch`` tokens at a time."""
    found = torch.empty_like(batch.log_probs)
    for chosen, at in in_minibatches(batch, minibatch, torch.Generator().manual_seed(0)):
        logits, _ = evaluate_tokens(reference, batch, chosen, at)
        support = None if batch.supports is None else batch.supports[at]
        found[at] = sampling.log_probs(logits, support).gather(1, batch.actions[at, None]).squeeze(1).to(found.dtype)
    return replace(batch, reference_log_probs=found)


def in_minibatches(batch: Batch, tokens: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """:func:`minibatches`, each with its tokens, int64 (m,)."""
    order = batch.parts.argsort(stable=True)
    bounds = [0, *batch.parts.bincount(minlength=len(batch.windows)).cumsum(0).tolist()]
    for chosen in minibatches(batch, tokens, generator):
        yield chosen, torch.cat([order[bounds[part] : bounds[part + 1]] for part in chosen.tolist()])


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    objective: Objective,
    sampling: Sampling,
    *,
    epochs: int,
    minibatch: int,
    generator: torch.Generator,
    max_norm: float | None = 0.5,
    longest: int,
) -> dict[str, float]:
    """Some epochs over the batch; the means of what was seen: losses, entropy, ratio, KL, clipped share, gradient norm.

    Args:
        epochs: times that every token is used.
        minibatch: tokens of one step of the optimizer.
        max_norm: gradients are scaled to at most this norm; None: not.
        longest: tokens of the longest possible text.

    Raises:
        FloatingPointError: a loss or a gradient that is no finite number; the policy is what it was before that
            minibatch.
    """
    seen: defaultdict[str, list[Tensor]] = defaultdict(list)
    for epoch in range(epochs):
        for number, (chosen, at) in enumerate(in_minibatches(batch, minibatch, generator)):
            loss, terms = minibatch_loss(policy, batch, chosen, at, objective, sampling, longest)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(policy.parameters(), max_norm if max_norm is not None else float("inf"))
            if not torch.isfinite(loss + norm):
                raise FloatingPointError(
                    f"the loss is {loss.item()}, its gradient {norm.item()}, in minibatch {number} of epoch {epoch}: "
                    + ", ".join(f"{name} {float(value):.4g}" for name, value in terms.items())
                )
            optimizer.step()
            for name, value in {**terms, "gradient_norm": norm}.items():
                seen[name].append(value)
    return {name: torch.stack(values).mean().item() for name, values in seen.items()}


def minibatch_loss(
    policy: Policy, batch: Batch, chosen: Tensor, at: Tensor, objective: Objective, sampling: Sampling, longest: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of the tokens ``at`` of the parts ``chosen``, and its terms."""
    logits, values = evaluate_tokens(policy, batch, chosen, at)
    every = sampling.log_probs(logits, None if batch.supports is None else batch.supports[at])
    log_probs, old = every.gather(1, batch.actions[at, None]).squeeze(1), batch.log_probs[at]
    advantages = batch.advantages[at]
    if objective.normalise and len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    if objective.clip is None:
        of_policy = policy_gradient_loss(log_probs, advantages)
    else:
        of_policy = ppo_loss(log_probs, old, advantages, objective.clip)
    of_value = value_loss(values, batch.targets[at], batch.values[at], objective.value_clip)
    entropies = entropy(every)
    each = of_policy + objective.value_weight * of_value - objective.entropy_weight * entropies
    terms = {"policy_loss": of_policy.mean(), "value_loss": of_value.mean(), "entropy": entropies.mean()}
    if batch.reference_log_probs is not None:
        kl = kl_estimate(log_probs, batch.reference_log_probs[at])
        each = each + objective.kl_weight * kl
        terms["kl_to_reference"] = kl.mean()
    with torch.no_grad():
        ratio = (log_probs - old).exp()
        terms["kl_to_old"] = kl_estimate(old, log_probs.detach()).mean()
        terms["ratio"] = ratio.mean()
        if objective.clip is not None:
            terms["clipped"] = ((ratio - 1).abs() > objective.clip).float().mean()
    return aggregate(each, batch.parts[at], objective.aggregation, longest), {k: v.detach() for k, v in terms.items()}
