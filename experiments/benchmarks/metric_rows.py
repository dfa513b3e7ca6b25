"""What metrics cost along many rows: in arrays, in compiled code, in Python code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from sacrebleu.metrics import BLEU as SacreBLEU
from tqdm import tqdm

from experiments.benchmarks.prose import pair, vocabulary
from experiments.benchmarks.timing import TIMES, Ratio
from experiments.measurements import Table
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


def arrays_table(rows: Sequence[int], rounds: int, places: int) -> Table:
    """``places``: prefixes of a text that sacrebleu scores."""
    columns = [("tokens", "{}"), ("rows", "{:,}"), ("us a token and row", "{:.2f}"), ("sacrebleu", "{:.0f}")]
    caption = "BLEU on token ids, in arrays (token_bleu), against sacrebleu on the ids, object kept"
    table = Table(caption, [*columns, ("times as fast", TIMES)], [])
    for tokens in (64, 256):
        for n in rows:
            ratio = in_arrays(tokens, n, rounds, places)
            table.rows.append([tokens, n, ratio.seconds * 1e6, ratio.baseline_seconds * 1e6, ratio.cell])
    return table


def rows_table(metrics: Sequence[Metric], lengths: Sequence[int], rows: Sequence[int], rounds: int) -> Table:
    """``rows``: few, and many."""
    shapes = [(tokens, rows[0]) for tokens in lengths] + [(lengths[0], rows[1])]
    columns = [
        ("metric", "{}"),
        *((f"{tokens:,} tokens, {n:,} rows", "{:.2f}, {:.2f}, " + TIMES) for tokens, n in shapes),
    ]
    growing = f"a token at {lengths[-1]:,} over one at {lengths[0]}, {rows[0]} rows: compiled, Python"
    columns += [(growing, "{:.1f}x, {:.1f}x"), ("new reference, 64 tokens", "{:.0f}, {:.0f}, " + TIMES)]
    caption = "Many rows of texts, us a token and row: compiled code, Python code, times as fast"
    table, rng = Table(caption, columns, []), np.random.default_rng(3)
    for metric in tqdm(metrics, desc="compiled code"):
        times = compiled_rows(metric, shapes, max(3, rounds // 3))
        cells = [beside(times[:, i]) for i in range(len(shapes))]
        flat = np.median(times[:, len(lengths) - 1] / times[:, 0], axis=0)
        new = beside(compiled_resets(metric, rounds, rng))
        table.rows.append([metric.name, *cells, flat.tolist(), new])
    return table


def beside(times: np.ndarray) -> list[float]:
    """us in compiled code, in Python code, and how many times as fast; ``times``: seconds, (rounds, 2)."""
    ours, python = (np.median(times, axis=0) * 1e6).tolist()
    return [ours, python, *Ratio(ours, python, times[:, 1] / times[:, 0]).cell]
