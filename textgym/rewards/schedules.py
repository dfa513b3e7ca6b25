"""Schedules: when the metric of a text is paid."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from textgym.episode import Step
from textgym.metrics import BatchMetric, BatchProgress, make_metric
from textgym.rewards.base import RewardFunction, RewardState


class Schedule(RewardFunction):
    """A reward that pays one metric. Subclasses say when, in :meth:`pay`.

    An illegal end counts as the metric's ``worst`` value (0; for error rates 1), whatever was written before it.

    Args:
        metric: a metric object, its name, a plain function ``f(text, references)``, or None (or
            ``"score"``) for the task's own true score.
    """

    schedule: str = ""
    elementwise: bool = False  # whether ``pay`` is made of element-wise operations, and so works on scalars

    def __init__(self, metric=None):
        self.metric: BatchMetric | None = None if metric in (None, "score") else make_metric(metric)
        self.name = f"{self.schedule}:{self.metric.name}" if self.metric else self.schedule
        self.needs_text = self.metric.needs_text if self.metric else True

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "pay" in vars(cls) and "elementwise" not in vars(cls):
            cls.elementwise = False  # what a parent's ``pay`` could do says nothing of this one

    def resolve(self, task):
        if self.metric:
            return self
        resolved = object.__new__(type(self))  # a copy, with what a subclass has stored
        vars(resolved).update(vars(self))
        Schedule.__init__(resolved, task.score_metric)
        return resolved

    def start(self, n, rngs, vocabulary=None):
        if self.metric is None:
            raise ValueError(f"{self.name!r} pays the task's own score: use it in an environment, or name a metric")
        return _Running(self, self.metric.start_rows(n, vocabulary), n)

    @abstractmethod
    def pay(self, value: np.ndarray, before: np.ndarray, step: Step) -> np.ndarray:
        """What is paid, float64 (k,), for the metric now and before the step (0 at the start)."""


class _Running(RewardState):
    not_saved = frozenset({"recipe"})

    def __init__(self, recipe: Schedule, metric: BatchProgress, n: int):
        self.recipe = recipe
        self.metric = metric
        self.before = np.zeros(n)
        self.takes_scalars = recipe.elementwise and metric.takes_scalars
        self.terms = {}

    def reset(self, rows, episodes):
        self.metric.reset(rows, episodes)
        self.before = self.before.copy()  # it may be what the last step returned
        self.before[rows] = 0.0

    def step(self, step):
        value = self.metric.value(step)
        if step.illegal is not None:
            value = np.where(step.illegal, self.recipe.metric.worst, value)
        paid = self.recipe.pay(value, step.take(self.before), step)
        self.before = step.put(self.before, value)
        self.terms = {self.recipe.name: paid}
        return paid


class Terminal(Schedule):
    """Pays m(text) once, at the end of the episode: the sparse control. The sum is m(text)."""

    schedule = "terminal"
    elementwise = True

    def pay(self, value, before, step):
        return np.where(step.ended, value, 0.0)


class Delta(Schedule):
    """Pays m(y_1..t) - m(y_1..t-1) at every token, from 0, so that the sum is m(text).

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
