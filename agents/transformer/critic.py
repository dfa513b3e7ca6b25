"""A value head for a policy that is warm: without one, the first updates would undo part of the warm start."""

from __future__ import annotations

from dataclasses import replace

import torch

from agents.transformer.batch import as_batch
from agents.transformer.trainer import Trainer


@torch.no_grad()
def fit_values(trainer: Trainer, tokens: int, *, ridge: float = 1e-3) -> float:
    """Fit the value head alone to what the policy, as it is, is paid (own terms and redistribution included): no token
    changes its probability.

    The values of text by a policy that has learnt by likelihood are those of an untrained head. A reward paid at every
    token has less and less to come, and until the head knows that, the first tokens of all texts would look good and
    the last ones bad. The head is linear in what the network puts out, so the least squares are solved, not iterated.

    Args:
        trainer: before its first update; its policy has a linear head ``value``.
        tokens: to write; they count in ``trainer.tokens``.
        ridge: of the weights, times the number of tokens.

    Returns:
        The share of the returns' variance that the fitted head explains; 0 where they do not vary, or there are none.
    """
    policy, world = trainer.policy, trainer.world
    monte_carlo = replace(trainer.args, estimator="gae", lam=1.0)
    features = [torch.zeros(0, policy.value.in_features, dtype=torch.float64, device=policy.device)]
    returns = [features[0][:, 0]]
    while trainer.tokens < tokens:
        rollout = trainer.write()
        trainer.update += 1
        nothing = torch.zeros_like(rollout.values)
        batch = as_batch(rollout, nothing, nothing, trainer.env.prompt_length)
        batch, _ = trainer.own_terms.pay(rollout, batch)
        batch = trainer.estimated(rollout, batch, monte_carlo)
        if len(batch.parts):  # else no text is whole yet
            features.append(policy.outputs(batch.windows, batch.parts, batch.columns).double())
            returns.append(batch.targets.double())
    trainer.own_terms.kl.value = trainer.args.kl_weight  # that nothing was learnt is no reason to hold it less
    x, y = torch.cat(features), torch.cat(returns)[:, None]  # (M, d), (M, 1)
    count = world.sum(torch.tensor(max(1, len(x)), device=x.device))
    center, mean = world.sum(x.sum(0)) / count, world.sum(y.sum(0)) / count
    x, y = x - center, y - mean
    gram = world.sum(x.T @ x) + ridge * count * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weights = torch.linalg.solve(gram, world.sum(x.T @ y))  # (d, 1)
    policy.value.weight.copy_(weights.T)
    policy.value.bias.copy_(mean - center @ weights)
    rest, all = world.sum((y - x @ weights).square().sum()), world.sum(y.square().sum())
    return float(1 - rest / all) if all > 0 else 0.0
