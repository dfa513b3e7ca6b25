"""The training loop: write, estimate, update; all that a checkpoint needs to go on exactly."""

from __future__ import annotations

import copy
from typing import Any

import torch

from agents.transformer.advantages import gae, group_relative, leave_one_out
from agents.transformer.groups import Groups
from agents.transformer.policy import Policy
from agents.transformer.rollout import Rollout, Writer
from agents.transformer.schedules import learning_rate
from agents.transformer.settings import TrainArgs
from agents.transformer.update import Batch, as_batch, reference_log_probs, update


class Trainer:
    """One policy in one environment.

    Args:
        args: what and how.
        env: a vector env with ``autoreset_mode="SameStep"``, and ``group_size`` where the algorithm compares groups.
        policy: what learns.
        reference: what it is to stay near to, with ``args.kl_weight``; None: a copy of it as it is now.

    Attributes:
        tokens: written so far.
    """

    def __init__(self, args: TrainArgs, env, policy: Policy, reference: Policy | None = None):
        self.args, self.env, self.policy = args, env, policy
        self.rollout = args.rollout or env.budget
        self.updates = max(1, -(-args.steps // (self.rollout * env.num_envs)))
        self.draws = torch.Generator(policy.device).manual_seed(args.seed)
        self.orders = torch.Generator().manual_seed(args.seed)
        self.writer = Writer(env, policy, args.sampling, self.draws, seed=args.seed)
        self.optimizer = torch.optim.AdamW(
            policy.parameters(), args.learning_rate, eps=1e-5, weight_decay=args.weight_decay, fused=True
        )
        self.reference = None
        if args.kl_weight:
            self.reference = (reference or copy.deepcopy(policy)).eval().requires_grad_(False)
        self.groups = Groups(args.group_size, env.prompt_length) if args.grouped else None
        self.tokens = self.update = 0

    def step(self) -> dict[str, float]:
        """One rollout and the update from it; means of what was seen.

        Raises:
            FloatingPointError: see :func:`~agents.transformer.update.update`.
        """
        return self.learn(self.write())

    def write(self) -> Rollout:
        """One rollout."""
        self.policy.eval()
        with torch.no_grad():
            rollout = self.writer.collect(self.rollout)
        self.policy.train()
        self.tokens += rollout.actions.numel()
        return rollout

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """The update from a rollout; see :meth:`step`."""
        rate = learning_rate(self.args.learning_rate, self.update, self.updates, self.args.decay, self.args.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.update += 1
        seen = {"learning_rate": rate, **of_episodes(rollout)}
        batch = self._batch(rollout)
        if batch is not None:
            if self.reference is not None:
                batch = reference_log_probs(self.reference, batch, self.args.sampling, self.args.minibatch)
            seen |= update(
                self.policy,
                self.optimizer,
                batch,
                self.args.objective,
                self.args.sampling,
                epochs=int(self.args.of_algorithm("epochs")),
                minibatch=self.args.minibatch,
                generator=self.orders,
                max_norm=self.args.max_norm,
                longest=self.env.budget,
            )
        return seen

    def _batch(self, rollout: Rollout) -> Batch | None:
        """The tokens to learn from, with their advantages."""
        if self.groups is None:
            advantages = gae(
                rollout.rewards,
                rollout.values,
                rollout.ended,
                rollout.last_values,
                self.args.gamma,
                float(self.args.of_algorithm("lam")),
            )
            return as_batch(rollout, advantages, advantages + rollout.values, self.env.prompt_length)
        whole = self.groups.add(rollout)
        if whole is None:
            return None
        batch, returns, groups = whole
        estimate = leave_one_out if self.args.algo == "rloo" else group_relative
        return batch.with_advantages(estimate(returns, groups)[batch.parts])

    def state_dict(self) -> dict[str, Any]:
        """All that goes on from here exactly: policy, optimizer, generators, environment, half-written texts."""
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "reference": None if self.reference is None else self.reference.state_dict(),
            "draws": self.draws.get_state(),
            "orders": self.orders.get_state(),
            "torch": torch.get_rng_state(),
            "env": self.env.get_state(),
            "writer": self.writer.state_dict(),
            "groups": None if self.groups is None else self.groups.state_dict(),
            "tokens": self.tokens,
            "update": self.update,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.reference is not None:
            self.reference.load_state_dict(state["reference"])
        self.draws.set_state(state["draws"])
        self.orders.set_state(state["orders"])
        torch.set_rng_state(state["torch"])
        self.env.set_state(state["env"])
        self.writer.load_state_dict(state["writer"])
        if self.groups is not None:
            self.groups.load_state_dict(state["groups"], self.policy.device)
        self.tokens, self.update = state["tokens"], state["update"]


def of_episodes(rollout: Rollout) -> dict[str, float]:
    """Means over the texts that ended in a rollout; nothing where none did."""
    texts = rollout.finished
    if not texts:
        return {}
    seen = {f"text_{name}": sum(float(t[name]) for t in texts) / len(texts) for name in ("score", "return", "length")}
    for name in texts[0]["terms"]:
        seen[f"term_{name}"] = sum(t["terms"].get(name, 0.0) for t in texts) / len(texts)
    return seen
