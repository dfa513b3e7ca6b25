"""The settings of a run of the Transformer trainer: one flag a field, and what each algorithm is made of.

Copy and Reverse of 16 letters out of 26, from nothing, are learnt in 400,000 tokens with PPO at ``--width 64
--positions learned --minibatch 256 --entropy-weight 0.05 --gamma 0 --lam 0`` (seed 0; argmax on validation episodes):
Copy scores 0.94 after 200,000 tokens and 1.00 after 240,000, Reverse 0.94 after 140,000 and 1.00 after 260,000. What
matters there, tried on Copy, one seed each:

- gamma 0: "delta" pays each letter at once, and later letters do not depend on it. At gamma 1 Copy had 0.34 after
  200,000 tokens and 0.58 at the end: the error of the values was twice what a letter is paid.
- the entropy bonus: with less of it (gamma 1, rotary) the policy is soon sure of something wrong: at 0.01 it stayed at
  0.22 from 220,000 tokens on; at 0.003, lam 0.95, it had 0.09 after 100,000, with 1.2 of 3.3 nats of entropy left.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from agents.cli import Json, Spec
from agents.runs import as_json, reward_of
from agents.transformer.losses import AGGREGATIONS
from agents.transformer.model import POSITIONS
from agents.transformer.sampling import Sampling
from agents.transformer.schedules import DECAYS
from agents.transformer.update import Objective
from textgym.errors import one_of, whole_number
from textgym.registration import full_id
from textgym.rewards.base import number

# what distinguishes the algorithms: where advantages come from, and what a flag that is not given is
ALGORITHMS: dict[str, dict[str, object]] = {
    "ppo": {"estimator": "gae", "lam": 0.95, "clip": 0.2, "epochs": 2, "normalise": True},
    "a2c": {"estimator": "gae", "lam": 0.95, "clip": None, "epochs": 1, "normalise": True},
    "reinforce": {"estimator": "gae", "lam": 1.0, "clip": None, "epochs": 1, "normalise": False},
    "rloo": {"estimator": "leave_one_out", "lam": 1.0, "clip": 0.2, "epochs": 1, "normalise": False},
    "grpo": {"estimator": "group_relative", "lam": 1.0, "clip": 0.2, "epochs": 1, "normalise": False},
}


@dataclass
class TrainArgs:
    """Train a Transformer on a textgym id. Flags that are not given are the algorithm's own."""

    env: str = "textgym/Copy-v0"
    """The environment's id, with or without textgym/."""
    algo: Literal["ppo", "a2c", "reinforce", "rloo", "grpo"] = "ppo"
    """ppo, a2c, reinforce (Monte Carlo with a value baseline), rloo, grpo (groups of texts of one prompt)."""
    reward: Spec = None
    """What the agent is paid: delta, terminal, delta:chrf, ... or JSON; by default the id's own reward."""
    env_kwargs: Json = field(default_factory=dict)
    """Other keywords of the environment, as JSON: '{"mask": "task"}'."""
    steps: int = 200_000
    """Tokens to write; rounded up to whole rollouts."""
    n_envs: int = 64
    """Texts written at once."""
    rollout: int | None = None
    """Tokens of each row between updates; by default the environment's budget."""
    group_size: int = 8
    """rloo, grpo: texts of one prompt."""
    seed: int = 0
    """Seed of the network, the episodes and the sampling."""

    layers: int = 2
    """Layers of the network."""
    width: int = 128
    """Its width."""
    heads: int = 4
    """Attention heads a layer."""
    positions: Literal["rotary", "learned"] = "rotary"
    """How positions are told."""
    dropout: float = 0.0
    """Probability, in updates; rollouts have none."""

    learning_rate: float = 1e-3
    """The highest learning rate (Adam)."""
    decay: Literal["constant", "linear", "cosine", "exponential"] = "linear"
    """How it falls."""
    warmup: int = 0
    """Updates in which it rises."""
    weight_decay: float = 0.0
    """Of AdamW."""
    max_norm: float = 0.5
    """Gradients are scaled to at most this norm."""
    epochs: int | None = None
    """Times that every token is used."""
    minibatch: int = 1024
    """Tokens of one step of the optimizer."""

    gamma: float = 1.0
    """Discount; below 1 a dense reward and a terminal one are different objectives."""
    lam: float | None = None
    """Lambda of the advantages (GAE): 1 is Monte Carlo, 0 one step."""
    clip: float | None = None
    """Clip range of the probability ratio (ppo, rloo, grpo)."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    entropy_weight: float = 0.01
    """Weight of the entropy bonus."""
    aggregation: Literal["token", "sequence", "constant"] = "token"
    """How the losses of tokens are averaged; "sequence" favours long wrong texts."""
    temperature: float = 1.0
    """Logits are divided by it when tokens are drawn."""
    top_k: int | None = None
    """Draw from the k likeliest tokens only."""
    top_p: float | None = None
    """Draw from the likeliest tokens that together have this probability."""
    kl_weight: float = 0.0
    """Weight of the KL to the policy at the start of reinforcement learning, in the loss."""
    init: Path | None = None
    """A checkpoint, of the same network and vocabulary, whose policy to start from."""
    pretrain: int = 0
    """Updates of maximum likelihood on the train split's references first."""
    pretrain_lr: float = 1e-3
    """Learning rate of these updates, falling linearly."""

    critic_start: int = 0
    """Tokens after which the policy first learns: from those before, the value head alone is fitted."""
    eval_every: int = 20_000
    """Tokens between evaluations of the true score; each one saves a checkpoint."""
    eval_at: tuple[int, ...] = ()
    """The tokens after which to evaluate, instead of every eval_every; always at the end, too."""
    eval_episodes: int = 200
    """Fixed episodes of the validation split that each evaluation visits."""
    folder: Path | None = None
    """Where everything goes; by default runs/<env>-transformer-<algo>-<reward>-s<seed>."""
    resume: bool = False
    """Go on where the folder's last evaluation was, if it has one."""
    overwrite: bool = False
    """Start anew in a folder that has a run already."""
    device: str = "auto"
    """Where the network lives: auto, cpu, cuda."""
    threads: int = 1
    """Threads of PyTorch on the CPU."""
    progress: bool = True
    """Show a progress bar."""

    def of_algorithm(self, name: str):
        """A flag, or what the algorithm has where it is not given."""
        given = getattr(self, name, None)
        return ALGORITHMS[self.algo][name] if given is None else given

    @property
    def grouped(self) -> bool:
        """The algorithm compares texts of one prompt and needs no values."""
        return ALGORITHMS[self.algo]["estimator"] != "gae"

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_k, self.top_p)

    @property
    def objective(self) -> Objective:
        return Objective(
            clip=self.of_algorithm("clip"),
            value_weight=0.0 if self.grouped else self.value_weight,
            entropy_weight=self.entropy_weight,
            kl_weight=self.kl_weight,
            aggregation=self.aggregation,
            normalise=bool(ALGORITHMS[self.algo]["normalise"]),
        )


