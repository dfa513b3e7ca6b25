"""Metrics and rewards that are watched: of what type is what they return, and do they change what is not theirs?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from textgym.episode import Step
from textgym.metrics import BatchMetric, BatchProgress
from textgym.rewards import RewardFunction, RewardState
from textgym.testing.examples import close

OF_STEP = ("rows", "actions", "lengths", "finished", "ended", "illegal", "pieces", "provisional")


class Watcher:
    """What one running state has returned, and what is wrong with it."""

    def __init__(self, faults: list[str]):
        self.faults = faults
        self.given: list[tuple[str, np.ndarray, np.ndarray]] = []  # what, the array, a copy

    def returned(self, what: str, given: Any, step: Step, illegal_matters: bool = True) -> bool:
        """Take note of what was returned; whether it is of the right kind.

        ``illegal_matters``: it must be finite in rows whose token was illegal, too.
        """
        if step.scalar:
            if np.ndim(given) == 0 and np.isfinite(given):
                return True
            self.faults.append(
                f"it says takes_scalars, but {what} of a step of scalars is {given!r}: one finite number"
            )
            return False
        shape = step.rows.shape
        if not isinstance(given, np.ndarray) or given.shape != shape or given.dtype != np.float64:
            kind = (
                f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else f"{type(given).__name__} {given!r}"
            )
            self.faults.append(f"{what} is {kind} instead of an array of float64 with shape {shape}, one for each row")
            return False
        if not np.isfinite(given if illegal_matters or step.illegal is None else given[~step.illegal]).all():
            self.faults.append(f"{what} is {given.tolist()}: finite numbers are needed, always")
            return False
        self.given = [*self.given[-30:], (what, given, given.copy())]
        return True

    def look(self) -> None:
        """Whether anything that was returned has been changed since."""
        for what, array, was in self.given:
            if not (array == was).all():
                self.faults.append(
                    f"an earlier result is changed by a later call: {what} was {was.tolist()}, now it is "
                    f"{array.tolist()}. Return fresh arrays, not one that is used again"
                )
                return


def snapshot(step: Step) -> dict[str, Any]:
    return {name: copy.copy(getattr(step, name)) for name in OF_STEP}


def changed(step: Step, before: dict[str, Any]) -> str | None:
    for name, was in before.items():
        if not np.array_equal(now := getattr(step, name), was):
            return f"it changes step.{name}, which is the environment's, from {was!r} to {now!r}: copy what you change"
    return None


class WatchedReward(RewardFunction):
    """A reward, and the faults that its states have shown so far."""

    def __init__(self, reward: RewardFunction):
        self.reward = reward
        self.faults: list[str] = []
        self.name, self.needs_text, self.couples_rows = reward.name, reward.needs_text, reward.couples_rows

    def start(self, n, rngs, metrics):
        return _WatchedState(self.reward.start(n, rngs, metrics), Watcher(self.faults))


class _WatchedState(RewardState):
    not_saved = frozenset({"watcher", "takes_scalars"})

    def __init__(self, inner: RewardState, watcher: Watcher):
        self.inner = inner
        self.watcher = watcher
        self.takes_scalars = inner.takes_scalars

    @property
    def terms(self):
        return self.inner.terms

    def reset(self, rows: np.ndarray, episodes: Sequence[Any]) -> None:
        self.inner.reset(rows, episodes)
        self.watcher.look()

    def step(self, step):
        before = snapshot(step)
        paid = self.inner.step(step)
        if fault := changed(step, before):
            self.watcher.faults.append(fault)
        self.watcher.look()
        terms = self.inner.terms
        right = [self.watcher.returned("what it pays", paid, step)]
        right += [self.watcher.returned(f"its term {name!r}", term, step) for name, term in terms.items()]
        if all(right):
            total = sum(terms.values()) + np.zeros(np.shape(paid))
            for row, (a, b) in enumerate(zip(np.atleast_1d(paid), np.atleast_1d(total), strict=True)):
                if not close(a, b):
                    each = {name: float(np.atleast_1d(term)[row]) for name, term in terms.items()}
                    self.watcher.faults.append(f"its terms {each} do not sum to what it pays, {float(a)!r}")
        return paid


class WatchedMetric(BatchMetric):
    """A metric, and the faults that following it has shown so far."""

    def __init__(self, metric: BatchMetric):
        self.metric = metric
        self.faults: list[str] = []
        self.name, self.needs_text = metric.name, metric.needs_text
        self.worst, self.only_at_end = metric.worst, metric.only_at_end

    def start_rows(self, n, vocabulary):
        return _WatchedProgress(self.metric.start_rows(n, vocabulary), Watcher(self.faults))

    def score_rows(self, step):
        return self.metric.score_rows(step)


class _WatchedProgress(BatchProgress):
    not_saved = frozenset({"watcher", "takes_scalars"})

    def __init__(self, inner: BatchProgress, watcher: Watcher):
        self.inner = inner
        self.watcher = watcher
        self.takes_scalars = inner.takes_scalars

    def reset(self, rows, episodes):
        self.inner.reset(rows, episodes)
        self.watcher.look()

    def value(self, step):
        before = snapshot(step)
        value = self.inner.value(step)
        if fault := changed(step, before):
            self.watcher.faults.append(fault)
        self.watcher.look()
        self.watcher.returned("its value", value, step, illegal_matters=False)
        return value
