"""The metrics along the rows of one environment: each is followed once, however many rewards pay it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

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
        self.values[rows] = 0.0
        self.step = None

    def move(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """The metric of each row of ``step`` after it and before it, float64 (k,), to be read only.

        An illegal token makes it ``worst``. All who pay the metric get the same answer; it is computed once.

        Raises:
            RewardError: the metric gave another number of values than rows.
        """
        if step is self.step:
            return step.take(self.values), self.before
        value = self.progress.value(step)
        if not step.scalar:
            value = np.asarray(value, np.float64)
            if value.shape != step.rows.shape:
                raise RewardError(f"metric {self.metric.name!r} gave shape {value.shape} for {len(step.rows)} rows")
            if step.illegal is not None:
                value = np.where(step.illegal, self.metric.worst, value)
        self.step, self.before = step, step.take(self.values)
        self.values = step.put(self.values, value)
        return value, self.before


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


def replay(
    episodes: Sequence[Episode], tokens: np.ndarray, lengths: np.ndarray, vocabulary: Vocabulary, needs_text: bool
) -> Iterator[Step]:
    """The steps of an environment of k rows in which these texts are written; each row ends with its last token.

    Args:
        episodes: k episodes.
        tokens, lengths: int32 (k, width), and int64 (k,), how many of them count.
        vocabulary: what the tokens are of.
        needs_text: fill in ``pieces`` and ``provisional``.
    """
    written = np.full_like(tokens, vocabulary.pad)  # grows, so that nobody reads what is not written yet
    stream = vocabulary.stream(len(tokens)) if needs_text else None
    for t in range(tokens.shape[1]):
        rows = np.flatnonzero(lengths > t)
        written[rows, t] = tokens[rows, t]
        actions = tokens[rows, t].astype(np.int64)
        step = Step(rows, actions, episodes, written, vocabulary, whole=len(rows) == len(tokens))
        step.lengths = np.full(len(rows), t + 1)
        step.ended = lengths[rows] == t + 1
        if stream is not None:
            step.read(stream)
        yield step


def follow_again(metric: BatchMetric, step: Step) -> np.ndarray:
    """The value of ``metric``, float64 (k,), after all tokens of the rows of ``step``, followed from the first one."""
    k, episodes, lengths = len(step.rows), step.episodes, np.atleast_1d(step.lengths)
    progress, values = metric.start_rows(k, step.vocabulary), np.zeros(k)
    progress.reset(np.arange(k), episodes)
    tokens = step.tokens[:, : lengths.max(initial=0)]
    for part in replay(episodes, tokens, lengths, step.vocabulary, metric.needs_text):
        values[part.rows] = progress.value(part)
    return values
