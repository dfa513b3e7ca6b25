"""Numbers that a run is judged by; an experiment takes one of them as its ``score``, or has its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.records import Record
from experiments.statistics import area_under_curve


def last_greedy(runs: Sequence[Record]) -> np.ndarray:
    """The true score of the likeliest text in the end, float (n,)."""
    return np.array([run.last("greedy") for run in runs])


def mean_greedy(runs: Sequence[Record]) -> np.ndarray:
    """The mean height of the curve of greedy true scores over the tokens (area under it), float (n,)."""
    return np.array([area_under_curve(run.tokens, run.curve("greedy")) for run in runs])


def collapsed(run: Record) -> bool:
    """Its last greedy score is below half of its best."""
    curve = run.curve("greedy")
    return bool(curve[-1] < 0.5 * curve.max())
