"""A world of one token: REINFORCE without baseline on the logits of one softmax. No environment, no network."""

from __future__ import annotations

import time

import numpy as np

from experiments.arms import Outcome, log_spaced


def simulate(
    run, folder, start, *, size: int, slope: float, steps: int, rate: float, paid: dict[str, float]
) -> Outcome:
    """The simulation of Choshen et al. 2020, section 4: does the token that is paid most become the likeliest?

    Args:
        size: tokens; their ranks are 1 .. ``size`` at the beginning.
        slope: the probability of rank r is proportional to r to the power of -``slope`` (and a little noise).
        steps: tokens drawn, one an update.
        rate: learning rate.
        paid: rank, or "all", -> reward; 0 for all others. The target is the rank that is paid most.
    """
    rng, began = np.random.default_rng(run.seed), time.monotonic()
    logits = -slope * np.log(np.arange(1, size + 1)) + rng.normal(0.0, 0.01, size)
    logits = np.sort(logits)[::-1].copy()  # place r - 1 has rank r
    rewards = np.full(size, paid.get("all", 0.0))
    for rank, reward in paid.items():
        if rank != "all":
            rewards[int(rank) - 1] = reward
    target = int(rewards.argmax())
    at, rows = {0, *log_spaced(steps)}, []
    for step in range(steps + 1):
        p = np.exp(logits - logits.max())
        p /= p.sum()
        if step in at:
            entropy = float(-(p * np.log(np.maximum(p, 1e-300))).sum())
            row = {"tokens": step, "entropy": entropy, "greedy": float(p.argmax() == target)}
            row |= {"sampled": float(p[target]), "terms": {}, "wall_s": round(time.monotonic() - began, 2)}
            rows.append(row)
        token = min(int(p.cumsum().searchsorted(rng.random())), size - 1)
        if rewards[token]:
            logits -= rate * rewards[token] * p
            logits[token] += rate * rewards[token]
    return Outcome(rows, config={**run.settings, "versions": {"numpy": np.__version__}})
