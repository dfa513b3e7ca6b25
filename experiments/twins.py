"""One network, trained by Stable-Baselines3's PPO as the Transformer trainer trains it: arms of sb3_vs_transformer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import nn

from agents.runs import due, versions
from agents.transformer.model import Decoder, DecoderConfig
from experiments.arms import Outcome, PolicyEvaluator, log_spaced
from experiments.benchmarks.agents import LastColumn
from experiments.registry import Run
from textgym.sb3 import make_vec_env


class Untied(Decoder):
    """A decoder with a head for the tokens of its own, as SB3's policies have one."""

    def __init__(self, vocabulary_size: int, columns: int, layers: int = 1, width: int = 64, heads: int = 4):
        super().__init__(DecoderConfig(vocabulary_size, columns, layers=layers, width=width, heads=heads))
        self.action = nn.Linear(width, vocabulary_size)

    def heads(self, hidden):
        return self.action(hidden), self.value(hidden).squeeze(-1)


def sb3(
    run: Run, folder: Path, start: Path | None, *, env: str, reward: Any, steps: int, eval_episodes: int, n_envs: int,
    rollout: int, minibatch: int, epochs: int, learning_rate: float, entropy_weight: float, gamma: float, lam: float,
    layers: int, width: int, evaluations: int = 10,
) -> Outcome:  # fmt: skip
    """SB3's PPO with :class:`Untied`, from the weights that the Transformer trainer begins with: arguments are its
    flags. It begins anew when it is killed."""
    torch.set_num_threads(1)
    rows = make_vec_env(env, n_envs, seed=run.seed, reward=reward)
    task = rows.unwrapped.envs.task
    torch.manual_seed(run.seed)
    policy = Untied(task.vocabulary.size, 1 + task.prompt_length + task.budget, layers, width)
    model = PPO(
        "MlpPolicy",
        rows,
        n_steps=rollout,
        batch_size=minibatch,
        n_epochs=epochs,
        learning_rate=learning_rate,
        ent_coef=entropy_weight,
        gamma=gamma,
        gae_lambda=lam,
        policy_kwargs={
            "features_extractor_class": LastColumn,
            "features_extractor_kwargs": {"trunk": policy, "prompt_length": task.prompt_length},
            "net_arch": [],
        },
        device="cpu",
    )
    torch.manual_seed(run.seed)
    policy.load_state_dict(Untied(policy.vocabulary_size, policy.columns, layers, width).state_dict())  # SB3 drew anew
    model.policy.action_net, model.policy.value_net = policy.action, policy.value
    model.policy.optimizer = torch.optim.Adam(model.policy.parameters(), learning_rate, eps=1e-5)
    model.set_logger(Logger(None, []))
    _, callback = model._setup_learn(steps)
    look, at, began = PolicyEvaluator(env, {}, eval_episodes), log_spaced(steps, evaluations), time.monotonic()
    evaluated = [look(policy, 0, 0.0)]
    while model.num_timesteps < steps:
        before = model.num_timesteps
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
        model.train()
        if model.num_timesteps >= steps or due(before, model.num_timesteps, steps, at):
            evaluated.append(look(policy, model.num_timesteps, time.monotonic() - began))
    settings = {**run.settings, "versions": versions("gymnasium", "stable-baselines3", "torch", "numpy")}
    return Outcome(evaluated, task.fingerprint, settings)
