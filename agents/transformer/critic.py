"""A value head for a policy that is warm: without one, the first updates would undo part of the warm start."""

from __future__ import annotations

import torch

from agents.transformer.advantages import gae
from agents.transformer.batch import as_batch
from agents.transformer.trainer import Trainer


@torch.no_grad()
def fit_values(trainer: Trainer, tokens: int, *, ridge: float = 1e-3) -> float:
    """Fit the value head alone to what the policy, as it is, is paid: no token changes its probability.

    The values of text by a policy that has learnt by likelihood are those of an untrained head. A reward paid at every
    token has less and less to come, and until the head knows that, the first tokens of all texts would look good and
    the last ones bad. The head is linear in what the network puts out, so the least squares are solved, not iterated.

    Args:
        trainer: before its first update; its policy has a linear head ``value``.
        tokens: to write; they count in ``trainer.tokens``.
        ridge: of the weights, times the number of tokens.

    Returns:
        The share of the returns' variance that the fitted head explains.
    """
    policy, args, world = trainer.policy, trainer.args, trainer.world
    features, returns = [], []
    while trainer.tokens < tokens:
        rollout = trainer.write()
        trainer.update += 1
        to_come = gae(rollout.rewards, rollout.values, rollout.ended, rollout.last_values, args.gamma, 1.0)
        batch = as_batch(rollout, to_come, to_come + rollout.values, trainer.env.prompt_length)
        features.append(policy.outputs(batch.windows, batch.parts, batch.columns).double())
        returns.append(batch.targets.double())
    x, y = torch.cat(features), torch.cat(returns)[:, None]  # (M, d), (M, 1)
    count = len(x) * world.size
    center, mean = world.sum(x.sum(0)) / count, world.sum(y.sum(0)) / count
    x, y = x - center, y - mean
    gram = world.sum(x.T @ x) + ridge * count * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weights = torch.linalg.solve(gram, world.sum(x.T @ y))  # (d, 1)
    policy.value.weight.copy_(weights.T)
    policy.value.bias.copy_(mean - center @ weights)
    rest, all = world.sum((y - x @ weights).square().sum()), world.sum(y.square().sum())
    return float(1 - rest / all.clamp_min(1e-12))
