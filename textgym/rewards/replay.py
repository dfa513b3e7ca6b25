"""Texts that are already written, gone through token by token once more: what would each token have been paid?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from textgym.arrays import put_ragged
from textgym.episode import Episode
from textgym.metrics.running import replay
from textgym.rewards.base import RewardFunction
from textgym.tokenizers import Vocabulary


def as_rows(ids: Sequence[Sequence[int]], vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """k sequences of token ids as one array.

    Returns:
        tokens: int32 (k, width), PAD after each sequence.
        lengths: int64 (k,).
    """
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    tokens = np.empty((len(ids), lengths.max(initial=0)), np.int32)
    flat = np.concatenate([np.asarray(each, np.int32) for each in ids]) if ids else np.empty(0, np.int32)
    put_ragged(tokens, range(len(ids)), flat, lengths.tolist(), fill=vocabulary.pad)
    return tokens, lengths


def payments(
    reward: RewardFunction,
    episodes: Sequence[Episode],
    tokens: np.ndarray,
    lengths: np.ndarray,
    vocabulary: Vocabulary,
    rngs: Sequence[np.random.Generator],
) -> np.ndarray:
    """What each token is paid, float64 (k, width), 0 after the last ones.

    Args:
        reward: the reward, metrics resolved.
        episodes, tokens, lengths, vocabulary: as for :func:`~textgym.metrics.running.replay`.
        rngs: k generators, for rewards that draw random numbers.

    Raises:
        RewardError: the reward or a metric raised, or paid no finite number.
    """
    running = reward.run(len(tokens), rngs, vocabulary)
    running.reset(np.arange(len(tokens)), episodes)
    paid = np.zeros(tokens.shape)
    for step in replay(episodes, tokens, lengths, vocabulary, running.needs_text):
        paid[step.rows, step.lengths - 1] = running.step(step)
    return paid
