"""The metrics along the rows of one environment: each is followed once, however many rewards pay it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgym.arrays import MANY
from textgym.episode import Episode, Step
from textgym.errors import RewardError
from textgym.metrics.base import BatchMetric
from textgym.running import RunningState
from textgym.tokenizers import Vocabulary


class Followed(RunningState):
    """One metric along n rows: its value now, and before the last step (0 at the start of a text)."""

    not_saved = frozenset({"metric", "step", "before"})

    def __init__(self, metric: BatchMetric, n: int, vocabulary: Vocabulary | None):
        self.metric = metric
        self.progress = metric.start_rows(n, vocabulary)
        self.values = np.zeros(n)
        self.step: Step | None = None
        self.before: np.ndarray | None = None

    def reset(self, rows: np.ndarray, episodes: Sequence[Episode]) -> None:
        self.progress.reset(rows, episodes)
        self.values = self.values.copy()  # it may be what the last step returned
        each = rows.tolist()
        for at in each if len(each) < MANY else (rows,):
            self.values[at] = 0.0
        self.step = None

    def move(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """The metric of each row of ``step`` after it and before it, float64 (k,), to be read only.

        An illegal token makes it what ``after_illegal`` says. All who pay the metric get the same answer, which is
        computed once.

        Raises:
            RewardError: the metric gave another number of values than rows.
        """
        if step is self.step:
            return step.take(self.values), self.before
        value, before = self.progress.value(step), step.take(self.values)
        if not step.scalar:
            value = np.array(value, np.float64)  # the metric may use its array again
            if value.shape != step.rows.shape:
                raise RewardError(f"metric {self.metric.name!r} gave shape {value.shape} for {len(step.rows)} rows")
            if step.illegal is not None:
                value = np.where(step.illegal, self.metric.after_illegal(value), value)
        self.step, self.before = step, before
        self.values = step.put(self.values, value)
        return value, before


class RunningMetrics(RunningState):
    """What the rewards of one environment follow.

    Args:
        n: number of rows.
        vocabulary: the environment's, None where there is none (then metrics of token ids cannot be followed).
    """

    not_saved = frozenset({"vocabulary"})

    def __init__(self, n: int, vocabulary: Vocabulary | None = None):
        self.n = n
        self.vocabulary = vocabulary
        self.followed: list[Followed] = []

    def follow(self, metric: BatchMetric) -> Followed:
        """The values of ``metric`` along the rows; for rewards to ask for when they start."""
        for followed in self.followed:
            if followed.metric is metric:
                return followed
        self.followed.append(Followed(metric, self.n, self.vocabulary))
        return self.followed[-1]

    @property
    def needs_text(self) -> bool:
        return any(followed.metric.needs_text for followed in self.followed)

    @property
    def takes_scalars(self) -> bool:
        return all(followed.progress.takes_scalars for followed in self.followed)

    def reset(self, rows: np.ndarray, episodes: Sequence[Episode]) -> None:
        """Begin new texts in ``rows``."""
        for followed in self.followed:
            followed.reset(rows, episodes)
