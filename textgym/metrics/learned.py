"""A learned reward: what a model that was trained on people's judgements thinks of the text so far."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from textgym.arrays import put_ragged
from textgym.episode import Episode, Step
from textgym.errors import load_object
from textgym.metrics.base import BatchMetric, BatchProgress
from textgym.tokenizers import Vocabulary

LOADER = "agents.reward_model:load_scorer"  # of the checkout, which this library knows by name only


class Scorer(Protocol):
    """A model of M members that scores texts; what a ``loader`` returns. Arrays are NumPy's.

    Attributes:
        members: M.
        prompt_length: columns of the prompts that it reads.
    """

    members: int
    prompt_length: int

    def check(self, vocabulary: Vocabulary, prompt_length: int, budget: int) -> None:
        """Raise ``ValueError`` where it cannot score such texts."""

    def scores(self, windows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """float64 (k, M) of the first ``lengths`` int64 (k,) tokens of the texts in ``windows``, int64 (k,
        prompt_length + w): prompts padded on the left, then texts. About 0, with deviations of about 1."""

    def attention(self, windows: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """How much the scores look at each column of these windows, float64 (k, prompt_length + w), at least 0. Only
        redistribution by attention asks for it."""

    def rows(self, n: int) -> Any:
        """n texts to be followed: ``begin(rows, windows, lengths)`` and ``append(rows, tokens, lengths)`` return
        :meth:`scores` of these rows; a row that ``append`` does not name is begun anew before it is named again."""


class Learned(BatchMetric):
    """The score of a reward model (``python -m agents.reward_model.train``), in [0, 1].

    It is sigmoid(mean - penalty * standard deviation) of the scores of the model's members.

    A member's scores are standardised: those of the texts that it was trained on have mean 0 and deviation 1, so that
    most of them are worth 0.27 to 0.73. EOS counts as a token of the text. References do not matter. The networks
    keep what they have read, so that a token costs the reading of one token, all rows in one batch, where the network
    can go on from a cache. In float32 this changes values by up to about 1e-6.

    What is learned is right about texts like those that were judged. A policy that is paid it finds others (Gao et
    al. 2023): keep it near to where it began (``--kl-weight``), or take off what the members disagree about, a lower
    confidence bound (Coste et al. 2024).

    Args:
        model: the file.
        penalty: standard deviations over the members that are taken off the mean, at least 0.
        device: "cpu", "cuda", "cuda:1", ..., or "auto": a GPU where there is one.
        loader: ``"package.module:function"``: what makes a :class:`Scorer` of file and device.

    Raises:
        FileNotFoundError, ValueError: as the loader raises; the loader cannot be imported; a penalty of one member.
            When an environment is made: the model is of another vocabulary, or of shorter prompts or texts.
    """

    name = "learned"

    def __init__(self, model: str | os.PathLike, penalty: float = 0.0, device: str = "cpu", loader: str = LOADER):
        path = os.fspath(model)
        self.arguments = (path, penalty, device, loader)
        if not (math.isfinite(penalty) and penalty >= 0):
            raise ValueError(f"penalty must be at least 0, got {penalty}")
        try:
            load = load_object(loader)
        except ValueError as error:
            raise ValueError(f"a reward model is loaded by {error}; run in the checkout, or give a loader") from error
        self.scorer: Scorer = load(path, device)
        if penalty and self.scorer.members < 2:
            raise ValueError(f"penalty={penalty}: {path!r} has one member, which cannot disagree; penalty=0")
        self.penalty = penalty
        self._checked: Vocabulary | None = None

    def __reduce__(self):
        return type(self), self.arguments

    def resolve(self, task):
        self.scorer.check(task.vocabulary, task.prompt_length, task.budget)
        self._checked = task.vocabulary
        return self

    def start_rows(self, n, vocabulary):
        return _Followed(self, n)

    def score_rows(self, step):
        lengths = np.atleast_1d(step.lengths)
        return self.combined(self.scorer.scores(self.windows(step, np.arange(len(lengths))), lengths))

    def combined(self, scores: np.ndarray) -> np.ndarray:
        """The metric, float64 (k,), of the members' scores (k, M)."""
        value = scores.mean(1)
        if self.penalty:
            value = value - self.penalty * scores.std(1)
        return 0.5 * (1 + np.tanh(0.5 * value))  # the logistic, without overflow

    def windows(self, step: Step, at: np.ndarray) -> np.ndarray:
        """Prompts and texts of the rows ``at`` of a step as the model reads them, int64 (k, prompt_length + w)."""
        vocabulary, begin = step.vocabulary, self.scorer.prompt_length
        if vocabulary is not self._checked:
            self.scorer.check(vocabulary, 0, step.budget)
            self._checked = vocabulary
        lengths = np.atleast_1d(step.lengths)[at]
        episodes: Sequence[Episode] = step.episodes
        ids, sizes = vocabulary.encode_flat([episodes[i].prompt for i in at.tolist()])
        if max(sizes) > begin:
            raise ValueError(
                f"the reward model {self.arguments[0]!r} reads prompts of {begin} tokens, got {max(sizes)}"
            )
        windows = np.empty((len(at), begin + int(lengths.max())), np.int64)
        put_ragged(windows, range(len(at)), ids, sizes, fill=vocabulary.pad, end=begin)
        texts = step.tokens[at, : lengths.max()]
        windows[:, begin:] = np.where(np.arange(texts.shape[1]) < lengths[:, None], texts, vocabulary.pad)
        return windows


class _Followed(BatchProgress):
    """The scores token by token. What the networks keep is made again from the tokens when needed."""

    not_saved = frozenset({"metric", "followed"})

    def __init__(self, metric: Learned, n: int):
        self.metric = metric
        self.followed = metric.scorer.rows(n)
        self.lengths = np.full(n, -1)  # of the texts that were read in the last step; -1: not in it

    def __reduce__(self):
        return type(self), (self.metric, len(self.lengths))  # all is read again

    def __deepcopy__(self, memo):
        return type(self)(self.metric, len(self.lengths))

    def reset(self, rows, episodes):
        self.lengths[rows] = -1

    def value(self, step):
        at = np.arange(len(step.rows)) if step.illegal is None else np.flatnonzero(~step.illegal)
        values, before = np.zeros(len(step.rows)), self.lengths.copy()
        self.lengths[:] = -1
        begins, goes_on = step.lengths[at] == 1, before[step.rows[at]] == step.lengths[at] - 1
        if len(first := at[begins & ~goes_on]):  # its prompt is read here, its token with those of the others
            prompts = self.metric.windows(step, first)[:, : self.metric.scorer.prompt_length]
            self.followed.begin(step.rows[first], prompts, np.zeros(len(first), np.int64))
        goes_on |= begins
        if len(old := at[goes_on]):
            read = self.followed.append(step.rows[old], step.actions[old], step.lengths[old])
            values[old] = self.metric.combined(read)
        if len(new := at[~goes_on]):
            read = self.followed.begin(step.rows[new], self.metric.windows(step, new), step.lengths[new])
            values[new] = self.metric.combined(read)
        self.lengths[step.rows[at]] = step.lengths[at]
        return values

    def set_state(self, saved):
        self.lengths[:] = -1
