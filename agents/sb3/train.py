"""Train an SB3 agent on a textgym id: ``python -m agents.sb3.train --env textgym/Spelling-v0 --algo ppo``."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import inspect
import json
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
import tyro
from stable_baselines3.common.logger import Logger, make_output_format
from tqdm import tqdm

import textgym
from agents.cli import Json, Spec
from agents.files import write_json
from agents.sb3.algorithms import ALGORITHMS, OURS, algorithm, build, check_keywords, hyperparams
from agents.sb3.callbacks import Checkpoints, EvaluationCallback, show
from agents.sb3.warm_start import warm_start
from textgym.errors import unknown
from textgym.rewards import SCHEDULES
from textgym.sb3 import make_vec_env
from textgym.sb3.encoders import policy_kwargs


@dataclass
class TrainArgs:
    """Train an agent with Stable-Baselines3. What is not given here stands in agents/sb3/hyperparams.yml."""

    env: str = "textgym/Copy-v0"
    """The environment's id."""
    algo: str = "ppo"
    """ppo, a2c, dqn, double_dqn; with sb3-contrib also maskable_ppo, qr_dqn, recurrent_ppo, trpo."""
    reward: Spec | None = None
    """What the agent is paid: delta, terminal, delta:cer, ... or JSON; by default the id's own reward."""
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
    eval_every: int = 10_000
    """Steps between evaluations of the true score; each one saves the agent."""
    eval_episodes: int = 200
    """Fixed episodes of the validation split that each evaluation visits."""
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


@dataclass(frozen=True)
class Result:
    """What came of a run.

    Attributes:
        folder: config.json, evaluations.csv, best.zip, last.zip and logs/ are in it.
        evaluations: the lines of evaluations.csv.
        best_score: the best mean true score on the validation episodes.
    """

    folder: Path
    evaluations: list[dict[str, Any]]
    best_score: float

    @property
    def best(self) -> Path:
        """The agent of the best evaluation."""
        return self.folder / "best.zip"


def train(args: TrainArgs) -> Result:
    """Train, evaluate, save.

    The folder's files are each replaced as a whole at every evaluation: a killed run loses what happened since the last
    one, and ``resume=True`` goes on from there to the same end as a run that was never stopped.

    Raises:
        ValueError: an unknown name; a warm start of an agent that has none; a reward with another gamma; a
            folder that has another run, or (resume) a run with other settings, which are named.
        TypeError: a hyperparameter or keyword that does not exist.
        ImportError: an algorithm of sb3-contrib without sb3-contrib.
    """
    torch.set_num_threads(args.threads)
    settings = resolve(args)
    row = algorithm(settings["algo"])
    if settings["warm_start"] and not row.can_warm_start:
        able = ", ".join(a.name for a in ALGORITHMS.values() if a.can_warm_start)
        raise ValueError(
            f"warm_start={settings['warm_start']}: {row.name} has no policy that tells the likelihood of an action from an "
            f"observation alone; allowed: {able}"
        )
    reward, env_kwargs = settings["reward"], settings["env_kwargs"]
    env = make_vec_env(settings["env"], settings["n_envs"], reward=reward, **env_kwargs)
    task = env.unwrapped.envs.task
    config = {**settings, "fingerprint": task.fingerprint, "versions": _versions()}
    folder = Path(args.folder) if args.folder is not None else default_folder(settings)
    resuming = _claim(folder, config, args)
    checkpoints = Checkpoints(
        folder, settings["env"], episodes=args.eval_episodes, seed=args.seed, reward=reward, **env_kwargs
    )
    if resuming:
        # not force_reset: the environments go on within their episodes
        model = row.load().load(folder / "last.zip", env=env, device=args.device, force_reset=False)
        checkpoints.restore(model)
    else:
        model = build(
            row.name,
            env,
            encoder=settings["encoder"],
            encoder_kwargs=settings["encoder_kwargs"],
            prompt_length=task.prompt_length,
            seed=args.seed,
            gamma=args.gamma,
            device=args.device,
            **settings["hyperparams"],
        )
    model.set_logger(_logger(folder / "logs", model.num_timesteps))
    quiet = not args.progress
    with tqdm(
        total=settings["steps"], initial=model.num_timesteps, unit="tok", disable=quiet, dynamic_ncols=True
    ) as bar:
        if not checkpoints.history:
            checkpoints.evaluate(model, "start")
        show(bar, checkpoints)
        if settings["warm_start"] and len(checkpoints.history) == 1:
            bar.set_description("warm start")
            warm_start(
                model,
                settings["env"],
                settings["warm_start"],
                seed=args.seed,
                learning_rate=args.warm_start_lr,
                progress=lambda loss: bar.set_postfix(cross_entropy=f"{loss:.3f}", refresh=False),
                **env_kwargs,
            )
            checkpoints.evaluate(model, "warm_start")
            show(bar, checkpoints)
        bar.set_description(row.name)
        left = settings["steps"] - model.num_timesteps
        if left > 0:
            model.learn(left, EvaluationCallback(checkpoints, args.eval_every, bar), reset_num_timesteps=False)
    env.close()
    return Result(folder, checkpoints.history, checkpoints.best)


