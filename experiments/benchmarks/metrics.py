"""What exact metrics cost at every token, against calling the reference library on the text so far.

    python -m experiments.benchmarks.metrics [--smoke] [--folder DIR]

English prose in byte-level BPE (V = 8,192), one thread; texts are references with noise in 35 % of their words. The
library scores the same prefixes, given to it ready decoded, at up to 24 places spread over the text; its objects
and references are kept between calls where it can. Ratios are medians over rounds that time both sides one after
the other, each round on fresh texts (the libraries memoise lines); in brackets the 10th and 90th percentile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU as SacreBLEU
from sacrebleu.metrics import CHRF as SacreCHRF
from tqdm import tqdm

from experiments.benchmarks.flags import flags
from experiments.benchmarks.metric_envs import stepping_table, training_table
from experiments.benchmarks.metric_rows import arrays_table, rows_table
from experiments.benchmarks.prose import pair, vocabulary
from experiments.benchmarks.timing import TIMES, Ratio
from experiments.measurements import Table, measuring
from textgym.episode import Episode
from textgym.metrics import BLEU, ROUGE, ChrF, EditDistance, Metric, OptimisticEditDistance

LENGTHS = (16, 64, 256, 1024)
PLACES = 24  # prefixes of a text that the library scores


@dataclass(frozen=True)
class Compared:
    """Metrics of ours that together are what one call of the library computes."""

    name: str
    ours: tuple[Metric, ...]
    library: Callable[[str], Callable[[str], object]]  # reference -> (text -> score)


def sacre(kind: type) -> Callable[[str], Callable[[str], object]]:
    """Sentence scores by an object that is kept."""
    scorer = kind(effective_order=True) if kind is SacreBLEU else kind()
    return lambda reference: lambda text: scorer.sentence_score(text, [reference])


def sacre_cached(kind: type) -> Callable[[str], Callable[[str], object]]:
    """The same with what is computed of the reference kept, by the library's own option."""

    def start(reference):
        options = {"effective_order": True} if kind is SacreBLEU else {}
        scorer = kind(references=[[reference]], **options)
        return lambda text: scorer.corpus_score([text], None)

    return start


def rouge(*kinds: str, stem: bool = False) -> Callable[[str], Callable[[str], object]]:
    scorer = RougeScorer(list(kinds), use_stemmer=stem)
    return lambda reference: lambda text: scorer.score(reference, text)


ALL_ROUGE = tuple(ROUGE(kind) for kind in "12L")
METRICS = (
    Compared("BLEU against sacrebleu, object kept", (BLEU(),), sacre(SacreBLEU)),
    Compared("BLEU against sacrebleu, object and reference kept", (BLEU(),), sacre_cached(SacreBLEU)),
    Compared("chrF against sacrebleu, object kept", (ChrF(),), sacre(SacreCHRF)),
    Compared("ROUGE-1, 2 and L against rouge-score", ALL_ROUGE, rouge("rouge1", "rouge2", "rougeL")),
    Compared(
        "ROUGE-1, 2 and L, stemmed, against rouge-score",
        tuple(ROUGE(kind, stem=True) for kind in "12L"),
        rouge("rouge1", "rouge2", "rougeL", stem=True),
    ),
)


EDIT_DISTANCES = (EditDistance(), EditDistance("word"), OptimisticEditDistance())


def follow(metrics: tuple[Metric, ...], episode: Episode, pieces: list[tuple[str, str]]) -> float:
    """Seconds that the metrics take for all pieces of a text; the text is decoded once for all of them."""
    start = time.perf_counter()
    each = [metric.start(episode) for metric in metrics]
    for piece, provisional in pieces:
        for progress in each:
            progress.push(piece, provisional)
    return time.perf_counter() - start


def pieces_of(ids: list[int]) -> list[tuple[str, str]]:
    stream, row = vocabulary().stream(1), np.zeros(1, np.int64)
    pushed = (stream.push(row, np.array([id])) for id in ids)
    return [(piece, provisional) for (piece,), (provisional,) in pushed]


def against_library(compared: Compared, tokens: int, rounds: int) -> Ratio:
    """Seconds a token: ours over the whole text, the library's at PLACES prefixes of it."""
    rng, times = np.random.default_rng(tokens), np.empty((rounds, 2))
    for r in range(rounds):
        reference, ids = pair(tokens, rng)
        pieces = pieces_of(ids)
        at = np.unique(np.linspace(1, len(ids), PLACES).astype(int))
        prefixes = [vocabulary().decode(ids[:t]) for t in at]
        episode = Episode("", (reference,))
        follow(compared.ours, episode, pieces[:1])  # what is computed of a reference is kept: see ``set_up``
        times[r, 0] = follow(compared.ours, episode, pieces) / len(ids)
        score = compared.library(reference)
        score(prefixes[0])
        start = time.perf_counter()
        for prefix in prefixes:
            score(prefix)
        times[r, 1] = (time.perf_counter() - start) / len(prefixes)
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