# may change when a run is resumed; all else makes it that run
FREE = ("steps", "eval_every", "eval_at", "folder", "resume", "overwrite", "device", "threads", "progress")
IDENTITY = (*(f.name for f in dataclasses.fields(TrainArgs) if f.name not in FREE), "fingerprint")


def resolve(args: TrainArgs) -> dict[str, Any]:
    """Every setting, those of the algorithm filled in, as JSON values.

    Raises:
        ValueError, TypeError: as :func:`~agents.transformer.train.train`, where it needs no environment to know.
    """
    id = full_id(args.env)
    for name, allowed in (
        ("algo", ALGORITHMS),
        ("positions", POSITIONS),
        ("decay", DECAYS),
        ("aggregation", AGGREGATIONS),
    ):
        one_of(name, getattr(args, name), allowed)
    least = dict.fromkeys(("n_envs", "group_size", "layers", "width", "heads", "minibatch", "eval_every"), 1)
    least |= {"eval_episodes": 1, "threads": 1, "rollout": 1, "epochs": 1, "steps": 0, "warmup": 0, "pretrain": 0}
    least |= {"critic_start": 0}
    for name, low in least.items():
        if getattr(args, name) is not None:
            whole_number(name, getattr(args, name), low)
    for name in ("learning_rate", "pretrain_lr", "max_norm", "clip"):
        if getattr(args, name) is not None:
            number(name, getattr(args, name), above=0.0)
    for name in ("weight_decay", "value_weight", "entropy_weight", "kl_weight"):
        number(name, getattr(args, name), low=0.0)
    for name in ("gamma", "lam", "dropout"):
        if getattr(args, name) is not None:
            number(name, getattr(args, name), low=0.0, high=1.0)
    _check_algorithm(args)
    settings = {f.name: getattr(args, f.name) for f in dataclasses.fields(args)}
    settings |= {name: args.of_algorithm(name) for name in ("epochs", "lam", "clip")}
    settings |= {
        "env": id,
        "reward": reward_of(id, args.reward, args.gamma),
        "env_kwargs": dict(args.env_kwargs or {}),
        **{name: None if getattr(args, name) is None else str(getattr(args, name)) for name in ("folder", "init")},
    }
    return as_json(settings)


def _check_algorithm(args: TrainArgs) -> None:
    """Raise where flags do not go with the algorithm, or with each other."""
    args.sampling  # noqa: B018 - raises
    if args.clip is not None and ALGORITHMS[args.algo]["clip"] is None:
        raise ValueError(f"clip={args.clip}: {args.algo} uses every token once and has no ratio to clip; ppo has")
    if args.lam is not None and args.grouped:
        raise ValueError(f"lam={args.lam}: {args.algo} compares whole texts of a prompt; ppo and a2c have a lambda")
    if args.grouped and args.critic_start:
        raise ValueError(f"critic_start={args.critic_start}: {args.algo} has no values; ppo, a2c and reinforce have")
    if args.grouped and args.gamma != 1.0:
        raise ValueError(f"gamma={args.gamma}: {args.algo} compares the undiscounted returns of whole texts: gamma=1")
    if args.grouped and args.n_envs % args.group_size:
        raise ValueError(f"group_size={args.group_size} must divide n_envs={args.n_envs}")


def resolve_device(name: str) -> torch.device:
    """The device of a flag; "auto": the GPU where there is one.

    Raises:
        ValueError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        raise ValueError(
            f"device {name!r} cannot be had ({why}); auto takes a GPU where there is one, else cpu"
        ) from error
    return device
