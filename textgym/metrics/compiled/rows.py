"""Metrics of texts along n rows, in arrays."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from textgym.episode import Episode
from textgym.metrics.base import BatchProgress, Metric
from textgym.metrics.compiled.kernel import widened
from textgym.metrics.compiled.texts import ALONE, SEPARATOR, SPACE, SPECIAL, Rules, Texts, append, begin_texts
from textgym.metrics.tokenization import CHINESE, SYMBOLS


class CompiledRows(BatchProgress):
    """What the compiled metrics share. It is saved as what was written: Python code can go on with that, too.

    Args:
        metric: what is computed; subclasses know how.
        n: how many rows.
        rules: how texts are cut into tokens; None: each character is one.
    """

    def __init__(self, metric: Metric, n: int, rules: Rules | None):
        self.metric = metric
        self.rules = rules
        self.episodes: list[Episode | None] = [None] * n
        self.texts = Texts(
            text=np.zeros((n, 512), np.uint32),
            size=np.zeros(n, np.int64),
            final=np.zeros(n, np.int64),
            symbols=np.zeros(n, np.int64),
            letters=np.zeros((n, 256), np.uint32),
            begins=np.zeros((n, 64), np.int32),
            slots=np.zeros((n, 128), np.uint32),
            masks=np.zeros(n, np.int64),
        )

    @abstractmethod
    def _begin(
        self, rows: np.ndarray, counts: np.ndarray, symbols: np.ndarray, ends: np.ndarray, most: tuple[int, ...]
    ) -> None:
        """Begin new texts in ``rows`` (k,); ``counts``: references of each; the rest: see ``begin_texts``."""

    @abstractmethod
    def _push(
        self, rows: np.ndarray, symbols: np.ndarray, finals: np.ndarray, ends: np.ndarray, values: np.ndarray
    ) -> None:
        """Go on with ``rows`` (k,), fill in ``values``, float64 (k,); the rest: see ``append``."""

    def reset(self, rows, episodes):
        for row, episode in zip(rows.tolist(), episodes, strict=True):
            self.episodes[row] = episode
        counts = np.array([len(episode.references) for episode in episodes], np.int64)
        references = [text for episode in episodes for text in episode.references]
        pieces = *self._code_points([""] * len(references)), *self._code_points(references)
        while True:
            done, symbols, ends, most = begin_texts(self.rules, tuple(self.texts), rows, counts, pieces)
            if done:
                break
            self._widen("letters", "begins", "slots")
        self._begin(rows, counts, symbols, ends, most)

    def _widen(self, *names: str) -> None:
        """Make room for twice as much."""
        self.texts = widened(self.texts, **{name: (2 * getattr(self.texts, name).shape[1],) for name in names})

    def value(self, step):
        return self.push(step.rows, step.pieces, step.provisional)

    def score_all(self, texts: Sequence[str], episodes: Sequence[Episode]) -> list[float]:
        """The metric of n finished texts."""
        rows = np.arange(len(texts))
        self.reset(rows, episodes)
        return self.push(rows, texts, [""] * len(texts)).tolist()

    def push(self, rows: np.ndarray, pieces: Sequence[str], provisional: Sequence[str]) -> np.ndarray:
        new = *self._code_points(pieces), *self._code_points(provisional)
        while True:
            done, symbols, finals, ends = append(self.rules, tuple(self.texts), rows, new)
            if done:
                break
            self._widen("text")
        values = np.empty(len(rows))
        self._push(rows, symbols, finals, ends, values)
        return values

    def _code_points(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The characters of k texts one after the other, uint32, and how many each, int64 (k,)."""
        joined = "".join(texts)
        sizes = np.fromiter(map(len, texts), np.int64, len(texts)) if joined else np.zeros(len(texts), np.int64)
        return np.array([joined]).view(np.uint32), sizes

    def get_state(self) -> dict[str, Any]:
        each = zip(self.texts.text, self.texts.size, strict=True)
        return {"episodes": self.episodes.copy(), "texts": ["".join(map(chr, text[:size])) for text, size in each]}

    def set_state(self, saved):
        if "texts" not in saved:
            raise ValueError(
                f"this state of {self.metric.name!r} was saved by Python code, which compiled code cannot go on with: "
                "set the environment variable TEXTGYM_COMPILED to 0 before the environment is made"
            )
        self.episodes = [None] * len(self.episodes)
        rows = np.array([row for row, episode in enumerate(saved["episodes"]) if episode is not None], np.int64)
        self.reset(rows, [saved["episodes"][row] for row in rows])
        self.push(rows, [saved["texts"][row] for row in rows], [""] * len(rows))


@lru_cache
def rules_of(name: str) -> Rules | None:
    """Those of a tokenization; None: compiled code does not know it."""
    if name not in ("none", "char", "13a", "zh"):
        return None
    western = name in ("13a", "zh")
    classes = np.zeros(0x10001, np.uint8)
    if name == "char":
        classes[:] = ALONE | SEPARATOR | SPECIAL
    if western:
        classes[[ord(symbol) for symbol in SYMBOLS]] = ALONE | SEPARATOR | SPECIAL
        classes[[ord(mark) for mark in ".,-"]] = SPECIAL
    if name == "13a":
        classes[[ord(symbol) for symbol in "&;<>"]] = ALONE | SPECIAL  # may be part of <skipped> or an entity
    if name == "zh":
        for first, last in CHINESE:
            classes[first : last + 1] = ALONE | SEPARATOR | SPECIAL
    classes[[code for code in range(0x10000) if chr(code).isspace()]] = SPACE
    return tuple(Rules(classes, name == "13a", western, name == "zh"))
