"""The settings of a run of the Transformer trainer: one flag a field, and what each algorithm is made of.

Copy and Reverse of 16 letters out of 26, from nothing, are learnt in 400,000 tokens with PPO at ``--width 64
--positions learned --minibatch 256 --entropy-weight 0.05 --gamma 0 --lam 0 --random-starts 0.25`` (argmax on validation
episodes): Reverse scores 1.00 with each of the seeds 0 to 4, after 160,000 to 320,000 tokens, Copy with each of 0 to 2.
What matters there, one seed each but where more are named:

- random starts: every fourth text begins with a piece of the reference. Without them Reverse stays at 0.94 with seed 0
  and has 1.00 with the seeds 1 to 3: where letters are still wrong, EOS is never better than one of them, and it is
  given up everywhere before the 17th place is reached, where it is right. An entropy weight of 0.1 instead has 1.00
  with seed 0 and 0.94 with seed 1; an epsilon of 0.1 does not help: the ratio of PPO is small where the policy is.
- gamma 0: "delta" pays each letter at once, and later letters do not depend on it. At gamma 1 Copy had 0.34 after
  200,000 tokens and 0.58 at the end: the error of the values was twice what a letter is paid.
- or gamma 1 with values that are learnt harder: ``--gamma 1 --lam 0 --epochs 4 --value-weight 2``, no random starts, in
  300,000 tokens: Copy has 0.59 after 100,000, 0.92 after 200,000, 0.997 at the end; Reverse, in 400,000, 0.996 with
  seed 1 and 0.81 with seed 2. On Copy, two epochs and a value weight of 0.05 had 0.41 after 150,000, where the former
  had 0.78.
- the entropy bonus: with less of it (gamma 1, rotary) the policy is soon sure of something wrong: at 0.01 it stayed at
  0.22 from 220,000 tokens on; at 0.003, lam 0.95, it had 0.09 after 100,000, with 1.2 of 3.3 nats of entropy left.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.cli import Json, Spec
from agents.runs import as_json, reward_of
from agents.transformer.advantages import ESTIMATORS
from agents.transformer.losses import AGGREGATIONS
from agents.transformer.model import POSITIONS
from agents.transformer.networks import check_network
from agents.transformer.policy import PRECISIONS
from agents.transformer.pretrain import OBJECTIVES
from agents.transformer.redistribution import REDISTRIBUTIONS
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
    "reinforce": {"estimator": "monte_carlo", "lam": 1.0, "clip": None, "epochs": 1, "normalise": False},
    "rloo": {"estimator": "leave_one_out", "lam": 1.0, "clip": 0.2, "epochs": 1, "normalise": False},
    "grpo": {"estimator": "group_relative", "lam": 1.0, "clip": 0.2, "epochs": 1, "normalise": False},
}


@dataclass
class TrainArgs:
    """Train a Transformer on a textgym id: warm start (--pretrain), then write, be paid at every token, update, and
    evaluate on the way. Flags that are not given are the algorithm's own."""

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
    """Texts written at once, by all processes together."""
    rollout: int | None = None
    """Tokens of each row between updates; by default the environment's budget."""
    group_size: int = 8
    """rloo, grpo: texts of one prompt."""
    seed: int = 0
    """Seed of the network, the episodes and the sampling."""

    network: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER|MODULE:CLASS")] = "decoder"
    """decoder, lstm, encoder, encoder_decoder, a folder of transformers, or your own: package.module:Class."""
    layers: int | None = None
    """Layers of the network, 2 by default."""
    width: int | None = None
    """Its width, 128 by default."""
    heads: int | None = None
    """Attention heads a layer, 4 by default."""
    positions: Literal["rotary", "learned"] | None = None
    """How positions are told, rotary by default."""
    dropout: float | None = None
    """Probability, 0 by default, in updates; in rollouts with --rollout-dropout."""

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
    microbatch: int | None = None
    """Tokens read at a time, prompts among them, gradients added up over the minibatch: the same in less memory."""

    gamma: float = 1.0
    """Discount; below 1 a dense reward and a terminal one are different objectives."""
    estimator: Literal["gae", "n_step", "monte_carlo"] | None = None
    """Where the advantages of ppo, a2c, reinforce come from; rloo and grpo have their own."""
    lam: float | None = None
    """Lambda of gae: 1 is Monte Carlo, 0 one step."""
    n_step: int = 5
    """n_step: rewards before the value stands for the rest."""
    redistribute: Literal["uniform", "attention", "reward_attention", "shuffled_time", "shuffled_texts"] | None = None
    """Pay a text's tokens anew: equally, as the policy or the reward model (ABC) looks at them; or shuffled."""
    redistribute_share: float = 1.0
    """How much of it is given anew; the rest stays where it was paid."""
    clip: float | None = None
    """Clip range of the probability ratio (ppo, rloo, grpo)."""
    value_weight: float = 0.5
    """Weight of the value loss."""
    value_clip: float | None = None
    """Values move at most this far from the old ones in the value loss; by default as far as they like."""
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
    epsilon: float = 0.0
    """Probability with which a token is drawn from all that can be, equally likely (epsilon-greedy)."""
    bonus_weight: float = 0.0
    """Upper-confidence bonus: a token is paid weight / sqrt(times it was written after the same context)."""
    bonus_context: int | None = None
    """Tokens that are its context; by default all of the prompt and the text."""
    rollout_dropout: bool = False
    """Dropout in rollouts, too: each token is drawn by another noised network, and ratios begin away from 1."""
    random_starts: float = 0.0
    """Share of texts that begin with some tokens of a reference, which are not learnt from."""
    mixer: int | None = None
    """MIXER: texts begin with tokens of a reference, learnt by cross-entropy; in each stage so many fewer, to none."""
    kl_weight: float = 0.0
    """Weight of the KL to the policy at the start of reinforcement learning."""
    kl_in: Literal["loss", "reward"] = "loss"
    """A term of the loss, or of what each token is paid."""
    measure_kl: bool = False
    """Measure it, whatever its weight: start_kl of the evaluations, in nats a text."""
    kl_target: float | None = None
    """Nats a text to which the weight of the KL adapts; by default it is fixed."""
    kl_horizon: float = 10_000.0
    """Texts in which that changes by at most 20 %."""
    init: Path | None = None
    """A checkpoint, of the same network and vocabulary, whose policy to start from."""
    pretrain: int = 0
    """Updates of maximum likelihood on the train split's references first."""
    pretrain_objective: Literal["causal", "masked"] = "causal"
    """causal: the likelihood of the references; masked: of tokens of prompts and references, with noise in the rest."""
    mask_probability: float = 0.15
    """masked: share of the tokens that are replaced and asked for."""
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
    eval_first: int = 0
    """Index of the first of them: episodes that others are not judged by."""
    folder: Path | None = None
    """Where everything goes; by default runs/<env>-transformer-<algo>-<reward>-s<seed>."""
    resume: bool = False
    """Go on where the folder's last evaluation was, if it has one."""
    overwrite: bool = False
    """Start anew in a folder that has a run already."""
    device: str = "auto"
    """Where the network lives: auto, cpu, cuda."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of matrix products and of the cache; parameters and log-probabilities are float32."""
    compile: bool = False
    """Compile the step that writes a token: CUDA graphs on a GPU; the first rollouts wait for it."""
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
        return ALGORITHMS[self.algo]["estimator"] not in ESTIMATORS

    @property
    def whole_texts(self) -> int | None:
        """The ``group_size`` of the environment where texts are learnt from as a whole; None: as they are written."""
        if self.grouped:
            return self.group_size
        return None if self.redistribute is None else 1

    @property
    def sampling(self) -> Sampling:
        """How texts are drawn that are evaluated."""
        return Sampling(self.temperature, self.top_k, self.top_p)

    @property
    def behaviour(self) -> Sampling:
        """How texts are drawn that are learnt from."""
        return dataclasses.replace(self.sampling, epsilon=self.epsilon)

    @property
    def objective(self) -> Objective:
        return Objective(
            clip=self.of_algorithm("clip"),
            value_weight=0.0 if self.grouped else self.value_weight,
            entropy_weight=self.entropy_weight,
            value_clip=self.value_clip,
            kl_weight=self.kl_weight if self.kl_in == "loss" else 0.0,
            aggregation=self.aggregation,
            normalise=bool(ALGORITHMS[self.algo]["normalise"]),
        )


