"""Does a constant reward peak a distribution, and is the right token found only if it was likely before?

The simulation of Choshen et al. 2020 ("On the Weaknesses of Reinforcement Learning for Neural Machine Translation"):
one softmax over 3,000 tokens, REINFORCE without baseline, learning rate 0.1, 30,000 tokens. The logits fall with the
rank, so that the policy begins as peaked as a translation model. No environment, no network.

Hypothesis: paid 1 whatever it writes, the policy loses its entropy (`constant` against `centred`, the same reward minus
its mean: no gradient). Paid 1 for one token, it makes this token its likeliest one where it began at rank 2 or 3, and
never where it began at rank 10 or 50.

Controls: `centred`. With a critic and normalised advantages a constant reward is another thing: see
warm_start_and_reward.

Refuted where the interval of constant - centred (last entropy, nats) lies above 0.
"""

import time

import numpy as np

from experiments.arms import Outcome, log_spaced
from experiments.registry import Comparison

TAGS = ("numpy", "theory", "quick", "published")
BUDGET = 30_000
SEEDS = 20
WORLD = {"agent": "experiments.suite.constant_reward:simulate", "size": 3000, "steps": BUDGET, "rate": 0.1}
SETTINGS = {
    "constant": {**WORLD, "reward": "constant"},
    "centred": {**WORLD, "reward": "centred"},
    **{f"rank_{rank}": {**WORLD, "reward": "target", "rank": rank} for rank in (2, 3, 5, 10, 50)},
}
SECONDS = dict.fromkeys(SETTINGS, 1)
SMOKE = {WORLD["agent"]: {"steps": 200, "size": 50}}
PRIMARY = Comparison("constant", "centred", expect="less")
COLUMNS = {"entropy": "entropy (nats)", "greedy": "the target is the likeliest token"}


def score(runs):
    """Entropy in the end, nats, float (n,)."""
    return np.array([run.last("entropy") for run in runs])


def simulate(run, folder, start, *, size: int, steps: int, rate: float, reward: str, rank: int = 1) -> Outcome:
    """REINFORCE on the logits of one softmax.

    Args:
        size: tokens.
        reward: "constant" (1), "centred" (0) or "target" (1 for the token of ``rank``, counted from 1).
    """
    rng, began = np.random.default_rng(run.seed), time.monotonic()
    logits = -np.log(np.arange(1, size + 1)) + rng.normal(0.0, 0.01, size)
    logits = np.sort(logits)[::-1].copy()  # place r - 1 has rank r
    at, rows = {0, *log_spaced(steps)}, []
    for step in range(steps + 1):
        p = np.exp(logits - logits.max())
        p /= p.sum()
        if step in at:
            entropy = float(-(p * np.log(np.maximum(p, 1e-300))).sum())
            row = {"tokens": step, "entropy": entropy, "probability": float(p[rank - 1])}
            row |= {"greedy": float(p.argmax() == rank - 1), "sampled": float(p[rank - 1]), "terms": {}}
            rows.append({**row, "wall_s": round(time.monotonic() - began, 2)})
        token = min(int(p.cumsum().searchsorted(rng.random())), size - 1)
        paid = {"constant": 1.0, "centred": 0.0, "target": float(token == rank - 1)}[reward]
        if paid:
            logits -= rate * paid * p
            logits[token] += rate * paid
    return Outcome(rows, config={**run.settings, "versions": {"numpy": np.__version__}})
