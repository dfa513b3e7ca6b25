"""Train a Transformer on a textgym id: ``python -m agents.transformer.train --env Spelling-v0 --algo ppo``.

By N processes: ``torchrun --nproc-per-node N -m agents.transformer.train ...``, see ``distributed.py``.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from tqdm import tqdm

from agents.cli import command_line, making
from agents.files import write_json
from agents.runs import Result, claim, clear, default_folder, due, logger, report, versions
from agents.transformer.checkpoints import Checkpoints, load_into
from agents.transformer.critic import fit_values
from agents.transformer.distributed import World, joined, rows_of
from agents.transformer.networks import SIZES, describe, folder_of, make_policy
from agents.transformer.policy import Policy
from agents.transformer.pretrain import pretrain
from agents.transformer.redistribution import Redistribution
from agents.transformer.settings import IDENTITY, TrainArgs, resolve
from agents.transformer.trainer import Trainer
from textgym.errors import usable_device

PACKAGES = ("gymnasium", "torch", "numpy")  # whose versions are kept
ON_BAR = {"kl": "kl_to_old", "entropy": "entropy", "length": "text_length"}


def train(args: TrainArgs) -> Result:
    """Train, evaluate, save.

    The folder's files are each replaced as a whole at every evaluation: a killed run loses what happened since the last
    one, and ``resume=True`` goes on from there to the same end as a run that was never stopped (on the CPU, and with
    the same ``steps`` where the learning rate decays).

    Raises:
        ValueError: a setting that cannot be; a reward with another gamma; no GPU where one is asked for; a folder that
            has another run, or (resume) a run with other settings, which are named, or of another number of processes;
            rows that do not make whole groups on every process; fewer GPUs than processes; redistribution by the
            attention of a network that has none.
        ConnectionError: another process has failed.
        TypeError: a setting that is no JSON value.
        FloatingPointError: a loss that is no finite number; the last checkpoint, which is named, stays.
    """
    settings = resolve(args)
    with joined(usable_device(args.device)) as (world, device):
        return _train(args, settings, world, device)


def _train(args: TrainArgs, settings: dict[str, Any], world: World, device: torch.device) -> Result:
    torch.set_num_threads(args.threads)
    rows = rows_of(world, args.n_envs, args.group_size if args.grouped else 1)
    with making(f"{settings['env']} with env_kwargs {settings['env_kwargs']}"):
        env = gym.make_vec(
            settings["env"],
            num_envs=rows,
            autoreset_mode=AutoresetMode.SAME_STEP,
            copy=False,
            reward=settings["reward"],
            group_size=args.whole_texts,
            **settings["env_kwargs"],
        )
    architecture = describe(args.network, env, {name: getattr(args, name) for name in SIZES})
    config = {
        **settings,
        "architecture": architecture,
        "vocabulary": env.vocabulary.fingerprint,
        "prompt_length": env.prompt_length,
        "fingerprint": env.task.fingerprint,
        "versions": versions(*PACKAGES),
        "processes": world.size,
    }
    folder = Path(args.folder) if args.folder is not None else default_folder(settings, f"transformer-{args.algo}")
    torch.manual_seed(args.seed)
    policy = make_policy(architecture, folder_of(args.network)).to(device)
    policy.precision = getattr(torch, args.precision)
    if args.compile:
        policy.compile_step()
    checkpoints = Checkpoints(folder, config, args.sampling, world)
    resuming = world.once(lambda: args.resume and (folder / "last.pt").exists())
    if args.init is not None and not resuming:
        load_into(policy, args.init, config)
    if args.redistribute is not None:
        Redistribution(args.redistribute, args.redistribute_share, policy, env)  # raises, before there is a folder
    world.once(lambda: _open(args, folder, config, resuming))
    if world.rank:  # dropout of its own
        torch.manual_seed(args.seed + (world.rank << 32))
    with tqdm(total=args.steps, unit="tok", disable=not args.progress or world.rank > 0, dynamic_ncols=True) as bar:
        if not resuming and args.pretrain:
            checkpoints.evaluate(policy, "start")
            world.once(lambda: _pretrain(args, env.task, policy, bar))
        world.share_weights(policy)
        trainer = Trainer(replace(args, reward=settings["reward"]), env, policy, world=world)
        if resuming:
            checkpoints.restore(trainer)
        else:
            if args.critic_start:
                fit_values(trainer, args.critic_start)
            checkpoints.evaluate(policy, "warm_start" if args.pretrain else "start", trainer)
        _learn(args, trainer, checkpoints, bar)
    env.close()
    return Result(folder, checkpoints.history, checkpoints.best, folder / "best.pt")


def _open(args: TrainArgs, folder: Path, config: dict[str, Any], resuming: bool) -> None:
    """Make the folder this run's, which goes on with what is there or begins anew."""
    claim(folder, config, IDENTITY, resume=args.resume, overwrite=args.overwrite)
    if not resuming:
        clear(folder, "last.pt", "best.pt")
    write_json(folder / "config.json", config)


def _pretrain(args: TrainArgs, task, policy: Policy, bar: tqdm) -> None:
    bar.set_description(f"{args.pretrain} updates of maximum likelihood")

    def show(update: int, loss: float) -> None:
        bar.set_postfix(update=update + 1, cross_entropy=f"{loss:.3f}", refresh=False)
        bar.update(0)

    objective = {"objective": args.pretrain_objective, "mask_probability": args.mask_probability}
    pretrain(policy, task, args.pretrain, **objective, rate=args.pretrain_lr, seed=args.seed, progress=show)


def _learn(args: TrainArgs, trainer: Trainer, checkpoints: Checkpoints, bar: tqdm) -> None:
    """Updates until all tokens are written; evaluations between them."""
    log = logger(checkpoints.folder / "logs" if trainer.world.rank == 0 else None, trainer.tokens)
    bar.set_description(args.algo)
    bar.update(trainer.tokens - bar.n)
    scores = {"score": f"{checkpoints.latest['score']:.3f}", "best": f"{checkpoints.best:.3f}"}
    bar.set_postfix(scores)
    while trainer.tokens < args.steps:
        before, started = trainer.tokens, time.perf_counter()
        try:
            seen = trainer.step()
        except FloatingPointError as error:
            kept = f"{checkpoints.folder / 'last.pt'} is that of {checkpoints.latest['steps']} tokens"
            raise FloatingPointError(f"update {trainer.update}, {trainer.tokens} tokens: {error}; {kept}") from error
        seen["tokens_per_s"] = (trainer.tokens - before) / (time.perf_counter() - started)
        for name, value in seen.items():
            log.record(f"train/{name}", value)
        if trainer.tokens >= args.steps or due(before, trainer.tokens, args.eval_every, args.eval_at):
            row = checkpoints.evaluate(trainer.policy, "train", trainer, seen)
            for name in ("score", "sampled", "success", "return", "length"):
                log.record(f"eval/{name}", row[name])
            scores = {"score": f"{row['score']:.3f}", "best": f"{checkpoints.best:.3f}"}
        log.dump(trainer.tokens)
        means = {short: f"{seen[name]:.3g}" for short, name in ON_BAR.items() if name in seen}
        bar.set_postfix({**scores, **means}, refresh=False)
        bar.update(trainer.tokens - bar.n)
    log.close()


def main() -> None:
    """The command line."""
    result = command_line(TrainArgs, train, "python -m agents.transformer.train")
    if int(os.environ.get("RANK", 0)) == 0:
        report(result)


if __name__ == "__main__":
    main()
