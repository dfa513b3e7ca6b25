"""Train a Transformer on a textgym id: ``python -m agents.transformer.train --env Spelling-v0 --algo ppo``."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import gymnasium as gym
import torch
from gymnasium.vector import AutoresetMode
from tqdm import tqdm

from agents.cli import command_line, making
from agents.files import write_json
from agents.runs import Result, claim, clear, default_folder, due, logger, report, versions
from agents.transformer.checkpoints import Checkpoints, load_into
from agents.transformer.critic import fit_values
from agents.transformer.model import Decoder, DecoderConfig
from agents.transformer.pretrain import pretrain
from agents.transformer.settings import IDENTITY, TrainArgs, resolve, resolve_device
from agents.transformer.trainer import Trainer

PACKAGES = ("gymnasium", "torch", "numpy")  # whose versions are kept
ON_BAR = {"kl": "kl_to_old", "entropy": "entropy", "length": "text_length"}


def train(args: TrainArgs) -> Result:
    """Train, evaluate, save.

    The folder's files are each replaced as a whole at every evaluation: a killed run loses what happened since the last
    one, and ``resume=True`` goes on from there to the same end as a run that was never stopped (on the CPU, and with
    the same ``steps`` where the learning rate decays).

    Raises:
        ValueError: a setting that cannot be; a reward with another gamma; no GPU where one is asked for; a folder that
            has another run, or (resume) a run with other settings, which are named.
        TypeError: a setting that is no JSON value.
        FloatingPointError: a loss that is no finite number; the last checkpoint, which is named, stays.
    """
    settings = resolve(args)
    device = resolve_device(args.device)
    torch.set_num_threads(args.threads)
    grouped = {"group_size": args.group_size} if args.grouped else {}
    with making(f"{settings['env']} with env_kwargs {settings['env_kwargs']}"):
        env = gym.make_vec(
            settings["env"],
            num_envs=args.n_envs,
            autoreset_mode=AutoresetMode.SAME_STEP,
            copy=False,
            reward=settings["reward"],
            **grouped,
            **settings["env_kwargs"],
        )
    decoder = DecoderConfig(
        env.vocabulary.size,
        1 + env.prompt_length + env.budget,
        **{name: getattr(args, name) for name in ("layers", "width", "heads", "positions", "dropout")},
    )
    config = {
        **settings,
        "decoder": asdict(decoder),
        "vocabulary": env.vocabulary.fingerprint,
        "prompt_length": env.prompt_length,
        "fingerprint": env.task.fingerprint,
        "versions": versions(*PACKAGES),
    }
    folder = Path(args.folder) if args.folder is not None else default_folder(settings, f"transformer-{args.algo}")
    claim(folder, config, IDENTITY, resume=args.resume, overwrite=args.overwrite)
    resuming = args.resume and (folder / "last.pt").exists()
    torch.manual_seed(args.seed)
    policy = Decoder(decoder).to(device)
    if args.init is not None and not resuming:
        load_into(policy, args.init, config)
    checkpoints = Checkpoints(folder, config, args.sampling)
    if not resuming:
        clear(folder, "last.pt", "best.pt")
    write_json(folder / "config.json", config)
    with tqdm(total=args.steps, unit="tok", disable=not args.progress, dynamic_ncols=True) as bar:
        if not resuming and args.pretrain:
            checkpoints.evaluate(policy, "start")
            _pretrain(args, env.task, policy, bar)
        trainer = Trainer(replace(args, reward=settings["reward"]), env, policy)
        if resuming:
            checkpoints.restore(trainer)
        else:
            if args.critic_start:
                fit_values(trainer, args.critic_start)
            checkpoints.evaluate(policy, "warm_start" if args.pretrain else "start", trainer)
        _learn(args, trainer, checkpoints, bar)
    env.close()
    return Result(folder, checkpoints.history, checkpoints.best, folder / "best.pt")


def _pretrain(args: TrainArgs, task, policy: Decoder, bar: tqdm) -> None:
    bar.set_description(f"{args.pretrain} updates of maximum likelihood")

    def show(update: int, loss: float) -> None:
        bar.set_postfix(update=update + 1, cross_entropy=f"{loss:.3f}", refresh=False)
        bar.update(0)

    pretrain(policy, task, args.pretrain, rate=args.pretrain_lr, seed=args.seed, progress=show)


def _learn(args: TrainArgs, trainer: Trainer, checkpoints: Checkpoints, bar: tqdm) -> None:
    """Updates until all tokens are written; evaluations between them."""
    log = logger(checkpoints.folder / "logs", trainer.tokens)
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
    report(command_line(TrainArgs, train, "python -m agents.transformer.train"))


if __name__ == "__main__":
    main()
