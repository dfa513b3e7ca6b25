"""The settings of a run of the Transformer trainer: one flag a field, and what each algorithm is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from agents.cli import Json, Spec
from agents.transformer.sampling import Sampling
from agents.transformer.update import Objective

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
    """The environment's id."""
    algo: Literal["ppo", "a2c", "reinforce", "rloo", "grpo"] = "ppo"
    """ppo, a2c, reinforce (Monte Carlo with a value baseline), rloo, grpo (groups of texts of one prompt)."""
    reward: Spec | None = None
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
    pretrain: int = 0
    """Updates of maximum likelihood on the train split's references first."""

    eval_every: int = 20_000
    """Tokens between evaluations of the true score; each one saves a checkpoint."""
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
