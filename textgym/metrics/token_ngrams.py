"""BLEU over token ids, of many rows at once.

Of each order 1, 2, 3, 4 a row knows at which positions of its references the text's last n-gram ends, as bits: those of
the n-gram one token shorter, moved by one position, where the reference has the new token. An n-gram is matched if one
of these positions was not matched before, which is then used up: as often as the reference has it, no table needed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from textgym.arrays import put_ragged
from textgym.metrics.base import BatchMetric, BatchProgress
from textgym.metrics.bleu import BLEU, closest_length
from textgym.metrics.ngram_trie import NgramMatches, NgramTrie

FEW_ROWS = 24  # below it, a loop over the rows is faster than NumPy's calls
ORDERS = np.arange(4)[:, None]  # how many n-grams fewer than tokens a text has
IN_NO_TEXT, IN_NO_REFERENCE = -1, -2  # equal to no token and not to each other
FAR = 2**40  # tokens in a reference that is not there: never the closest length


class TokenBLEU(BatchMetric):
    """Sentence BLEU over token ids: sacrebleu's ``BLEU(tokenize="none", effective_order=True)`` on the ids; in [0, 1].

    It depends on the vocabulary and is not the BLEU of the text: the same text in other tokens scores otherwise, and
    parts of words count. EOS is no part of the text. Several references as in :class:`~textgym.metrics.bleu.BLEU`;
    where there is none, or only empty ones: 0. Array code that costs a token about the same at any length of the text;
    the longest reference of all rows sets the price.
    """

    name = "token_bleu"
    needs_references = True

    def start_rows(self, n, vocabulary):
        if vocabulary is None:
            raise ValueError("token_bleu compares token ids: it needs the environment's vocabulary")
        return (_FewRows if n < FEW_ROWS else _ManyRows)(n, vocabulary)

    def score_rows(self, step):
        if len(step.rows) >= FEW_ROWS:
            return super().score_rows(step)
        scores = []
        lengths = np.atleast_1d(step.lengths - step.finished).tolist()
        for tokens, length, episode in zip(step.tokens, lengths, step.episodes, strict=True):
            text = NgramMatches(_trie_of(episode.references, step.vocabulary))
            text.replace_open(tuple(tokens[: max(length, 0)].tolist()), ())
            scores.append(_score(text))
        return np.array(scores, np.float64)


# -- few rows: one after the other, like BLEU of texts --------------------------------------------------


_DEFINITION = BLEU("none")


def _score(text: NgramMatches) -> float:
    return _DEFINITION.from_counts(text.matches, text.length, closest_length(text.trie.lengths, text.length))


def _trie_of(references: tuple[str, ...], vocabulary) -> NgramTrie:
    return _trie(tuple(tuple(ids.tolist()) for ids in vocabulary.encode_all(references)))


@lru_cache(maxsize=1024)
def _trie(references: tuple[tuple[int, ...], ...]) -> NgramTrie:
    return NgramTrie(references, _DEFINITION.max_order)


class _FewRows(BatchProgress):
    not_saved = frozenset({"vocabulary"})

    def __init__(self, n, vocabulary):
        self.vocabulary = vocabulary
        self.texts = [NgramMatches(_trie(())) for _ in range(n)]

    def reset(self, rows, episodes):
        for row, episode in zip(rows.tolist(), episodes, strict=True):
            self.texts[row] = NgramMatches(_trie_of(episode.references, self.vocabulary))

    def value(self, step):
        texts = [self.texts[row] for row in step.rows.tolist()]
        for text, token, finished in zip(texts, step.actions.tolist(), step.finished.tolist(), strict=True):
            if not finished:
                text.replace_open((token,), ())
        return np.array([_score(text) for text in texts], np.float64)


# -- many rows: in arrays --------------------------------------------------------------------------------


class _ManyRows(BatchProgress):
    """n rows with up to K references of up to 64 W tokens."""

    not_saved = frozenset({"vocabulary"})

    def __init__(self, n, vocabulary):
        self.vocabulary = vocabulary
        dtype = np.int16 if vocabulary.size < 2**15 else np.int32  # small: all tokens are compared at each step
        self.tokens = np.full((n, 1, 64), IN_NO_TEXT, dtype)  # (n, K, 64 W), the references
        self.sizes = np.full((1, n), FAR)  # (K, n), tokens in each
        self.ends = np.zeros((3, 1, 1, n), np.uint64)  # (3, K, W, n), where the last 1-, 2-, 3-gram ends
        self.left = np.zeros((4, 1, 1, n), np.uint64)  # (4, K, W, n), where n-grams end that are not matched yet
        self.matches = np.zeros((4, n), np.int64)

    def reset(self, rows, episodes):
        references = [episode.references for episode in episodes]
        each = []
        for k in range(max(self.sizes.shape[0], *map(len, references))):
            has = [len(several) > k for several in references]
            ids, sizes = self.vocabulary.encode_flat([several[k] if len(several) > k else "" for several in references])
            each.append((ids, sizes, np.where(has, sizes, FAR)))
        self._grow(len(each), max(max(sizes) for _, sizes, _ in each))
        for k, (ids, sizes, known) in enumerate(each):
            put_ragged(self.tokens[:, k], rows.tolist(), ids, sizes, fill=IN_NO_TEXT)
            self.sizes[k, rows] = known
        self.ends[..., rows] = 0
        self.left[..., rows] = ~np.uint64(0)
        self.matches[:, rows] = 0

    def _grow(self, references: int, longest: int) -> None:
        """Make room for as many references as long as that."""
        more = references - self.sizes.shape[0]
        words = max(0, -(-longest // 64) - self.ends.shape[2])
        if more or words:
            self.tokens = np.pad(self.tokens, ((0, 0), (0, more), (0, 64 * words)), constant_values=IN_NO_TEXT)
            self.sizes = np.pad(self.sizes, ((0, more), (0, 0)), constant_values=FAR)
            for name in ("ends", "left"):
                setattr(self, name, np.pad(getattr(self, name), ((0, 0), (0, more), (0, words), (0, 0))))

    def value(self, step):
        rows = slice(None) if step.whole else step.rows
        # EOS: a reference may have it as a token, but it is none of the text
        self._append(np.where(step.finished, IN_NO_REFERENCE, step.actions), rows)
        lengths = step.lengths - step.finished
        return _bleu(self.matches[:, rows], lengths, _closest_of_rows(self.sizes[:, rows], lengths))

    def _append(self, tokens: np.ndarray, rows: np.ndarray | slice) -> None:
        """Count the n-grams that end with ``tokens`` (k,)."""
        where = _bits(self.tokens[rows] == tokens.astype(self.tokens.dtype)[:, None, None])  # (K, W, k)
        before, left = self.ends[..., rows], self.left[..., rows]
        ends = np.empty((4, *where.shape), np.uint64)
        ends[0] = where
        longer = ends[1:]
        np.left_shift(before, np.uint64(1), out=longer)
        longer[:, :, 1:] |= before[:, :, :-1] >> np.uint64(63)
        longer &= where
        free = ends & left
        found = np.zeros((4, where.shape[0], len(tokens)), bool)
        for w in range(where.shape[1]):  # the first position that is free
            word = free[:, :, w]
            left[:, :, w] ^= (word & -word) * ~found
            found |= word != 0
        if not isinstance(rows, slice):  # else it is a view
            self.left[..., rows] = left
        self.ends[..., rows] = ends[:3]
        self.matches[:, rows] += found.any(axis=1)  # counted up to the reference that has most of it


def _bits(flags: np.ndarray) -> np.ndarray:
    """bool (k, K, 64 W) as uint64 (K, W, k), the first flag in the lowest bit."""
    words = np.packbits(flags.ravel(), bitorder="little").view("<u8").reshape(*flags.shape[:2], -1)
    return np.ascontiguousarray(words.transpose(1, 2, 0), np.uint64)


def _closest_of_rows(sizes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The one of ``sizes`` (K, k) that is closest to ``lengths`` (k,), the smaller of two."""
    if len(sizes) == 1:
        return sizes[0]
    nearest = (2 * np.abs(sizes - lengths) + (sizes > lengths)).min(axis=0)
    return lengths + np.where(nearest & 1, nearest >> 1, -(nearest >> 1))


def _bleu(matches: np.ndarray, lengths: np.ndarray, reference_lengths: np.ndarray) -> np.ndarray:
    """``BLEU.from_counts`` of k rows: matches (4, k), the others (k,)."""
    ngrams = lengths - ORDERS
    none = (matches == 0) & (ngrams > 0)
    matched = np.where(none, np.ldexp(1.0, -np.cumsum(none, axis=0)), matches)
    precisions = np.where(ngrams > 0, matched, 1.0) / np.maximum(ngrams, 1)
    orders, tokens = np.clip(lengths, 1, 4), np.maximum(lengths, 1)
    penalty = np.minimum(0.0, 1.0 - reference_lengths / tokens)
    return np.where(matches[0] > 0, np.exp(np.log(precisions.prod(axis=0)) / orders + penalty), 0.0)