def flatness(metrics: tuple[Metric, ...], rounds: int) -> Ratio:
    """Seconds a token of texts of 64 tokens, and of texts of 1,024, 16 of the first for one of the second."""
    rng, times = np.random.default_rng(1), np.empty((rounds, 2))
    for r in range(rounds):
        for column, tokens in enumerate((64, 1024)):
            texts = [pair(tokens, rng) for _ in range(1024 // tokens)]
            each = [(Episode("", (reference,)), pieces_of(ids)) for reference, ids in texts]
            for episode, pieces in each:
                follow(metrics, episode, pieces[:1])
            times[r, column] = sum(follow(metrics, *one) for one in each) / sum(len(pieces) for _, pieces in each)
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


_FRESH = np.random.default_rng(2)  # goes on from call to call: no metric meets another's references


def set_up(metrics: tuple[Metric, ...], tokens: int) -> float:
    """Seconds to begin a text whose reference has not been met before."""
    episodes = [Episode("", (pair(tokens, _FRESH)[0],)) for _ in range(10)]
    start = time.perf_counter()
    for episode in episodes:
        for metric in metrics:
            metric.start(episode)
    return (time.perf_counter() - start) / len(episodes)


def libraries_tables(lengths: Sequence[int], rounds: int) -> list[Table]:
    """Ours against the libraries', and those that no library has."""
    where = [f"{tokens:,} tokens" for tokens in lengths]
    end = [("a token at 1,024 over one at 64", TIMES), ("new reference, 64 tokens", "{:.0f} us")]
    rows = []
    for compared in tqdm(METRICS, desc="against the libraries"):
        cells = []
        for tokens in lengths:
            ratio = against_library(compared, tokens, rounds if tokens < 1024 else max(3, rounds // 3))
            cells.append([ratio.seconds * 1e6, ratio.baseline_seconds * 1e6, *ratio.cell])
        rows.append([compared.name, *cells, *growth(compared.ours, rounds)])
    columns = [("metric", "{}"), *((tokens, "{:.1f}, {:,.0f}, " + TIMES) for tokens in where), *end]
    compared_with = Table("us a token, the library's us a call on the prefix, times as fast", columns, rows)
    alone = []
    for metric in EDIT_DISTANCES:
        cells = []
        for tokens in lengths:
            rng = np.random.default_rng(tokens)
            texts = [pair(tokens, rng) for _ in range(rounds)]
            each = [(Episode("", (reference,)), pieces_of(ids)) for reference, ids in texts]
            for episode, pieces in each:
                follow((metric,), episode, pieces[:1])
            cells.append(float(np.median([follow((metric,), *one) / len(one[1]) for one in each]) * 1e6))
        alone.append([metric.name, *cells, *growth((metric,), rounds)])
    columns = [("metric", "{}"), *((tokens, "{:.1f}") for tokens in where), *end]
    return [compared_with, Table("us a token of edit distances", columns, alone)]


def growth(metrics: tuple[Metric, ...], rounds: int) -> tuple[list[float], float]:
    """What long texts and new references (us) cost."""
    return flatness(metrics, rounds).cell, set_up(metrics, 64) * 1e6


def main() -> None:
    args = flags("experiments.benchmarks.metrics", __doc__).parse_args()
    torch.set_num_threads(1)
    lengths, rounds, seconds, steps = (LENGTHS[:2], 1, 0.01, 2) if args.smoke else (LENGTHS, 9, 1.5, 256)
    rows = (8, 16) if args.smoke else (64, 1024)
    packages = ["sacrebleu", "rouge-score", "stable-baselines3", "numpy", *(["numba"] if find_spec("numba") else [])]
    with measuring("metrics", __doc__, args, packages) as tables:
        tables += libraries_tables(lengths, rounds)
        tables.append(arrays_table(rows, rounds, PLACES))
        tables.append(rows_table((BLEU(), ChrF(), *EDIT_DISTANCES), lengths[1:], rows, rounds))
        tables.append(stepping_table((1, *rows), seconds))
        tables.append(training_table((64,) if args.smoke else (64, 256), steps))


if __name__ == "__main__":
    main()
