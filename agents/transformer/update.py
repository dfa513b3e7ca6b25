"""Updates: one forward a text for all its tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from agents.transformer.batch import Batch, in_minibatches
from agents.transformer.distributed import ALONE, World
from agents.transformer.losses import aggregate, entropy, kl_estimate, policy_gradient_loss, ppo_loss, value_loss
from agents.transformer.policy import Policy
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
    for cut, at in in_minibatches(batch, minibatch, torch.Generator().manual_seed(0)):
        logits, _ = evaluate_tokens(reference, batch, cut.chosen, at)
        support = None if batch.supports is None else batch.supports[at]
        found[at] = sampling.log_probs(logits, support).gather(1, batch.actions[at, None]).squeeze(1).to(found.dtype)
    return replace(batch, reference_log_probs=found)


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
    microbatch: int | None = None,
    world: World = ALONE,
) -> dict[str, float]:
    """Some epochs over the batch; the means of what was seen: losses, entropy, ratio, KL, clipped share, gradient norm.

    Args:
        epochs: times that every token is used.
        minibatch: tokens of one step of the optimizer, of all ranks together.
        max_norm: gradients are scaled to at most this norm; None: not.
        longest: tokens of the longest possible text.
        microbatch: tokens that are read at a time, gradients added up over the minibatch: see
            :func:`microbatches`. None: the whole minibatch.
        world: whose texts the batch has a share of.

    Raises:
        FloatingPointError: a loss or a gradient that is no finite number; the policy is what it was before that
            minibatch.
    """
    seen: defaultdict[str, list[Tensor]] = defaultdict(list)
    norms: list[Tensor] = []
    for epoch in range(epochs):
        for number, (cut, at) in enumerate(in_minibatches(batch, minibatch, generator, world)):
            optimizer.zero_grad(set_to_none=True)
            advantages = batch.advantages[at]
            if objective.normalise:
                advantages = standardised(advantages, None if batch.forced is None else ~batch.forced[at], world)
            loss, terms = torch.zeros((), device=policy.device), defaultdict(float)
            for some, these in microbatches(batch, cut.chosen, at, microbatch):  # none: its texts are other ranks'
                of_tokens, of_texts = len(these) / cut.tokens, len(some) / cut.texts  # 1 where all are read at once
                each, parts = minibatch_loss(
                    policy, batch, some, at[these], advantages[these], objective, sampling, longest
                )
                each = each * (of_tokens if objective.aggregation == "token" else of_texts)
                each.backward()
                loss = loss + each.detach()
                for name, value in parts.items():
                    terms[name] = terms[name] + value * of_tokens
            loss = world.sum_gradients(policy.parameters(), loss)
            norm = nn.utils.clip_grad_norm_(policy.parameters(), max_norm if max_norm is not None else float("inf"))
            if not torch.isfinite(loss + norm):
                raise FloatingPointError(
                    f"the loss is {loss.item()}, its gradient {norm.item()}, in minibatch {number} of epoch {epoch}: "
                    + ", ".join(f"{name} {float(value):.4g}" for name, value in terms.items())
                )
            optimizer.step()
            norms.append(norm)
            for name, value in terms.items():
                seen[name].append(value)
    means = world.add({name: torch.stack(values).sum().item() / len(norms) for name, values in seen.items()})
    return {**means, "gradient_norm": torch.stack(norms).mean().item()}


def microbatches(batch: Batch, chosen: Tensor, at: Tensor, tokens: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """A minibatch's parts ``chosen`` (s,) in portions for which at most ``tokens`` tokens are read, each with the
    places of its own among ``at`` (m,). Prompts are read, too, and all windows of a portion as far as the longest. A
    text is not cut: one that is longer is read alone."""
    if not len(at):
        return
    if tokens is None:
        yield chosen, torch.arange(len(at), device=at.device)
        return
    sizes = batch.parts[at].bincount(minlength=len(batch.windows))[chosen]  # tokens stand in this order
    ends, windows = sizes.cumsum(0), batch.windows[chosen]
    read = batch.columns[at][ends - 1] + 1 - (windows[:, 1:] == windows[:, :1]).long().cumprod(1).sum(1)
    read, ends = read.tolist(), [0, *ends.tolist()]
    first = longest = 0
    for i, more in enumerate(read):
        if i > first and (i + 1 - first) * max(longest, more) > tokens:
            yield chosen[first:i], torch.arange(ends[first], ends[i], device=at.device)
            first, longest = i, 0
        longest = max(longest, more)
    yield chosen[first:], torch.arange(ends[first], len(at), device=at.device)


def standardised(advantages: Tensor, drawn: Tensor | None = None, world: World = ALONE) -> Tensor:
    """Advantages (m,) centred and scaled by mean and deviation of those of ``drawn`` tokens, bool (m,), of all ranks;
    None: of all tokens."""
    counted = advantages if drawn is None else advantages[drawn]
    count = world.sum(torch.tensor(float(len(counted)), device=advantages.device))
    if count < 2:
        return advantages
    mean = world.sum(counted.sum()) / count
    deviation = (world.sum(((counted - mean) ** 2).sum()) / (count - 1)).sqrt()
    return (advantages - mean) / (deviation + 1e-8)


def minibatch_loss(
    policy: Policy,
    batch: Batch,
    chosen: Tensor,
    at: Tensor,
    advantages: Tensor,
    objective: Objective,
    sampling: Sampling,
    longest: int,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of the tokens ``at`` of the parts ``chosen``, with their ``advantages`` (m,), and its terms.

    Tokens of references are learnt by cross-entropy alone; all terms but the likelihood are of the others.
    """
    logits, values = evaluate_tokens(policy, batch, chosen, at)
    every = sampling.log_probs(logits, None if batch.supports is None else batch.supports[at])
    log_probs, old = every.gather(1, batch.actions[at, None]).squeeze(1), batch.log_probs[at]
    forced = None if batch.forced is None else batch.forced[at]
    if objective.clip is None:
        of_policy = policy_gradient_loss(log_probs, advantages)
    else:
        of_policy = ppo_loss(log_probs, old, advantages, objective.clip)
    of_value = value_loss(values, batch.targets[at], batch.values[at], objective.value_clip)
    entropies = entropy(every)
    each = of_policy + objective.value_weight * of_value - objective.entropy_weight * entropies
    terms = {"policy_loss": of_policy, "value_loss": of_value, "entropy": entropies}
    if batch.reference_log_probs is not None:
        kl = kl_estimate(log_probs, batch.reference_log_probs[at])
        each = each + objective.kl_weight * kl
        terms["kl_to_reference"] = kl
    with torch.no_grad():
        ratio = (log_probs - old).exp()
        terms["kl_to_old"] = kl_estimate(old, log_probs)
        terms["ratio"] = ratio
        if objective.clip is not None:
            terms["clipped"] = ((ratio - 1).abs() > objective.clip).float()
    means = {name: mean(term.detach(), None if forced is None else ~forced) for name, term in terms.items()}
    if forced is not None:
        each = torch.where(forced, -log_probs, each)
        means["likelihood_loss"] = mean(-log_probs.detach(), forced)
    return aggregate(each, batch.parts[at], objective.aggregation, longest), means


def mean(values: Tensor, counted: Tensor | None) -> Tensor:
    """Of those values (m,) that are ``counted``, bool (m,); None: of all; 0 where none is."""
    if counted is None:
        return values.mean()
    return torch.where(counted, values, 0.0).sum() / counted.sum().clamp_min(1)