# may change when a run is resumed; all else makes it that run
FREE = ("steps", "eval_every", "eval_at", "folder", "resume", "overwrite", "device", "threads", "compile", "progress")
IDENTITY = (*(f.name for f in dataclasses.fields(TrainArgs) if f.name not in FREE), "fingerprint", "processes")


def resolve(args: TrainArgs) -> dict[str, Any]:
    """Every setting, those of the algorithm filled in, as JSON values.

    Raises:
        ValueError, TypeError: as :func:`~agents.transformer.train.train`, where it needs no environment to know.
    """
    id = full_id(args.env)
    for name, allowed in (
        ("algo", ALGORITHMS),
        ("positions", (None, *POSITIONS)),
        ("decay", DECAYS),
        ("precision", PRECISIONS),
        ("aggregation", AGGREGATIONS),
        ("estimator", (None, *ESTIMATORS)),
        ("redistribute", (None, *REDISTRIBUTIONS)),
        ("kl_in", ("loss", "reward")),
        ("pretrain_objective", OBJECTIVES),
    ):
        one_of(name, getattr(args, name), allowed)
    least = dict.fromkeys(("n_envs", "group_size", "layers", "width", "heads", "minibatch", "eval_every"), 1)
    least |= {"eval_episodes": 1, "threads": 1, "rollout": 1, "epochs": 1, "steps": 0, "warmup": 0, "pretrain": 0}
    least |= {"microbatch": 1, "n_step": 1, "bonus_context": 0, "mixer": 1, "critic_start": 0, "eval_first": 0}
    for name, low in least.items():
        if getattr(args, name) is not None:
            whole_number(name, getattr(args, name), low)
    for name in ("learning_rate", "pretrain_lr", "max_norm", "clip", "value_clip", "kl_target", "kl_horizon"):
        if getattr(args, name) is not None:
            number(name, getattr(args, name), above=0.0)
    for name in ("weight_decay", "value_weight", "entropy_weight", "kl_weight", "bonus_weight"):
        number(name, getattr(args, name), low=0.0)
    for name in ("gamma", "lam", "dropout", "mask_probability", "redistribute_share", "random_starts"):
        if getattr(args, name) is not None:
            number(name, getattr(args, name), low=0.0, high=1.0)
    check_network(args.network)
    _check_algorithm(args)
    settings = {f.name: getattr(args, f.name) for f in dataclasses.fields(args)}
    settings |= {name: args.of_algorithm(name) for name in ("epochs", "estimator", "lam", "clip")}
    settings |= {
        "env": id,
        "reward": reward_of(id, args.reward, args.gamma),
        "env_kwargs": dict(args.env_kwargs or {}),
        **{name: None if getattr(args, name) is None else str(getattr(args, name)) for name in ("folder", "init")},
    }
    return as_json(settings)


