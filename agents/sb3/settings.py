"""The settings of a run: the flags, over the file of hyperparameters; what makes two runs the same run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.cli import Json, Spec, making
from agents.runs import as_json, reward_of
from agents.sb3.algorithms import ALGORITHMS, OURS, algorithm, check_keywords, hyperparams
from textgym.errors import usable_device, whole_number
from textgym.registration import full_id
from textgym.rewards.base import number
from textgym.sb3.encoders import policy_kwargs


@dataclass
class TrainArgs:
    """Train an agent with Stable-Baselines3. What is not given here stands in agents/sb3/hyperparams.yml."""

    env: str = "textgym/Copy-v0"
    """The environment's id, with or without textgym/."""
    algo: str = "ppo"
    """ppo, a2c, dqn, double_dqn; with sb3-contrib also maskable_ppo, qr_dqn, recurrent_ppo, trpo."""
    reward: Spec = None
    """What the agent is paid: delta, terminal, delta:chrf, ... or JSON; by default the id's own reward."""
    env_kwargs: Json = field(default_factory=dict)
    """Other keywords of the environment, as JSON: '{"mask": "task", "observe_mask": true}'."""
    encoder: str | None = None
    """What reads the tokens: bag, conv, gru, lstm, transformer or pretrained."""
    encoder_kwargs: Json = field(default_factory=dict)
    """Keywords of the encoder, as JSON: '{"layers": 2, "features_dim": 128}'."""
    hyperparams: Json = field(default_factory=dict)
    """Keywords of the algorithm, as JSON, over those of the file: '{"learning_rate": 3e-4}'."""
    steps: int | None = None
    """Tokens to train on; rounded up to whole rollouts."""
    n_envs: int | None = None
    """Texts written at once."""
    seed: int = 0
    """Seed of the network, the episodes and the sampling."""
    gamma: float = 1.0
    """Discount of the agent; below 1 a dense reward and a terminal one are different objectives."""
    warm_start: int | None = None
    """Updates of maximum likelihood on the train split's references before the first step of RL."""
    warm_start_lr: float = 1e-3
    """Learning rate of these updates."""
    critic_start: int | None = None
    """Tokens of RL in which a warm-started agent trains its value head only; they count as steps."""
    eval_every: int = 10_000
    """Steps between evaluations of the true score; each one saves the agent."""
    eval_at: tuple[int, ...] = ()
    """The steps after which to evaluate, instead of every eval_every; always at the end, too."""
    eval_episodes: int = 200
    """Fixed episodes of the validation split that each evaluation visits."""
    eval_first: int = 0
    """Index of the first of them: episodes that others are not judged by."""
    folder: Path | None = None
    """Where everything goes; by default runs/<env>-<algo>-<reward>-s<seed>."""
    resume: bool = False
    """Go on where the folder's last evaluation was, if it has one."""
    overwrite: bool = False
    """Start anew in a folder that has a run already."""
    device: str = "auto"
    """Where the network lives: auto, cpu, cuda."""
    threads: int = 1
    """Threads of PyTorch on the CPU; for these networks one is as fast as many."""
    progress: bool = True
    """Show a progress bar with the true score of the last evaluation."""


# what makes a run that run; the others (steps, eval_every, folder, device, threads, ...) may change when it is resumed
IDENTITY = (
    "env", "algo", "reward", "env_kwargs", "encoder", "encoder_kwargs", "hyperparams", "n_envs", "seed", "gamma",
    "warm_start", "warm_start_lr", "critic_start", "eval_episodes", "eval_first", "fingerprint",
)  # fmt: skip


def resolve(args: TrainArgs) -> dict[str, Any]:
    """Every setting, those of hyperparams.yml filled in, as JSON values.

    Raises:
        ValueError, TypeError, ImportError: as :func:`~agents.sb3.train.train`, where it needs no environment to know.
    """
    id = full_id(args.env)
    for name, low in (("eval_every", 1), ("eval_episodes", 1), ("eval_first", 0), ("threads", 1)):
        whole_number(name, getattr(args, name), low)
    usable_device(args.device)  # Stable-Baselines3 would take the CPU without a word
    number("gamma", args.gamma, low=0.0, high=1.0)
    number("warm_start_lr", args.warm_start_lr, above=0.0)
    flags = {name: getattr(args, name) for name in ("n_envs", "encoder", "warm_start", "critic_start")} | {
        "n_timesteps": args.steps
    }
    flags |= {"encoder_kwargs": dict(args.encoder_kwargs) or None}
    merged = hyperparams(
        args.algo, id, {**args.hyperparams, **{name: value for name, value in flags.items() if value is not None}}
    )
    for name, least in (("n_envs", 1), ("n_timesteps", 0), ("warm_start", 0), ("critic_start", 0)):
        number(name, merged.get(name, least), low=least)
    check_keywords(args.algo, {name: value for name, value in merged.items() if name not in OURS})
    with making(f"the encoder with encoder_kwargs {merged['encoder_kwargs']}"):
        policy_kwargs(merged["encoder"], algo=algorithm(args.algo).name, **merged["encoder_kwargs"])
    settings = {f.name: getattr(args, f.name) for f in dataclasses.fields(args)}
    settings |= {
        "env": id,
        "reward": reward_of(id, args.reward, args.gamma),
        "env_kwargs": dict(args.env_kwargs),
        "encoder": merged.pop("encoder"),
        "encoder_kwargs": merged.pop("encoder_kwargs"),
        "steps": int(merged.pop("n_timesteps")),
        "n_envs": merged.pop("n_envs"),
        "warm_start": merged.pop("warm_start", 0),
        "critic_start": merged.pop("critic_start", 0),
        "hyperparams": merged,
        "folder": None if args.folder is None else str(args.folder),
    }
    _check(settings)
    return as_json(settings)


def _check(settings: Mapping[str, Any]) -> None:
    """Raise where settings do not go together."""
    if settings["warm_start"] and not algorithm(settings["algo"]).can_warm_start:
        able = ", ".join(a.name for a in ALGORITHMS.values() if a.can_warm_start)
        raise ValueError(
            f"warm_start={settings['warm_start']}: {settings['algo']} has no policy that tells the likelihood of an "
            f"action given an observation alone; allowed: {able}"
        )
    if settings["warm_start"] and 0 < settings["steps"] <= settings["critic_start"]:
        raise ValueError(
            f"steps={settings['steps']} leaves no reinforcement learning: the value head alone trains for the first "
            f"critic_start={settings['critic_start']} of them; give more steps, or a smaller critic_start"
        )
