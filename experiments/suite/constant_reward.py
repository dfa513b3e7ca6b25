"""Does a reward that is the same whatever is written make a policy sure of itself?

The simulation of Choshen et al. 2020 ("On the Weaknesses of Reinforcement Learning for Neural Machine Translation"):
one softmax over 3,000 tokens, REINFORCE without baseline, learning rate 0.1, 30,000 tokens. The probability of a token
falls with the square of its rank: 0.61 for the likeliest, as peaked as a translation model.

Hypothesis: paid 1 whatever it writes, the policy loses its entropy (`constant` against `centred`, the same reward minus
its mean: no gradient). Gains of reinforcement learning by greater sureness alone need no reward that means anything.

Controls: `centred`, which is no update at all: the start. With a critic and normalised advantages a constant reward is
another thing: see warm_start_and_reward. Whether the token that is paid becomes the likeliest: see rank_rule.

Refuted where the interval of constant - centred (last entropy, nats) lies above 0.
"""

import numpy as np

from experiments.registry import Comparison

TAGS = ("numpy", "theory", "quick", "published")
BUDGET = 30_000
SEEDS = 20
WORLD = {"agent": "experiments.softmax:simulate", "size": 3000, "slope": 2.0, "steps": BUDGET, "rate": 0.1}
SETTINGS = {"constant": {**WORLD, "paid": {"all": 1.0}}, "centred": {**WORLD, "paid": {"all": 0.0}}}
SECONDS = dict.fromkeys(SETTINGS, 3)
SMOKE = {WORLD["agent"]: {"steps": 200, "size": 50}}
PRIMARY = Comparison("constant", "centred", expect="less")
COLUMNS = {"entropy": "entropy (nats)"}


def score(runs):
    """Entropy in the end, nats, float (n,)."""
    return np.array([run.last("entropy") for run in runs])
