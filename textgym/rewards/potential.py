"""Potential-based shaping: a metric leads the way, and what is optimal stays optimal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgym.metrics import BatchMetric
from textgym.rewards.base import discount, part_of
from textgym.rewards.schedules import Schedule


class Potential(Schedule):
    """Shaping: pays base + gamma * Phi(s') - Phi(s), where the potential Phi of an unfinished text is a metric.

    The optimal policies are those of ``base``, at any discount, whatever the metric (Ng, Harada & Russell 1999), if
    ``gamma`` is the agent's. For this Phi is 0 once the episode has ended (Grzes 2017), by EOS, the budget
    or an illegal token: what the metric has paid is taken back, and the end is worth what ``base`` pays. Phi is 0
    before the first token, too, so that at discount 1 the shaping of an episode sums to 0.

    It helps agents that bootstrap (a critic with lambda < 1, Q-learning); one that uses the return of whole
    episodes sees a baseline at most. At discount 1 ``Potential(m, base=Terminal(m))`` is ``Delta(m)``.

    The terms are those of ``base`` and the shaping, ``potential:<metric>``. For a potential that falls as the metric
    rises, or a weaker one, subtract or scale the shaping alone: ``Terminal() - 0.5 * Potential("cer", base=None)``.

    Args:
        metric: the potential, as of :class:`~textgym.rewards.schedules.MetricReward`; None: the task's own score.
        gamma: the agent's discount factor, in (0, 1]. With another one the objective changes.
        base: what is to be optimised: any reward spec; None: nothing, the shaping alone. By default the task's own
            score, at the end.

    Raises:
        ValueError: ``gamma`` is no number in (0, 1], or the metric cannot be followed token by token.
    """

    schedule = "potential"
    elementwise = True

    def __init__(self, metric=None, gamma: float = 1.0, base="terminal"):
        super().__init__(metric)
        self.gamma = discount(gamma)
        self.base = None if base is None else part_of(base)

    @property
    def needs_text(self) -> bool:
        return self.base is not None and self.base.needs_text

    @property
    def couples_rows(self) -> bool:
        return self.base is not None and self.base.couples_rows

    @property
    def needs_references(self) -> bool:
        return super().needs_references or (self.base is not None and self.base.needs_references)

    @property
    def metrics(self) -> Sequence[BatchMetric]:
        return (*super().metrics, *(() if self.base is None else self.base.metrics))

    def resolve(self, task):
        resolved = super().resolve(task)
        return resolved if self.base is None else resolved.replaced(base=self.base.resolve(task))

    def start(self, n, rngs, metrics):
        if self.base is None:
            return super().start(n, rngs, metrics)
        return (self.base + self.replaced(base=None)).start(n, rngs, metrics)

    def pay(self, value, before, step):
        return np.where(step.ended, 0.0, self.gamma * value) - before
