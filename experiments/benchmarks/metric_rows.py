"""What metrics cost along many rows: in arrays, in compiled code, in Python code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from sacrebleu.metrics import BLEU as SacreBLEU

from experiments.benchmarks.prose import pair, vocabulary
from experiments.benchmarks.timing import Ratio
from textgym.episode import Episode
from textgym.metrics import BatchProgress, Metric, TokenBLEU
from textgym.replay import as_rows, replay


def in_arrays(tokens: int, rows: int, rounds: int, places: int) -> Ratio:
    """Seconds a token of one of ``rows`` rows: BLEU on token ids, and sacrebleu's (``tokenize="none"``) on the ids, at
    ``places`` prefixes."""
    rng, times = np.random.default_rng(tokens), np.empty((rounds, 2))
    scorer = SacreBLEU(tokenize="none", effective_order=True)
    known = [pair(tokens, rng) for _ in range(rows)]
    episodes = [Episode("", (reference,)) for reference, _ in known]
    progress = TokenBLEU().start_rows(rows, vocabulary())
    lengths = [len(ids) for _, ids in known]
    for r in range(rounds):
        times[r, 0] = along_rows(progress, known, needs_text=False)
        row = int(rng.integers(rows))
        reference = " ".join(map(str, vocabulary().encode(episodes[row].references[0])))
        prefixes = [" ".join(map(str, known[row][1][:t])) for t in np.linspace(1, lengths[row], places).astype(int)]
        start = time.perf_counter()
        for prefix in prefixes:
            scorer.sentence_score(prefix, [reference])
        times[r, 1] = (time.perf_counter() - start) / len(prefixes)
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


def along_rows(progress: BatchProgress, known: list[tuple[str, list[int]]], needs_text: bool) -> float:
    """Seconds a token of one row; ``known``: the reference of each row and the ids that are written there."""
    episodes = [Episode("", (reference,)) for reference, _ in known]
    written, lengths = as_rows([ids for _, ids in known], vocabulary())
    progress.reset(np.arange(len(known)), episodes)
    spent = 0.0
    for step in replay(episodes, written, lengths, vocabulary(), needs_text):
        start = time.perf_counter()
        progress.value(step)
        spent += time.perf_counter() - start
    return spent / lengths.sum()


@contextmanager
def python_code() -> Iterator[None]:
    """No compiled code for what is made here."""
    os.environ["TEXTGYM_COMPILED"] = "0"
    try:
        yield
    finally:
        del os.environ["TEXTGYM_COMPILED"]


def compiled_rows(metric: Metric, shapes: Sequence[tuple[int, int]], rounds: int) -> np.ndarray:
    """Seconds a token of one row in compiled code and in Python code, (rounds, len(shapes), 2), all in turns.

    ``shapes``: (tokens, rows).
    """
    rng, times = np.random.default_rng(0), np.empty((rounds + 1, len(shapes), 2))
    for r in range(rounds + 1):  # in the first one numba compiles
        for i, (tokens, rows) in enumerate(shapes):
            known = [pair(tokens, rng) for _ in range(rows)]
            times[r, i, 0] = along_rows(metric.start_rows(rows), known, needs_text=True)
            with python_code():
                times[r, i, 1] = along_rows(metric.start_rows(rows), known, needs_text=True)
    return times[1:]


def compiled_resets(metric: Metric, rounds: int, rng: np.random.Generator, rows: int = 64) -> np.ndarray:
    """Seconds to begin a text of one row in both, its reference new, of 64 tokens, drawn by ``rng``, (rounds, 2)."""
    times, every = np.empty((rounds, 2)), np.arange(rows)
    with python_code():
        each = [None, metric.start_rows(rows)]
    each[0] = metric.start_rows(rows)
    for r in range(-1, rounds):  # the arrays grow at first
        episodes = [Episode("", (pair(64, rng)[0],)) for _ in every]
        for i, progress in enumerate(each):
            start = time.perf_counter()
            progress.reset(every, episodes)
            times[r, i] = (time.perf_counter() - start) / rows
    return times
