"""Texts that are already written, gone through token by token once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from textgym.arrays import put_ragged
from textgym.episode import Episode, Step
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