def _check_algorithm(args: TrainArgs) -> None:
    """Raise where flags do not go with the algorithm, or with each other."""
    args.behaviour  # noqa: B018 - raises
    estimator = args.of_algorithm("estimator")
    if args.clip is not None and ALGORITHMS[args.algo]["clip"] is None:
        raise ValueError(f"clip={args.clip}: {args.algo} uses every token once and has no ratio to clip; ppo has")
    if args.grouped:
        for name in ("lam", "estimator", "redistribute", "value_clip"):
            if (given := getattr(args, name)) is not None:
                why = (
                    "compares whole texts of a prompt, by the sums of their rewards; ppo and a2c have values of tokens"
                )
                raise ValueError(f"{name}={given}: {args.algo} {why}")
        if args.critic_start:
            raise ValueError(f"critic_start={args.critic_start}: {args.algo} has no values; ppo and a2c have")
        if args.gamma != 1.0:
            raise ValueError(
                f"gamma={args.gamma}: {args.algo} compares the undiscounted returns of whole texts: gamma=1"
            )
        if args.n_envs % args.group_size:
            raise ValueError(f"group_size={args.group_size} must divide n_envs={args.n_envs}")
    if args.lam is not None and estimator != "gae":
        raise ValueError(f"lam={args.lam}: the estimator {estimator} has no lambda; gae has")
    if args.kl_target is not None and not args.kl_weight:
        raise ValueError(f"kl_target={args.kl_target}: kl_weight=0 would stay 0; give the weight to begin with")
    if args.mixer is not None and args.random_starts:
        raise ValueError(f"mixer={args.mixer}, random_starts={args.random_starts}: texts can begin in one way only")
    if args.rollout_dropout and not args.dropout:
        raise ValueError("rollout_dropout: dropout=0 is none")
