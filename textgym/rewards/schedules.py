"""Schedules: when the metric of a text is paid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np

from textgym.episode import Step
from textgym.metrics import BatchMetric, Followed
from textgym.rewards.base import RewardFunction, RewardState, metric_of, number


class MetricReward(RewardFunction):
    """A reward that pays one metric.

    An illegal end counts as the metric's ``worst`` value (0; for error rates 1), whatever was written before it.

    Args:
        metric: a metric object, its name, a plain function ``f(text, references)``, or None (or
            ``"score"``) for the task's own true score.
    """

    schedule: str = ""
    needs_text = False  # metrics that are followed say themselves what they need

    def __init__(self, metric=None):
        self._set_metric(None if metric in (None, "score") else metric_of(metric))

    @property
    def needs_references(self) -> bool:
        return self.metric is not None and self.metric.needs_references

    @property
    def metrics(self) -> Sequence[BatchMetric]:
        return () if self.metric is None else (self.metric,)

    def _set_metric(self, metric: BatchMetric | None) -> None:
        self.metric = metric
        self.name = f"{self.schedule}:{metric.name}" if metric else self.schedule

    def resolve(self, task):
        metric = (self.metric or task.score_metric).resolve(task)
        if metric is self.metric:
            return self
        resolved = self.replaced()
        resolved._set_metric(metric)
        return resolved

    def _known_metric(self) -> BatchMetric:
        if self.metric is None:
            raise ValueError(f"{self.name!r} pays the task's own score: use it in an environment, or name a metric")
        return self.metric


class Terminal(MetricReward):
    """Pays m(text) once, at the end of the episode: the sparse control. The sum is m(text).

    The metric is computed at the end only.
    """

    schedule = "terminal"

    def start(self, n, rngs, metrics):
        return _AtTheEnd(self.name, self._known_metric())


class _AtTheEnd(RewardState):
    takes_scalars = True
    not_saved = frozenset({"name", "metric"})

    def __init__(self, name: str, metric: BatchMetric):
        self.name = name
        self.metric = metric
        self.terms = {}

    def reset(self, rows, episodes):
        pass

    def step(self, step):
        last = step.ending
        paid = 0.0 if step.scalar else np.zeros(len(step.rows))
        if last is not None:
            values = self.metric.at_end(last)
            if step.scalar:
                paid = float(values[0])
            else:
                paid[step.ended] = values
        self.terms = {self.name: paid}
        return paid


class Constant(RewardFunction):
    """Pays one number at the end of every episode, whatever was written, an illegal token included: the control.

    It changes the objective to none: at discount 1 every policy is optimal. Not once a token, which would
    pay for length (Choshen et al. 2020 train with a constant in place of the metric).

    Args:
        value: what is paid.
    """

    name = "constant"
    needs_text = False

    def __init__(self, value: float = 1.0):
        self.value = number("value", value)

    def start(self, n, rngs, metrics):
        return _Constant(self)


class _Constant(RewardState):
    takes_scalars = True
    not_saved = frozenset({"recipe"})

    def __init__(self, recipe: Constant):
        self.recipe = recipe
        self.terms = {}

    def reset(self, rows, episodes):
        pass

    def step(self, step):
        paid = np.where(step.ended, self.recipe.value, 0.0)
        self.terms = {self.recipe.name: paid}
        return paid


class Schedule(MetricReward):
    """A schedule that follows its metric token by token. Subclasses say what is paid, in :meth:`pay`."""

    elementwise: bool = False  # whether ``pay`` is made of element-wise operations, and so works on scalars

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "pay" in vars(cls) and "elementwise" not in vars(cls):
            cls.elementwise = False  # what a parent's ``pay`` could do says nothing of this one

    def _set_metric(self, metric):
        super()._set_metric(metric)
        if metric and metric.only_at_end:
            raise ValueError(
                f"metric {metric.name!r} cannot be followed token by token: pay it at the end, 'terminal:{metric.name}'"
            )

    def start(self, n, rngs, metrics):
        return _AtEveryToken(self, metrics.follow(self._known_metric()))

    @abstractmethod
    def pay(self, value: np.ndarray, before: np.ndarray, step: Step) -> np.ndarray:
        """What is paid, float64 (k,), for the metric now and before the step (0 at the start)."""


class _AtEveryToken(RewardState):
    not_saved = frozenset({"recipe", "metric"})  # the metric is saved by those who follow it

    def __init__(self, recipe: Schedule, metric: Followed):
        self.recipe = recipe
        self.metric = metric
        self.takes_scalars = recipe.elementwise
        self.terms = {}

    def reset(self, rows, episodes):
        pass

    def step(self, step):
        paid = self.recipe.pay(*self.metric.move(step), step)
        self.terms = {self.recipe.name: paid}
        return paid


class Delta(Schedule):
    """Pays how much the metric has grown: m(y_1..t) - m(y_1..t-1) at every token, from 0, so that the sum is m(text).

    At discount 1 this has the same return, hence the same optimal policies, as :class:`Terminal`: it is
    Terminal plus potential-based shaping with potential m (Ng, Harada & Russell 1999). Below
    discount 1 it is another objective.
    """

    schedule = "delta"
    elementwise = True

    def pay(self, value, before, step):
        return value - before


class EveryStep(Schedule):
    """Pays m(y_1..t) at every token: partial credit that changes the objective.

    A text that is good early and goes on for long collects more than the right text: hackable, and
    kept to show it.
    """

    schedule = "every_step"
    elementwise = True

    def pay(self, value, before, step):
        return value + 0.0
