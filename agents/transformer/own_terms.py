"""What the trainer itself pays for every token, beside the environment: nearness to a reference policy, and novelty."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from agents.transformer.batch import Batch
from agents.transformer.distributed import ALONE, World
from agents.transformer.exploration import Counts
from agents.transformer.policy import Policy
from agents.transformer.rollout import Rollout
from agents.transformer.settings import TrainArgs
from agents.transformer.update import reference_log_probs


class KLCoefficient:
    """Beta, the weight of the KL penalty: fixed, or led towards a target by a proportional controller.

    Ziegler et al. 2019, section 2.2: beta grows by the relative error of the KL, cut to [-0.2, 0.2], by its share of
    ``horizon``. With the horizon of their code, 10,000 texts, beta changes by at most 20 % in so many texts.

    Args:
        value: beta at the beginning.
        target: the KL that is wanted, in nats a text (theirs: 6 to 10); None: beta is fixed.
        horizon: in texts.
    """

    def __init__(self, value: float, target: float | None = None, horizon: float = 10_000):
        self.value, self.target, self.horizon = value, target, horizon

    def observe(self, kl: float, texts: float) -> None:
        """``texts`` texts have had ``kl`` nats each, on average."""
        if self.target is not None:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.value *= 1 + error * texts / self.horizon


class OwnTerms:
    """Pays the tokens of rollouts, and keeps the books of it: a text may be written over several rollouts.

    The KL term of a token is -beta * (log pi(token) - log reference(token)), whose sum over a text is on average -beta
    times the KL of the two policies as distributions over texts (Ziegler et al. 2019; Stiennon et al. 2020). The bonus
    is weight / sqrt(N(context, token)), see :class:`~agents.transformer.exploration.Counts`. Tokens that are forced
    are paid neither.

    Args:
        args: ``kl_...``, ``measure_kl`` and ``bonus_...``; a KL in the loss is only measured here.
        policy: what writes.
        reference: what it is to stay near to; None: a copy of ``policy`` as it is now.
        rows: n, texts written at once by this rank.
        world: who learns together; means and counts are of all ranks.

    Attributes:
        open: name -> float (n,), what the tokens so far of the texts being written were paid; "log_ratio" beside it.
    """

    def __init__(self, args: TrainArgs, policy: Policy, reference: Policy | None, rows: int, world: World = ALONE):
        self.args, self.rows, self.world, self.device = args, rows, world, policy.device
        self.kl, self.reference = KLCoefficient(args.kl_weight, args.kl_target, args.kl_horizon), None
        if args.kl_weight or args.measure_kl:
            self.reference = (reference or copy.deepcopy(policy)).eval().requires_grad_(False)
        self.counts = Counts(args.bonus_context, self.device) if args.bonus_weight else None
        self.open: dict[str, Tensor] = {}

    def pay(self, rollout: Rollout, batch: Batch) -> tuple[Batch, dict[str, float]]:
        """The rollout's tokens ``batch`` with what they are paid here; means over the texts that have ended."""
        terms: dict[str, Tensor] = {}  # of each token (M,)
        sums = {"texts": float(len(rollout.finished))}
        beta = self.kl.value
        if self.reference is not None:
            batch = reference_log_probs(self.reference, batch, self.args.behaviour, self.args.minibatch)
            log_ratio = of_drawn(batch, batch.log_probs - batch.reference_log_probs)
            if self.args.kl_in == "reward" and self.args.kl_weight:
                terms["kl"] = -beta * log_ratio
            sums["text_kl"] = self._of_texts("log_ratio", log_ratio, rollout, batch)
        if self.counts is not None:
            terms["bonus"] = of_drawn(batch, self.args.bonus_weight * self.counts.visit(batch, self.world).rsqrt())
        sums |= {f"term_{name}": self._of_texts(name, term, rollout, batch) for name, term in terms.items()}
        batch = replace(batch, own_rewards=sum(terms.values(), torch.zeros_like(batch.rewards)))
        sums = self.world.add(sums)
        texts = sums.pop("texts")
        if not texts:
            return batch, {}
        seen = {name: total / texts for name, total in sums.items()}
        if self.reference is not None:
            seen["kl_weight"] = beta
            self.kl.observe(seen["text_kl"], texts)
        return batch, seen

    def _of_texts(self, name: str, term: Tensor, rollout: Rollout, batch: Batch) -> float:
        """The sum of a term (M,) over all tokens of the texts that ended."""
        sums = torch.zeros(len(rollout.rows), device=self.device, dtype=term.dtype).index_add_(0, batch.parts, term)
        before = self.open.get(name, torch.zeros(self.rows, device=self.device))
        sums = sums + torch.where(rollout.starts == 0, before[rollout.rows], 0.0)  # the first part of each row goes on
        ended = len(rollout.finished)  # these parts come first
        self.open[name] = torch.zeros_like(before).index_put((rollout.rows[ended:],), sums[ended:])
        return float(sums[:ended].sum())

    def state_dict(self) -> dict[str, Any]:
        """All that goes on from here, beside ``open``, which each rank has of its own."""
        return {
            "kl_weight": self.kl.value,
            "reference": None if self.reference is None else self.reference.state_dict(),
            "counts": None if self.counts is None else self.counts.cells.clone(),
        }

    def load_state_dict(self, state: dict[str, Any], open: dict[str, Tensor]) -> None:
        """Go on where :meth:`state_dict` was taken, and ``open``."""
        self.kl.value = state["kl_weight"]
        if self.reference is not None:
            self.reference.load_state_dict(state["reference"])
        if self.counts is not None:
            self.counts.cells = state["counts"].to(self.device)
        self.open = {name: sums.to(self.device) for name, sums in open.items()}


def of_drawn(batch: Batch, term: Tensor) -> Tensor:
    """A term (M,) of the tokens that were drawn, 0 of those that were forced."""
    return term if batch.forced is None else term.masked_fill(batch.forced, 0.0)
