"""Distil a policy into a smaller one: ``python -m agents.transformer.distill --teacher runs/x/best.pt --width 64``.

The student learns the teacher's distribution of every next token (word-level distillation: Hinton et al. 2015; Kim &
Rush 2016) on references, on texts that the teacher writes, or on its own, where it is asked for what it will meet
itself (Agarwal et al. 2024). What comes of it is a checkpoint as any other: for generate, evaluate, or to train from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import gymnasium as gym
import numpy as np
import torch
import torch.nn.functional as F
import tyro
from gymnasium.vector import AutoresetMode
from torch import Tensor
from tqdm import tqdm

from agents.cli import command_line
from agents.descent import descend
from agents.files import write_json
from agents.runs import Result, claim, clear, report
from agents.transformer.batch import places
from agents.transformer.checkpoints import Checkpoints, load_policy
from agents.transformer.networks import check_network, describe, folder_of, make_policy
from agents.transformer.policy import Policy
from agents.transformer.pretrain import reference_windows, text_columns
from agents.transformer.rollout import Writer
from agents.transformer.sampling import Sampling
from agents.transformer.schedules import learning_rate
from textgym.errors import one_of, usable_device, whole_number
from textgym.rewards.base import number
from textgym.tasks import Task

TEXTS = ("references", "teacher", "student")
DIVERGENCES = ("forward", "reverse")


@dataclass
class DistillArgs:
    """Teach a small Transformer what a large one says of every next token, on the teacher's environment."""

    teacher: Path
    """The large one's checkpoint, such as runs/x/best.pt."""
    texts: Literal["references", "teacher", "student"] = "references"
    """What is read: references of the train split, or what one of the two writes."""
    divergence: Literal["forward", "reverse"] = "forward"
    """forward: KL(teacher || student), which covers all that the teacher says; reverse: its likeliest alone."""
    temperature: float = 1.0
    """Logits of both are divided by it when they are compared."""

    network: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER|MODULE:CLASS")] = "decoder"
    """The student: decoder, lstm, ..., as in agents.transformer.train."""
    layers: int | None = 1
    """Its layers."""
    width: int | None = 64
    """Its width."""
    heads: int | None = None
    """Its attention heads a layer, 4 by default."""

    updates: int = 1000
    """Steps of AdamW."""
    batch: int = 64
    """Texts of each."""
    learning_rate: float = 1e-3
    """The highest learning rate, falling linearly."""
    seed: int = 0
    """Seed of the student, the episodes and the sampling."""

    eval_episodes: int = 200
    """Fixed episodes of the validation split for the student's true score."""
    folder: Path | None = None
    """Where everything goes; by default the teacher's folder with -distilled behind its name."""
    overwrite: bool = False
    """Start anew in a folder that has a run already."""
    device: str = "auto"
    """Where the networks live: auto, cpu, cuda."""
    threads: int = 1
    """Threads of PyTorch on the CPU."""
    progress: bool = True
    """Show a progress bar."""


def distill(args: DistillArgs) -> Result:
    """Train a student, evaluate it, save it as best.pt.

    Raises:
        FileNotFoundError, ValueError: no checkpoint; a setting that cannot be; a folder that has a run; no GPU where
            one is asked for; no references where they are to be read.
        FloatingPointError: a loss that is no finite number.
    """
    _check(args)
    device = usable_device(args.device)
    torch.set_num_threads(args.threads)
    teacher, config = load_policy(args.teacher, device)
    folder = args.folder or args.teacher.parent.with_name(f"{args.teacher.parent.name}-distilled")
    sizes = {name: getattr(args, name) for name in ("layers", "width", "heads")}
    own = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(args).items()}
    config = {**config, **sizes, "seed": args.seed, "folder": str(folder)}
    config |= {"eval_episodes": args.eval_episodes, "eval_first": 0}
    env = gym.make_vec(
        config["env"],
        num_envs=args.batch,
        autoreset_mode=AutoresetMode.SAME_STEP,
        copy=False,
        reward="constant",  # of no matter
        **config["env_kwargs"],
    )
    architecture = describe(args.network, env, sizes)
    config |= {"network": args.network, "architecture": architecture, "distilled": own}
    claim(folder, config, (), resume=False, overwrite=args.overwrite)
    torch.manual_seed(args.seed)
    student = make_policy(architecture, folder_of(args.network)).to(device)
    sampling = Sampling(*(config[name] for name in ("temperature", "top_k", "top_p")))
    clear(folder, "last.pt", "best.pt")
    write_json(folder / "config.json", config)
    if args.texts == "references":
        texts = references(env.task, args.batch, args.seed, device)
    else:
        writer = teacher if args.texts == "teacher" else student
        texts = written(Writer(env, writer, sampling, torch.Generator(device).manual_seed(args.seed), seed=args.seed))
    with tqdm(total=args.updates, unit="update", disable=not args.progress, dynamic_ncols=True) as bar:
        for loss in lessons(student, teacher, texts, args):
            bar.set_postfix(kl=f"{loss:.4f}", refresh=False)
            bar.update()
    checkpoints = Checkpoints(folder, config, sampling)
    checkpoints.evaluate(student, "warm_start")
    env.close()
    return Result(folder, checkpoints.history, checkpoints.best, folder / "best.pt")


