"""Evaluations between rollouts: the true score into evaluations.csv, the model into last.zip and best.zip."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from agents.evaluation import SB3Agent, evaluate, evaluation_env
from agents.files import replacing
from agents.runs import Evaluations, due


class Checkpoints(Evaluations):
    """The evaluations of a run, and the models that belong to them.

    At every evaluation, in this order: best.zip (if the true score is the best yet), replay_buffer.pkl, last.zip, a
    line of evaluations.csv. The first three are replaced as a whole. last.zip carries the history and everything
    random, so the run that goes on from it is the run that was never stopped, and its evaluations.csv is written anew.
    """

    def __init__(self, folder: Path, id: str, *, episodes: int, first: int, seed: int, **env_kwargs: Any):
        super().__init__(folder, seed)
        self.visited = {"episodes": episodes, "first": first}
        self.env = evaluation_env(id, "validation", num_envs=min(episodes, 128), **env_kwargs)

    def evaluate(self, model, event: str) -> dict[str, Any]:
        """Evaluate, save, log. ``event``: start, warm_start or train. Returns the line of evaluations.csv."""
        summary = evaluate(SB3Agent(model), self.env, **self.visited).summary()
        logged = {name: float(value) for name, value in model.logger.name_to_value.items()}  # of the last update
        entropy = -logged["train/entropy_loss"] if "train/entropy_loss" in logged else None
        kl = logged.get("train/approx_kl")
        better = self.record(event, model.num_timesteps, summary, self._sampled(model), entropy, kl)
        env = _env_state(model.get_env())
        model.textgym_run = {"history": self.history, "random": _random_state(model), "env": env}
        if better:
            self._save(model, "best.zip")
        if getattr(model, "replay_buffer", None) is not None:
            with replacing(self.folder / "replay_buffer.pkl") as file:
                model.save_replay_buffer(file)
        self._save(model, "last.zip")
        self.append_line()
        row = self.latest
        for name in ("score", "sampled", "success", "return", "length"):
            if row[name] is not None:
                model.logger.record(f"eval/{name}", row[name])
        model.logger.dump(model.num_timesteps)
        return row

    def _sampled(self, model) -> float | None:
        """The true score of sampled texts, as in training; None for agents that have nothing to sample from."""
        if not hasattr(model, "rollout_buffer"):
            return None
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(0)
            return evaluate(SB3Agent(model, deterministic=False), self.env, **self.visited).mean_score

    def _save(self, model, name: str) -> None:
        with replacing(self.folder / name) as file:
            model.save(file)

    def restore(self, model) -> None:
        """Go on where last.zip was saved: history, generators, environment, replay buffer."""
        saved = model.textgym_run
        self.restore_history(saved["history"])
        if (buffer := self.folder / "replay_buffer.pkl").exists():
            model.load_replay_buffer(buffer)
        _restore_env(model.get_env(), saved["env"])
        _restore_random(model, saved["random"])


class EvaluationCallback(BaseCallback):
    """Evaluates before the first rollout that begins when an evaluation is :func:`~agents.runs.due`, and at the end.

    Between rollouts, not within: the model saved has learnt from every step it counts.
    """

    def __init__(self, checkpoints: Checkpoints, every: int, at: Sequence[int] = (), bar=None):
        super().__init__()
        self.checkpoints, self.every, self.at, self.bar = checkpoints, every, at, bar

    def _on_rollout_start(self) -> None:
        if due(self.checkpoints.latest["steps"], self.num_timesteps, self.every, self.at):
            self._evaluate()

    def _on_step(self) -> bool:
        if self.bar is not None:
            self.bar.update(self.training_env.num_envs)
        return True

    def _on_training_end(self) -> None:
        if self.num_timesteps > self.checkpoints.history[-1]["steps"]:
            self._evaluate()

    def _evaluate(self) -> None:
        _require_finite(self.model)
        self.checkpoints.evaluate(self.model, "train")
        if self.bar is not None:
            show(self.bar, self.checkpoints)


def show(bar, checkpoints: Checkpoints) -> None:
    """The true scores on the progress bar."""
    bar.set_postfix(score=f"{checkpoints.latest['score']:.3f}", best=f"{checkpoints.best:.3f}")


def _require_finite(model) -> None:
    if not all(torch.isfinite(weights).all() for weights in model.policy.parameters()):
        raise FloatingPointError(f"{model.num_timesteps} tokens: weights of the policy are no finite numbers")


# -- everything random, and the environment --------------------------------------------------------


def _random_state(model) -> dict[str, Any]:
    state = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "actions": copy.deepcopy(model.action_space.np_random.bit_generator.state),
        "lstm": getattr(model, "_last_lstm_states", None),  # RecurrentPPO begins with zeros when it is loaded
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _restore_random(model, state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    model.action_space.np_random.bit_generator.state = state["actions"]
    if state["lstm"] is not None:
        model._last_lstm_states = state["lstm"]
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def _env_state(monitor) -> dict[str, Any] | None:
    """Of ``VecMonitor(SB3VecEnv(...))``; None before the first reset."""
    envs, returns, lengths = monitor.venv.envs, monitor.episode_returns, monitor.episode_lengths
    if not envs.state.streams.begun.all():
        return None
    return {"envs": envs.get_state(), "returns": returns.copy(), "lengths": lengths.copy()}


def _restore_env(monitor, saved: dict[str, Any] | None) -> None:
    if saved is not None:
        monitor.venv.envs.set_state(saved["envs"])
        monitor.episode_returns, monitor.episode_lengths = saved["returns"].copy(), saved["lengths"].copy()
