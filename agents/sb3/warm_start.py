"""Maximum likelihood on the references before any reward: the usual start of text generation by RL."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from agents.baselines import Reference
from agents.descent import descend


class TeacherForcing:
    """What an environment shows while the references of its train split are written, and the tokens that come next.

    The environment itself is stepped with the references' tokens (EOS included), so that windows and masks are by
    construction those that the agent will see.

    Args:
        id, env_kwargs: of the environment.
        n_envs: references written at once.
        seed: of the episodes.
    """

    def __init__(self, id: str, n_envs: int = 64, seed: int = 0, **env_kwargs: Any):
        kwargs = {**env_kwargs, "split": "train", "reward": "terminal"}  # the cheapest: nobody looks at it
        self.env = gym.make_vec(id, num_envs=n_envs, autoreset_mode=AutoresetMode.SAME_STEP, **kwargs)
        self.writer = Reference(self.env.task)
        self.observations, _ = self.env.reset(seed=seed)
        if not any(episode.references for episode in self.env.episodes):
            raise ValueError(f"a warm start needs references to learn from; {id} has none: warm_start=0")

    def batch(self, steps: int) -> tuple[Any, np.ndarray, np.ndarray]:
        """Observations (B, L) or a dict of (B, ...), actions int64 (B,), masks bool (B, V), with B = steps * n_envs."""
        seen, actions, masks = [], [], []
        for _ in range(steps):
            mask = self.env.action_masks()
            action = self.writer.act(self.observations, mask, self.env.episodes)
            seen.append(self.observations)
            actions.append(action)
            masks.append(mask)
            self.observations, *_ = self.env.step(action)
        if isinstance(seen[0], dict):
            observations: Any = {name: np.concatenate([each[name] for each in seen]) for name in seen[0]}
        else:
            observations = np.concatenate(seen)
        return observations, np.concatenate(actions), np.concatenate(masks)


def log_likelihood(model, observations, actions: np.ndarray, masks: np.ndarray) -> torch.Tensor:
    """log p(action | observation) of an actor-critic model's policy, (B,), with gradients."""
    tensors, _ = model.policy.obs_to_tensor(observations)
    native = "action_masks" in inspect.signature(model.policy.evaluate_actions).parameters  # MaskablePPO
    extra = {"action_masks": masks} if native else {}
    return model.policy.evaluate_actions(tensors, torch.as_tensor(actions, device=model.device), **extra)[1]


def warm_start(
    model,
    id: str,
    updates: int,
    *,
    seed: int = 0,
    learning_rate: float = 1e-3,
    references: int = 64,
    progress: Callable[[float], Any] | None = None,
    **env_kwargs: Any,
) -> list[float]:
    """Maximise the likelihood of the references, token by token, by Adam with gradients clipped to norm 1.

    The rate falls linearly to a tenth. The value head is left as it is; the optimizer of the model is not used. A
    reference that the mask forbids ends its episode, as for the agent; its forbidden token is left out of the loss.

    Args:
        model: an SB3 actor-critic model (PPO, A2C, TRPO, MaskablePPO).
        id, env_kwargs: of the environment; the train split is used.
        updates: gradient updates, each on one token of every step of about ``references`` references.
        seed: of the references' order.
        learning_rate: of Adam, at the start.
        references: written at once.
        progress: called with the mean cross-entropy (nats a token) after every update.

    Returns:
        The mean cross-entropy of every update's batch, before that update.

    Raises:
        FloatingPointError: a cross-entropy that is no finite number.
    """
    source = TeacherForcing(id, references, seed, **env_kwargs)
    optimizer = torch.optim.Adam(model.policy.parameters(), learning_rate)
    model.policy.set_training_mode(True)
    losses = []
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - 0.9 * update / updates)
        observations, actions, masks = source.batch(source.env.task.budget)
        legal = torch.as_tensor(masks[np.arange(len(actions)), actions], device=model.device)
        loss = -log_likelihood(model, observations, actions, masks)[legal].mean()
        losses.append(descend(optimizer, model.policy, loss, f"cross-entropy of update {update}", 1.0))
        if progress is not None:
            progress(losses[-1])
    model.policy.set_training_mode(False)
    return losses


def warm_start_critic(model, steps: int, *, learning_rate: float = 3e-3, epochs: int = 10) -> float:
    """Fit the value head to what the policy, as it is, is paid: else the first updates of RL undo part of a warm start.

    The policy writes in the training environment; the value head alone is regressed on the returns, so that no token
    changes its probability. The tokens count in ``model.num_timesteps``.

    Args:
        model: an SB3 actor-critic model whose value head is linear on features that it shares with the policy.
        steps: tokens, rounded up to whole rollouts.
        learning_rate, epochs: of Adam, over each rollout in batches of 256 tokens.

    Returns:
        The share of the last rollout's variance of returns that the value head explained before it saw them (1: all).
    """
    optimizer = torch.optim.Adam(model.policy.value_net.parameters(), learning_rate)
    _, callback = model._setup_learn(0, None, reset_num_timesteps=False)
    end, buffer, explained = model.num_timesteps + steps, model.rollout_buffer, 0.0
    gae_lambda, buffer.gae_lambda = buffer.gae_lambda, 1.0  # returns that owe little to the untrained critic
    while model.num_timesteps < end:
        model.collect_rollouts(model.get_env(), callback, buffer, n_rollout_steps=model.n_steps)
        explained = 1 - (buffer.returns - buffer.values).var() / max(buffer.returns.var(), 1e-8)
        for _ in range(epochs):
            for batch in buffer.get(256):
                loss = (model.policy.predict_values(batch.observations).flatten() - batch.returns).square().mean()
                descend(optimizer, model.policy.value_net, loss, "loss of the values", math.inf)
    buffer.gae_lambda = gae_lambda
    model.policy.optimizer.zero_grad()
    return float(explained)