def _check(args: DistillArgs) -> None:
    one_of("texts", args.texts, TEXTS)
    one_of("divergence", args.divergence, DIVERGENCES)
    check_network(args.network)
    for name in ("layers", "width", "heads", "updates", "batch", "eval_episodes"):
        if getattr(args, name) is not None:
            whole_number(name, getattr(args, name), 1)
    whole_number("seed", args.seed, 0)
    whole_number("threads", args.threads, 1)
    for name in ("temperature", "learning_rate"):
        number(name, getattr(args, name), above=0.0)


Texts = Iterator[tuple[Tensor, Tensor, Tensor]]  # windows int64 (S, C), rows and columns int64 (m,): who is asked where


def references(task: Task, count: int, seed: int, device: torch.device) -> Texts:
    """References of the task's split, ``count`` at a time, and the columns that choose their tokens, EOS too."""
    rng = np.random.default_rng([seed, 1])
    while True:
        tokens, lengths = (each.to(device) for each in reference_windows(task, rng, count))
        yield tokens, *text_columns(tokens, lengths, task.prompt_length)


def written(writer: Writer) -> Texts:
    """Texts, or parts of texts, that are written while it is asked for them."""
    while True:
        training = writer.policy.training
        writer.policy.eval()
        with torch.no_grad():
            rollout = writer.collect(writer.env.budget)
        writer.policy.train(training)
        parts, within, _ = places(rollout)
        yield rollout.windows, parts, writer.prompt_length + rollout.first[parts] + within


def lessons(student: Policy, teacher: Policy, texts: Texts, args: DistillArgs) -> Iterator[float]:
    """Train the student on ``args.updates`` batches of texts; the loss of each, in nats a token.

    Raises:
        FloatingPointError: a loss that is no finite number.
    """
    optimizer = torch.optim.AdamW(student.parameters(), args.learning_rate, weight_decay=0.01)
    for update in range(args.updates):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args.learning_rate, update, args.updates, "linear")
        windows, rows, columns = next(texts)
        with torch.no_grad():
            wanted, _ = teacher.heads(teacher.outputs(windows, rows, columns))
        said, _ = student.heads(student.outputs(windows, rows, columns))
        loss = divergence(said, wanted, args.divergence, args.temperature).mean()
        yield descend(optimizer, student, loss, f"loss in update {update}", max_norm=1.0)


def divergence(student: Tensor, teacher: Tensor, kind: str = "forward", temperature: float = 1.0) -> Tensor:
    """KL of the distributions of logits (m, V), float (m,): "forward" KL(teacher || student), "reverse" KL(student ||
    teacher), times the square of the temperature, so that gradients keep their size (Hinton et al. 2015)."""
    log_q, log_p = ((logits.float() / temperature).log_softmax(-1) for logits in (student, teacher))
    if kind == "reverse":
        log_q, log_p = log_p, log_q
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1) * temperature**2


def main() -> None:
    """The command line."""
    report(command_line(DistillArgs, distill, "python -m agents.transformer.distill"))


if __name__ == "__main__":
    main()
