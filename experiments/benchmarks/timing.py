"""Ratios of two things timed side by side: in turns, in one process, so that a drifting machine drifts for both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

TIMES = "{:.1f}x ({:.1f}-{:.1f})"


@dataclass(frozen=True)
class Ratio:
    """Seconds a call of two functions, and their ratio round by round."""

    seconds: float
    baseline_seconds: float
    rounds: np.ndarray

    @property
    def median(self) -> float:
        return float(np.median(self.rounds))

    @property
    def cell(self) -> list[float]:
        """Median, 10th and 90th percentile, for a column of :data:`TIMES`."""
        return np.percentile(self.rounds, [50, 10, 90]).tolist()


def calls_per_round(function: Callable[[], object], seconds: float) -> int:
    """How many calls take about ``seconds``."""
    function()
    calls = 1
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        spent = time.perf_counter() - start
        if spent >= seconds / 4:
            return max(1, round(calls * seconds / spent))
        calls *= 2


def compare(
    function: Callable[[], object], baseline: Callable[[], object], rounds: int = 15, seconds: float = 0.1
) -> Ratio:
    """How many times faster ``function`` is than ``baseline``; each round times both, one after the other."""
    counts = [calls_per_round(f, seconds) for f in (function, baseline)]
    times = np.empty((rounds, 2))
    for r in range(rounds):
        for i, (f, calls) in enumerate(zip((function, baseline), counts, strict=True)):
            start = time.perf_counter()
            for _ in range(calls):
                f()
            times[r, i] = (time.perf_counter() - start) / calls
    return Ratio(float(np.median(times[:, 0])), float(np.median(times[:, 1])), times[:, 1] / times[:, 0])


def in_fresh_processes(measure: Callable[..., Ratio], arguments: tuple, processes: int) -> Ratio:
    """``measure(*arguments)`` in one process after another, all rounds together.

    Hashes and places in memory make one process several percent faster than the next, whatever the code.
    """
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        each = [pool.apply(measure, arguments) for _ in range(processes)]
    seconds, baselines = ([getattr(r, name) for r in each] for name in ("seconds", "baseline_seconds"))
    return Ratio(float(np.median(seconds)), float(np.median(baselines)), np.concatenate([r.rounds for r in each]))


def in_turns(functions: Sequence[Callable[[], object]], rounds: int) -> np.ndarray:
    """Seconds of one call of each of k functions in each round, (rounds, k); a round before them is not timed."""
    times = np.empty((rounds + 1, len(functions)))
    for r in range(rounds + 1):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[r, i] = time.perf_counter() - start
    return times[1:]