# -- settings --------------------------------------------------------------------------------------

# what makes a run that run; the others (steps, eval_every, folder, device, threads, ...) may change when it is resumed
IDENTITY = (
    "env", "algo", "reward", "env_kwargs", "encoder", "encoder_kwargs", "hyperparams", "n_envs", "seed", "gamma",
    "warm_start", "warm_start_lr", "eval_episodes", "fingerprint",
)  # fmt: skip


def resolve(args: TrainArgs) -> dict[str, Any]:
    """Every setting, those of hyperparams.yml filled in, as JSON values."""
    if args.env not in gym.registry:
        raise unknown("environment", args.env, (id for id in gym.registry if id.startswith("textgym/")))
    flags = {name: getattr(args, name) for name in ("n_envs", "encoder", "warm_start")} | {"n_timesteps": args.steps}
    flags |= {"encoder_kwargs": dict(args.encoder_kwargs) or None}
    merged = hyperparams(
        args.algo, args.env, {**args.hyperparams, **{name: value for name, value in flags.items() if value is not None}}
    )
    for name, least in (("n_envs", 1), ("n_timesteps", 0), ("warm_start", 0)):
        if merged.get(name, least) < least:
            raise ValueError(f"{name} must be at least {least}, got {merged[name]}")
    check_keywords(args.algo, {name: value for name, value in merged.items() if name not in OURS})
    policy_kwargs(merged["encoder"], algo=algorithm(args.algo).encoder_name, **merged["encoder_kwargs"])  # raises
    reward = args.reward if args.reward is not None else gym.spec(args.env).kwargs["reward"]
    settings = {f.name: getattr(args, f.name) for f in dataclasses.fields(args)}
    settings |= {
        "reward": with_gamma(reward, args.gamma),
        "env_kwargs": dict(args.env_kwargs),
        "encoder": merged.pop("encoder"),
        "encoder_kwargs": merged.pop("encoder_kwargs"),
        "steps": int(merged.pop("n_timesteps")),
        "n_envs": merged.pop("n_envs"),
        "warm_start": merged.pop("warm_start", 0),
        "hyperparams": merged,
        "folder": None if args.folder is None else str(args.folder),
    }
    for name in ("split", "reward"):
        if name in settings["env_kwargs"]:
            raise ValueError(f"{name!r} is none of env_kwargs: training is on split 'train', the reward is --reward")
    try:
        return json.loads(json.dumps(settings))
    except TypeError as error:
        raise TypeError(
            f"a run's settings are JSON values, so that it can be resumed ({error}): give rewards and tasks by name"
        ) from error


