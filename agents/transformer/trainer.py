"""The training loop: write, estimate, update; all that a checkpoint needs to go on exactly."""

from __future__ import annotations

import copy
from typing import Any

import torch

from agents.transformer.advantages import gae, group_relative, leave_one_out
from agents.transformer.distributed import ALONE, World
from agents.transformer.groups import Groups, no_texts
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
            In a ``world`` of several ranks, of this rank's rows.
        policy: what learns.
        reference: what it is to stay near to, with ``args.kl_weight``; None: a copy of it as it is now.
        world: who learns it together.

    Attributes:
        tokens: written so far, by all ranks.
    """

    def __init__(self, args: TrainArgs, env, policy: Policy, reference: Policy | None = None, world: World = ALONE):
        self.args, self.env, self.policy, self.world = args, env, policy, world
        self.rollout = args.rollout or env.budget
        self.updates = max(1, -(-args.steps // (self.rollout * env.num_envs * world.size)))
        self.draws = torch.Generator(policy.device).manual_seed(args.seed)
        self.orders = torch.Generator().manual_seed(args.seed)
        seed = args.seed + world.rank * (env.num_envs // (env.group_size or 1))
        self.writer = Writer(env, policy, args.sampling, self.draws, seed, world)
        self.optimizer = torch.optim.AdamW(
            policy.parameters(), args.learning_rate, eps=1e-5, weight_decay=args.weight_decay
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
        self.tokens += rollout.actions.numel() * self.world.size
        return rollout

    def learn(self, rollout: Rollout) -> dict[str, float]:
        """The update from a rollout; see :meth:`step`."""
        rate = learning_rate(self.args.learning_rate, self.update, self.updates, self.args.decay, self.args.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.update += 1
        seen = {"learning_rate": rate, **of_episodes(rollout, self.world)}
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
                world=self.world,
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
            batch = as_batch(rollout, advantages, advantages + rollout.values, self.env.prompt_length)
            return batch.ordered_by(rollout.rows)  # so that the parts of all ranks, one rank after the other, are too
        whole = self.groups.add(rollout)
        if not any(self.world.gather(whole is not None)):
            return None
        if whole is None:
            return no_texts(as_batch(rollout, rollout.values, rollout.values, self.env.prompt_length))
        batch, returns, groups = whole
        estimate = leave_one_out if self.args.algo == "rloo" else group_relative
        return batch.with_advantages(estimate(returns, groups)[batch.parts])

    def state_dict(self) -> dict[str, Any]:
        """All that goes on from here exactly: policy, optimizer, generators, environment, half-written texts."""
        of_rank = {
            "torch": torch.get_rng_state(),
            "env": self.env.get_state(),
            "writer": self.writer.state_dict(),
            "groups": None if self.groups is None else self.groups.state_dict(),
        }
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "reference": None if self.reference is None else self.reference.state_dict(),
            "draws": self.draws.get_state(),
            "orders": self.orders.get_state(),
            "tokens": self.tokens,
            "update": self.update,
            "ranks": self.world.gather(of_rank),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.reference is not None:
            self.reference.load_state_dict(state["reference"])
        self.draws.set_state(state["draws"])
        self.orders.set_state(state["orders"])
        own = state["ranks"][self.world.rank]
        torch.set_rng_state(own["torch"])
        self.env.set_state(own["env"])
        self.writer.load_state_dict(own["writer"])
        if self.groups is not None:
            self.groups.load_state_dict(own["groups"], self.policy.device)
        self.tokens, self.update = state["tokens"], state["update"]


def of_episodes(rollout: Rollout, world: World = ALONE) -> dict[str, float]:
    """Means over the texts of all ranks that ended in a rollout; nothing where none did."""
    texts = rollout.finished
    sums = {f"text_{name}": sum(float(t[name]) for t in texts) for name in ("score", "return", "length")}
    for name in texts[0]["terms"] if texts else ():
        sums[f"term_{name}"] = sum(t["terms"].get(name, 0.0) for t in texts)
    sums = world.add({**sums, "count": len(texts)})
    count = sums.pop("count")
    return {name: total / count for name, total in sums.items()} if count else {}
