"""Exact matches: of the whole text, of characters in place, of tokens in place."""

from __future__ import annotations

import numpy as np

from textgym.metrics.base import BatchMetric, BatchProgress, Metric, Progress


class ExactMatch(Metric):
    """1 if the text so far equals a reference, else 0."""

    name = "exact_match"

    def start(self, episode):
        return _ExactProgress(episode.references)

    def score(self, text, episode):
        return float(text in episode.references)


class _ExactProgress(Progress):
    def __init__(self, references):
        self.alive = references  # the references that the committed text is a prefix of
        self.length = 0

    def push(self, piece, provisional=""):
        if piece:
            self.alive = [r for r in self.alive if r.startswith(piece, self.length)]
            self.length += len(piece)
        for reference in self.alive:
            if len(reference) == self.length + len(provisional) and reference.endswith(provisional):
                return 1.0
        return 0.0


class CharacterMatch(Metric):
    """Share of characters in place: |{i: text[i] = reference[i]}| / max(|text|, |reference|), the best of the references.

    In [0, 1], and 1 only for a reference itself (an empty text for an empty reference included).
    """

    name = "character_match"

    def start(self, episode):
        references = episode.references
        return _OneReference(references[0]) if len(references) == 1 else _ManyReferences(references)


class _OneReference(Progress):
    def __init__(self, reference: str):
        self.reference = reference
        self.length = 0
        self.right = 0

    def push(self, piece, provisional=""):
        reference, start = self.reference, self.length
        right = self.right
        end = start + len(piece)
        for a, b in zip(piece, reference[start:end], strict=False):
            right += a == b
        self.right, self.length = right, end
        if provisional:
            start, end = end, end + len(provisional)
            for a, b in zip(provisional, reference[start:end], strict=False):
                right += a == b
        longest = max(end, len(reference))
        return right / longest if longest else 1.0


class _ManyReferences(Progress):
    def __init__(self, references):
        self.each = [_OneReference(reference) for reference in references]

    def push(self, piece, provisional=""):
        return max((each.push(piece, provisional) for each in self.each), default=0.0)


class TokenMatch(BatchMetric):
    """Share of token ids in place, like :class:`CharacterMatch` on the ids of text and reference.

    EOS is no part of the text. Depends on the vocabulary: one text cut into tokens in another way does
    not match. Array code: about as cheap for a thousand rows as for one.
    """

    name = "token_match"

    def start_rows(self, n, vocabulary):
        if vocabulary is None:
            raise ValueError("token_match compares token ids: it needs the environment's vocabulary")
        return _TokenProgress(n, vocabulary)


class _TokenProgress(BatchProgress):
    not_saved = frozenset({"vocabulary"})

    def __init__(self, n, vocabulary):
        self.vocabulary = vocabulary
        self.references = np.full((1, n, 8), -1, np.int32)  # (K, n, T), -1 where there is no token: always the last column
        self.sizes = np.full((1, n), -1, np.int64)  # (K, n), -1: no such reference
        self.right = np.zeros((1, n), np.int64)  # (K, n)
        self.some_empty = False  # whether some reference has been empty

    def reset(self, rows, episodes):
        self.references[:, rows] = -1
        self.sizes[:, rows] = -1
        self.right[:, rows] = 0
        for row, episode in zip(rows.tolist(), episodes, strict=True):
            for k, reference in enumerate(episode.references):
                ids = self.vocabulary.encode(reference)
                size = len(ids)
                if k >= self.references.shape[0] or size >= self.references.shape[2]:
                    self._grow(k + 1, size + 1)
                self.references[k, row, :size] = ids
                self.sizes[k, row] = size
                self.some_empty |= size == 0

    def _grow(self, references: int, tokens: int) -> None:
        more, longer = max(0, references - self.references.shape[0]), max(0, 2 * tokens - self.references.shape[2])
        self.references = np.pad(self.references, ((0, more), (0, 0), (0, longer)), constant_values=-1)
        self.sizes = np.pad(self.sizes, ((0, more), (0, 0)), constant_values=-1)
        self.right = np.pad(self.right, ((0, more), (0, 0)))

    def value(self, step):
        rows, actions = step.rows, step.actions
        at = np.minimum(step.lengths, self.references.shape[2]) - 1  # past the end: the last column, which never matches
        right = self.right[:, rows] + (self.references[:, rows, at] == actions)  # (K, k); EOS is in no reference
        self.right[:, rows] = right
        lengths = step.lengths - (actions == self.vocabulary.eos)  # tokens of text
        sizes = self.sizes[:, rows]
        value = right / np.maximum(np.maximum(sizes, lengths), 1)
        if self.some_empty:
            value[(sizes == 0) & (lengths == 0)] = 1.0
        return value[0] if len(value) == 1 else value.max(axis=0)
