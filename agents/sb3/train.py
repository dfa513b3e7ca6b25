"""Train an SB3 agent on a textgym id: ``python -m agents.sb3.train --env textgym/Spelling-v0 --algo ppo``."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.logger import Logger, make_output_format
from tqdm import tqdm

import textgym
from agents.cli import command_line, making
from agents.files import write_json
from agents.sb3.algorithms import algorithm, build
from agents.sb3.callbacks import Checkpoints, EvaluationCallback, show
from agents.sb3.settings import IDENTITY, TrainArgs, default_folder, resolve
from agents.sb3.warm_start import warm_start, warm_start_critic
from textgym.sb3 import make_vec_env


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
        ValueError: an unknown name, keyword or hyperparameter; a warm start of an agent that has none; a reward with
            another gamma; a folder that has another run, or (resume) a run with other settings, which are named.
        TypeError: a setting that is no JSON value.
        ImportError: an algorithm of sb3-contrib without sb3-contrib.
    """
    settings = resolve(args)
    torch.set_num_threads(args.threads)
    row = algorithm(settings["algo"])
    reward, env_kwargs = settings["reward"], settings["env_kwargs"]
    with making(f"{settings['env']} with env_kwargs {env_kwargs}"):
        env = make_vec_env(settings["env"], settings["n_envs"], reward=reward, **env_kwargs)
    task = env.unwrapped.envs.task
    config = {**settings, "fingerprint": task.fingerprint, "versions": _versions()}
    folder = Path(args.folder) if args.folder is not None else default_folder(settings)
    resuming = _may_claim(folder, config, args)
    checkpoints = Checkpoints(
        folder, settings["env"], episodes=args.eval_episodes, seed=args.seed, reward=reward, **env_kwargs
    )
    if resuming:
        # not force_reset: the environments go on within their episodes
        model = row.load().load(folder / "last.zip", env=env, device=args.device, force_reset=False)
        checkpoints.restore(model)
    else:
        given = {name: getattr(args, name) for name in ("encoder_kwargs", "hyperparams", "device")}
        with making(f"{row.name} with {', '.join(f'{name} {value!r}' for name, value in given.items())}"):
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
    if not resuming:
        _clear(folder)
    write_json(folder / "config.json", config)
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
            if settings["critic_start"]:
                warm_start_critic(model, settings["critic_start"])
            checkpoints.evaluate(model, "warm_start")
            show(bar, checkpoints)
        bar.set_description(row.name)
        left = settings["steps"] - model.num_timesteps
        if left > 0:
            model.learn(left, EvaluationCallback(checkpoints, args.eval_every, bar), reset_num_timesteps=False)
    env.close()
    return Result(folder, checkpoints.history, checkpoints.best)


# -- the folder ---------------------------------------------------------------------------------


def _may_claim(folder: Path, config: Mapping[str, Any], args: TrainArgs) -> bool:
    """Raise where the folder is another run's; True where it has a checkpoint to go on from."""
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
    return args.resume and (folder / "last.zip").exists()


def _clear(folder: Path) -> None:
    """Make the folder, without the checkpoints of a run before."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("last.zip", "best.zip", "replay_buffer.pkl", "evaluations.csv"):  # last.zip first
        (folder / name).unlink(missing_ok=True)


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
    """The lines of a run's evaluations.csv, numbers as numbers (empty: None)."""
    with open(Path(folder) / "evaluations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v if k == "event" else float(v) if v else None for k, v in row.items()} for row in rows]


def main() -> None:
    """The command line."""
    result = command_line(TrainArgs, train, "python -m agents.sb3.train")
    for row in result.evaluations:
        scores = f"score {row['score']:.4f}  success {row['success']:.3f}"
        print(f"{row['event']:10} {row['steps']:>9} steps  {scores}  {row['wall_s']:.0f} s")
    print(f"best {result.best_score:.4f}: {result.best}")


if __name__ == "__main__":
    main()
