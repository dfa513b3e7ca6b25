"""Learning rates over an update's number: warm-up, then constant, linear, cosine or exponential decay."""

from __future__ import annotations

import math

from textgym.errors import one_of

DECAYS = ("constant", "linear", "cosine", "exponential")


def learning_rate(base: float, update: int, updates: int, decay: str = "constant", warmup: int = 0) -> float:
    """The learning rate of one update.

    Args:
        base: the highest rate.
        update, updates: its number, from 0, and how many there are.
        decay: after the warm-up "constant"; "linear" to 0; "cosine" to 0 (Loshchilov & Hutter 2017); "exponential" to a
            hundredth of ``base``.
        warmup: updates in which it rises linearly.
    """
    one_of("decay", decay, DECAYS)
    if update < warmup:
        return base * (update + 1) / warmup
    share = (update - warmup) / max(1, updates - warmup)  # in [0, 1)
    factors = {"constant": 1.0, "linear": 1 - share, "cosine": (1 + math.cos(math.pi * share)) / 2}
    return base * factors.get(decay, 0.01**share)
