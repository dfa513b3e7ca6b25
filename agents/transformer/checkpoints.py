"""Checkpoints of the Transformer trainer: files that are whole or not there, and that are safe to read."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agents.evaluation import evaluate, evaluation_env
from agents.files import read_saved, replacing
from agents.runs import Evaluations
from agents.transformer.agent import PolicyAgent
from agents.transformer.distributed import ALONE, World
from agents.transformer.networks import make_policy
from agents.transformer.policy import Policy
from agents.transformer.sampling import Sampling
from agents.transformer.trainer import Trainer
from textgym.errors import usable_device

FORMAT = "textgym-transformer-2"


class Checkpoints(Evaluations):
    """The evaluations of a run, and the policies that belong to them.

    At every evaluation, in this order: best.pt (if the true score is the best yet), last.pt, a line of evaluations.csv.
    best.pt has policy, settings and evaluations so far; last.pt also all that the trainer needs to go on exactly.

    Args:
        folder: the run's.
        config: its config.json.
        sampling: how sampled texts are drawn, as in training.
        world: of its ranks the first evaluates and saves, while the others wait.
    """

    def __init__(self, folder: Path, config: dict[str, Any], sampling: Sampling, world: World = ALONE):
        super().__init__(folder, config["seed"])
        self.world = world
        self.config, self.sampling = config, sampling
        self.visited = {"episodes": config["eval_episodes"], "first": config["eval_first"]}
        rows = min(config["eval_episodes"], 128)
        self.env = evaluation_env(config["env"], num_envs=rows, reward=config["reward"], **config["env_kwargs"])

    def evaluate(
        self, policy: Policy, event: str, trainer: Trainer | None = None, seen: Mapping[str, float] | None = None
    ) -> dict[str, Any]:
        """Evaluate and save; returns the line of evaluations.csv.

        Args:
            event: start, warm_start or train.
            trainer: None before there is one: then there is no last.pt, and the run begins anew when it is resumed.
            seen: of the last update.
        """
        state = None if trainer is None else trainer.state_dict()  # every rank gives its own
        row = self.world.once(lambda: self._evaluate(policy, event, state, seen))
        if self.world.rank:
            self.history.append(row)
        return row

    def _evaluate(
        self, policy: Policy, event: str, state: dict[str, Any] | None, seen: dict[str, float] | None
    ) -> dict[str, Any]:
        greedy, sampled = (
            evaluate(PolicyAgent(policy, self.env.prompt_length, sampling), self.env, **self.visited)
            for sampling in (None, self.sampling)
        )
        tokens = 0 if state is None else state["tokens"]
        of_update = ((seen or {}).get(name) for name in ("entropy", "kl_to_old", "text_kl"))
        better = self.record(event, tokens, greedy.summary(), sampled.mean_score, *of_update)
        saved = {"format": FORMAT, "config": self.config, "policy": policy.state_dict(), "history": self.history}
        if better:
            self._save("best.pt", saved)
        if state is not None:
            self._save("last.pt", {**saved, "trainer": _of_trainer(state)})
        self.append_line()
        return self.latest

    def _save(self, name: str, saved: dict[str, Any]) -> None:
        with replacing(self.folder / name) as file:
            torch.save(saved, file)

    def restore(self, trainer: Trainer) -> None:
        """Go on where last.pt was saved.

        Raises:
            ValueError: it has another network or vocabulary than this run.
        """
        saved = _read_same(self.folder / "last.pt", self.config)
        state = saved["trainer"]
        ranks = [{**each, "env": pickle.loads(each["env"].numpy().tobytes())} for each in state["ranks"]]
        trainer.load_state_dict({**state, "policy": saved["policy"], "ranks": ranks})
        if self.world.rank == 0:
            self.restore_history(saved["history"])
        self.history = saved["history"]


def _of_trainer(state: dict[str, Any]) -> dict[str, Any]:
    """The trainer's state without the policy, in what ``torch.load(weights_only=True)`` reads.

    The environment's has objects of metrics and rewards, a user's own among them: it is pickled apart, into bytes that
    only resuming looks into.
    """
    ranks = [{**each, "env": _bytes(pickle.dumps(each["env"]))} for each in state["ranks"]]
    return {**{name: value for name, value in state.items() if name != "policy"}, "ranks": ranks}


def _bytes(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """What is in a checkpoint, on the CPU: config, policy, history, and in last.pt trainer. No code in it is run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no checkpoint of this trainer.
    """
    return read_saved(path, FORMAT, "agents.transformer.train")


def load_into(policy: Policy, path: str | Path, config: dict[str, Any]) -> None:
    """Give ``policy``, the one of a run with this ``config``, the weights of a checkpoint.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint`; or the checkpoint has another network or vocabulary.
    """
    policy.load_state_dict(_read_same(path, config)["policy"])


def _read_same(path: str | Path, config: dict[str, Any]) -> dict[str, Any]:
    """:func:`read_checkpoint`, of the network and vocabulary of a run with this ``config``."""
    saved = read_checkpoint(path)
    for name in ("architecture", "vocabulary"):
        theirs, ours = saved["config"][name], config[name]
        if theirs != ours:
            if isinstance(ours, dict):
                different = sorted(n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n))
                theirs, ours = ({n: all[n] for n in different if n in all} for all in (theirs, ours))
            raise ValueError(f"{path} is of another {name}: it has {theirs}, this run {ours}")
    return saved


def load_policy(path: str | Path, device: str | torch.device = "cpu") -> tuple[Policy, dict[str, Any]]:
    """The policy of a checkpoint, and the settings of its run.

    Raises:
        FileNotFoundError, ValueError: as :func:`read_checkpoint`; no such device; a network of one's own that has other
            weights by now.
    """
    saved, device = read_checkpoint(path), usable_device(device)
    architecture = saved["config"]["architecture"]
    policy = make_policy(architecture)
    try:
        policy.load_state_dict(saved["policy"])
    except RuntimeError as error:
        raise ValueError(f"{path} has other weights than {architecture['kind']} has by now: {error}") from error
    return policy.to(device).eval(), saved["config"]


def load_agent(
    path: str | Path, deterministic: bool = True, device: str | torch.device = "cpu", seed: int = 0
) -> tuple[PolicyAgent, dict[str, Any]]:
    """See :func:`agents.evaluation.load_agent`."""
    policy, config = load_policy(path, device)
    sampling = None if deterministic else Sampling(*(config[name] for name in ("temperature", "top_k", "top_p")))
    return PolicyAgent(policy, config["prompt_length"], sampling, seed, config["vocabulary"]), config
