"""Train an SB3 agent on a textgym id: ``python -m agents.sb3.train --env textgym/Spelling-v0 --algo ppo``."""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm import tqdm

from agents.cli import command_line, making
from agents.files import write_json
from agents.runs import Result, claim, clear, default_folder, logger, report, versions
from agents.sb3.algorithms import algorithm, build
from agents.sb3.callbacks import Checkpoints, EvaluationCallback, show
from agents.sb3.settings import IDENTITY, TrainArgs, resolve
from agents.sb3.warm_start import warm_start, warm_start_critic
from textgym.sb3 import make_vec_env

PACKAGES = ("gymnasium", "stable-baselines3", "torch", "numpy")  # whose versions are kept


def train(args: TrainArgs) -> Result:
    """Train, evaluate, save.

    The folder's files are each replaced as a whole at every evaluation: a killed run loses what happened since the last
    one, and ``resume=True`` goes on from there to the same end as a run that was never stopped.

    Raises:
        ValueError: an unknown name, keyword or hyperparameter; a device that is not there; a warm start of an agent
            that has none; a reward with another gamma; a folder that has another run, or (resume) a run with other
            settings, which are named.
        TypeError: a setting that is no JSON value.
        FloatingPointError: weights or logits that are no finite numbers; the last checkpoint stays.
        ImportError: an algorithm of sb3-contrib without sb3-contrib.
    """
    settings = resolve(args)
    torch.set_num_threads(args.threads)
    row = algorithm(settings["algo"])
    reward, env_kwargs = settings["reward"], settings["env_kwargs"]
    with making(f"{settings['env']} with env_kwargs {env_kwargs}"):
        env = make_vec_env(settings["env"], settings["n_envs"], reward=reward, **env_kwargs)
    task = env.unwrapped.envs.task
    config = {**settings, "fingerprint": task.fingerprint, "versions": versions(*PACKAGES)}
    folder = Path(args.folder) if args.folder is not None else default_folder(settings, settings["algo"])
    claim(folder, config, IDENTITY, resume=args.resume, overwrite=args.overwrite)
    resuming = args.resume and (folder / "last.zip").exists()
    checkpoints = Checkpoints(
        folder, settings["env"], episodes=args.eval_episodes, first=args.eval_first, seed=args.seed, reward=reward,
        **env_kwargs,
    )  # fmt: skip
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
    if vectors := model.policy_kwargs["features_extractor_kwargs"].get("vectors"):
        print(vectors)  # how many tokens have one
    if not resuming:
        clear(folder, "last.zip", "best.zip", "replay_buffer.pkl")
    write_json(folder / "config.json", config)
    model.set_logger(logger(folder / "logs", model.num_timesteps))
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
            callback = EvaluationCallback(checkpoints, args.eval_every, args.eval_at, bar)
            try:
                model.learn(left, callback, reset_num_timesteps=False)
            except ValueError as error:
                if "found invalid values" not in str(error):  # of logits, as PyTorch's distributions say it
                    raise
                raise FloatingPointError(f"{model.num_timesteps} tokens: logits are no finite numbers") from error
    env.close()
    return Result(folder, checkpoints.history, checkpoints.best, folder / "best.zip")


def main() -> None:
    """The command line."""
    report(command_line(TrainArgs, train, "python -m agents.sb3.train"))


if __name__ == "__main__":
    main()