def with_gamma(reward: Any, gamma: float) -> Any:
    """The reward's specification with the agent's discount given to every schedule that takes ``gamma``.

    Raises:
        ValueError: it names another one.
    """
    if isinstance(reward, (list, tuple)):
        return [with_gamma(each, gamma) for each in reward]
    if isinstance(reward, Mapping):
        if reward.get("gamma", gamma) != gamma:
            raise ValueError(
                f"the reward {dict(reward)} has gamma={reward['gamma']}, the agent gamma={gamma}: give one value"
            )
        takes = _takes_gamma(str(reward.get("name")))
        return {**reward, "gamma": gamma} if takes else dict(reward)
    name, colon, metric = str(reward).partition(":")
    if isinstance(reward, str) and _takes_gamma(name):
        return {"name": name, **({"metric": metric} if colon else {}), "gamma": gamma}
    return reward


def _takes_gamma(name: str) -> bool:
    return name in SCHEDULES and "gamma" in inspect.signature(SCHEDULES[name]).parameters


def default_folder(settings: Mapping[str, Any]) -> Path:
    """runs/<env>-<algo>-<reward>-s<seed>; a reward of many words is cut and told apart by 6 digits of its hash."""
    reward = settings["reward"]
    text = reward if isinstance(reward, str) else json.dumps(reward, sort_keys=True)
    slug = re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_")
    if not isinstance(reward, str):
        slug = f"{slug[:24].rstrip('_')}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return Path("runs") / f"{settings['env'].rpartition('/')[2]}-{settings['algo']}-{slug}-s{settings['seed']}"


def _claim(folder: Path, config: Mapping[str, Any], args: TrainArgs) -> bool:
    """Make the folder this run's, write config.json; True where there is a checkpoint to go on from."""
    known = folder / "config.json"
    if known.exists() and not args.resume and not args.overwrite:
        raise ValueError(
            f"{folder} has a run already: --resume goes on, --overwrite starts anew, --folder goes elsewhere"
        )
    if known.exists() and args.resume:
        before = json.loads(known.read_text())
        changed = [name for name in IDENTITY if before.get(name) != config[name]]
        different = [f"{name} was {before.get(name)!r}, is {config[name]!r}" for name in changed]
        if different:
            raise ValueError(f"cannot resume {folder}, which is another run: {'; '.join(different)}")
    resuming = args.resume and (folder / "last.zip").exists()
    if not resuming:
        for name in ("last.zip", "best.zip", "replay_buffer.pkl", "evaluations.csv"):  # last.zip first
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(known, config)
    return resuming


def _versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "textgym": textgym.__version__}
    return own | {name: version(name) for name in ("gymnasium", "stable-baselines3", "torch", "numpy")}


def _logger(folder: Path, steps: int) -> Logger:
    """SB3's own numbers: a CSV file for every start of the run, and TensorBoard where it is installed."""
    folder.mkdir(exist_ok=True)
    formats = [make_output_format("csv", str(folder), f"-from-{steps}")]
    try:
        formats.append(make_output_format("tensorboard", str(folder)))
    except (AssertionError, ImportError):
        pass
    return Logger(str(folder), formats)


def read_evaluations(folder: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's evaluations.csv, numbers as numbers."""
    with open(Path(folder) / "evaluations.csv", newline="") as file:
        return [{k: v if k == "event" else float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def main() -> None:
    """The command line. Errors of the settings are one line."""
    args = tyro.cli(TrainArgs, prog="python -m agents.sb3.train")
    try:
        result = train(args)
    except (ValueError, ImportError) as error:
        sys.exit(f"error: {error}")
    for row in result.evaluations:
        scores = f"score {row['score']:.4f}  success {row['success']:.3f}"
        print(f"{row['event']:10} {row['steps']:>9} steps  {scores}  {row['wall_s']:.0f} s")
    print(f"best {result.best_score:.4f}: {result.best}")


if __name__ == "__main__":
    main()
