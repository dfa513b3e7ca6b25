"""The training loop: write, estimate, update; all that a checkpoint needs to go on exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from agents.transformer.advantages import estimate, group_relative, leave_one_out, on_grid
from agents.transformer.batch import Batch, as_batch, places
from agents.transformer.distributed import ALONE, World
from agents.transformer.groups import Groups, no_texts
from agents.transformer.own_terms import OwnTerms
from agents.transformer.policy import Policy
from agents.transformer.prefixes import Mixer, RandomStarts
from agents.transformer.redistribution import Redistribution, sums
from agents.transformer.rollout import Rollout, Writer
from agents.transformer.schedules import learning_rate
from agents.transformer.settings import TrainArgs
from agents.transformer.update import update


class Trainer:
    """One policy in one environment.

    Args:
        args: what and how.
        env: a vector env with ``autoreset_mode="SameStep"``, and ``group_size=args.whole_texts``. In a ``world`` of
            several ranks, of this rank's rows.
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
        self.writer = Writer(env, policy, args.behaviour, self.draws, seed, world)
        self.mixer = None if args.mixer is None else Mixer(env, policy.device, args.mixer, self.updates)
        if self.mixer is not None:
            self.writer.begin_with(self.mixer)
        elif args.random_starts:
            self.writer.begin_with(RandomStarts(env, policy.device, args.random_starts))
        self.optimizer = torch.optim.AdamW(
            policy.parameters(), args.learning_rate, eps=1e-5, weight_decay=args.weight_decay, fused=True
        )
        self.own_terms = OwnTerms(args, policy, reference, env.num_envs, world)
        self.groups = None if args.whole_texts is None else Groups(args.whole_texts)
        self.redistribution = None
        if args.redistribute is not None:
            self.redistribution = Redistribution(args.redistribute, args.redistribute_share, policy, env)
        self.tokens = self.update = 0

    def step(self) -> dict[str, float]:
        """One rollout and the update from it; means of what was seen.

        Raises:
            FloatingPointError: see :func:`~agents.transformer.update.update`.
        """
        return self.learn(self.write())

    def write(self) -> Rollout:
        """One rollout."""
        self.policy.train(self.args.rollout_dropout)
        if self.mixer is not None:
            self.mixer.update = self.update
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
        nothing = torch.zeros_like(rollout.values)
        batch, paid = self.own_terms.pay(rollout, as_batch(rollout, nothing, nothing, self.env.prompt_length))
        seen |= paid
        batch = self.estimated(rollout, batch, self.args)
        if self.mixer is None:
            batch = batch.drawn()
        if any(self.world.gather(len(batch.parts) > 0)):
            objective = self.args.objective
            if self.args.kl_in == "loss":
                objective = replace(objective, kl_weight=self.own_terms.kl.value)
            seen |= update(
                self.policy,
                self.optimizer,
                batch,
                objective,
                self.args.behaviour,
                epochs=int(self.args.of_algorithm("epochs")),
                minibatch=self.args.minibatch,
                generator=self.orders,
                max_norm=self.args.max_norm,
                longest=self.env.budget,
                microbatch=self.args.microbatch,
                world=self.world,
            )
        return seen

    def estimated(self, rollout: Rollout, batch: Batch, args: TrainArgs) -> Batch:
        """The tokens to learn from, with their advantages by the estimator of ``args``: the rollout's, or those of the
        whole texts that are there now."""
        if self.groups is None:
            _, _, at = places(rollout)
            rewards = rollout.rewards.index_put(at, batch.own_rewards, accumulate=True)
            advantages = _advantages(args, rewards, rollout.values, rollout.ended, rollout.last_values)
            batch = batch.with_advantages(advantages[at], (advantages + rollout.values)[at])
            return batch.ordered_by(rollout.rows)  # so that the parts of all ranks, one rank after the other, are too
        whole = self.groups.add(rollout, batch)
        if whole is None:
            return no_texts(batch)
        batch, groups = whole
        if args.grouped:
            returns = sums(batch.rewards + batch.own_rewards, batch.parts)
            compare = leave_one_out if args.algo == "rloo" else group_relative
            return batch.with_advantages(compare(returns, groups)[batch.parts])
        rewards = self.redistribution(batch, self.orders)
        paid, at = on_grid(rewards + batch.own_rewards, batch.parts)
        values, _ = on_grid(batch.values, batch.parts)
        ends, _ = on_grid(batch.parts.diff(append=batch.parts[-1:] + 1), batch.parts)
        advantages = _advantages(args, paid, values, ends > 0, torch.zeros_like(values[0]))
        return batch.with_advantages(advantages[at], (advantages + values)[at])

    def state_dict(self) -> dict[str, Any]:
        """All that goes on from here exactly: policy, optimizer, generators, environment, half-written texts."""
        of_rank = {
            "open_terms": dict(self.own_terms.open),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.policy.device) if self.policy.device.type == "cuda" else None,
            "env": self.env.get_state(),
            "writer": self.writer.state_dict(),
            "groups": None if self.groups is None else self.groups.state_dict(),
        }
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "own_terms": self.own_terms.state_dict(),
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
        self.own_terms.load_state_dict(state["own_terms"], state["ranks"][self.world.rank]["open_terms"])
        self.draws.set_state(state["draws"])
        self.orders.set_state(state["orders"])
        own = state["ranks"][self.world.rank]
        torch.set_rng_state(own["torch"])
        if self.policy.device.type == "cuda" and own["cuda"] is not None:
            torch.cuda.set_rng_state(own["cuda"], self.policy.device)
        self.env.set_state(own["env"])
        self.writer.load_state_dict(own["writer"])
        if self.groups is not None:
            self.groups.load_state_dict(own["groups"], self.policy.device)
        self.tokens, self.update = state["tokens"], state["update"]


def _advantages(args: TrainArgs, rewards: Tensor, values: Tensor, ended: Tensor, last_values: Tensor) -> Tensor:
    estimator, lam = str(args.of_algorithm("estimator")), float(args.of_algorithm("lam"))
    return estimate(estimator, rewards, values, ended, last_values, args.gamma, lam, args.n_step)


def of_episodes(rollout: Rollout, world: World = ALONE) -> dict[str, float]:
    """Means over the texts of all ranks that ended in a rollout; nothing where none did."""
    texts = rollout.finished
    sums = {f"text_{name}": sum(float(t[name]) for t in texts) for name in ("score", "return", "length")}
    for name in texts[0]["terms"] if texts else ():
        sums[f"term_{name}"] = sum(t["terms"].get(name, 0.0) for t in texts)
    sums = world.add({**sums, "count": len(texts)})
    count = sums.pop("count")
    return {name: total / count for name, total in sums.items()} if count else {}
