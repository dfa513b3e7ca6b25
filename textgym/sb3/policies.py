"""Masked actor-critic policy for plain SB3: the legal tokens come with the observation."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Dict, Discrete, Space
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor


class MaskedActorCriticPolicy(MultiInputActorCriticPolicy):
    """Actor-critic policy that never takes an illegal token; for PPO, A2C and TRPO with ``observe_mask=True``.

    Illegal logits become the dtype's lowest value, so samples, modes, log-probabilities and entropies are those of the
    categorical distribution over the legal tokens alone (invalid action masking, Huang & Ontañón 2022), and no gradient
    passes through the others. A row without a legal token gives the uniform distribution; environments never send one.

    Args:
        observation_space: ``Dict`` with ``action_mask``: ``MultiBinary(V)``, 1 where a token is legal.
        action_space: ``Discrete(V)``.

    Raises:
        ValueError: the spaces are other ones.
    """

    def __init__(self, observation_space: Space, action_space: Space, lr_schedule: Schedule, *args: Any, **kwargs: Any):
        mask = observation_space.spaces.get("action_mask") if isinstance(observation_space, Dict) else None
        if mask is None or not isinstance(action_space, Discrete) or mask.shape != (action_space.n,):
            raise ValueError(
                f"MaskedActorCriticPolicy got {observation_space} and {action_space}; allowed: a Dict observation with "
                f"action_mask=MultiBinary(V) (observe_mask=True) and Discrete(V) actions"
            )
        super().__init__(observation_space, action_space, lr_schedule, *args, **kwargs)

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """The distribution over legal tokens, of ``(B,)`` rows."""
        return _masked(super().get_distribution(obs), obs)

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions ``(B,)`` int64, values ``(B, 1)`` and log-probabilities ``(B,)``."""
        distribution, values = self._distribution_and_values(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values ``(B, 1)``, log-probabilities ``(B,)`` of the actions, entropies ``(B,)``."""
        distribution, values = self._distribution_and_values(obs)
        return values, distribution.log_prob(actions), distribution.entropy()

    def _distribution_and_values(self, obs: PyTorchObs) -> tuple[Distribution, Tensor]:
        if self.share_features_extractor:
            actor, critic = self.mlp_extractor(self.extract_features(obs))  # encoded once for both
        else:
            actor_features, critic_features = self.extract_features(obs)
            actor = self.mlp_extractor.forward_actor(actor_features)
            critic = self.mlp_extractor.forward_critic(critic_features)
        return _masked(self._get_action_dist_from_latent(actor), obs), self.value_net(critic)


def _masked(distribution: CategoricalDistribution, obs: dict[str, Tensor]) -> CategoricalDistribution:
    logits = distribution.distribution.logits  # (B, V)
    illegal = obs["action_mask"] == 0
    return distribution.proba_distribution(logits.masked_fill(illegal, torch.finfo(logits.dtype).min))
