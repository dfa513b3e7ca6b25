"""Potential-based shaping: does it help a sparse success only through bootstrapping?

SB3 PPO on Copy (5 letters of 8; success is the whole word, 1 in 32,768 by chance), one panel a lambda of GAE at gamma
1, and one of gamma 0.9. `terminal` is paid 1 for the whole word, `potential` the same and the characters in place as a
potential (Ng, Harada & Russell 1999; with the agent's gamma, 0 at the end), `partial_credit` the same and the
characters in place, not taken back.

Hypothesis: at lambda = 1 the shaping is invisible (advantages are the same up to a baseline: an equality, which
tests/test_transformer_advantages.py has, not a run); below, `potential` learns what `terminal` does not.
`partial_credit` is another objective, which helps at every lambda.

Controls: terminal in every panel; lambda = 1, where the theory says that nothing may be gained at gamma 1. At gamma 0.9
the potential still leaves the best policy what it was, and the word is worth 0.59 at its first letter.

Refuted where the interval of potential - terminal at lambda = 0.5 (mean of the curve of success) lies below 0.
"""

import numpy as np

from experiments import designs
from experiments.registry import Comparison
from experiments.statistics import area_under_curve

TAGS = ("sb3", "theory", "published")
BUDGET = 61_440
SEEDS = 10
REWARDS = {
    "terminal": "terminal:exact_match",
    "potential": {"name": "potential", "metric": "character_match", "base": "terminal:exact_match"},
    "partial_credit": ["terminal:exact_match", "delta:character_match"],
}
PANELS = {"lambda 1": (1.0, 1.0), "lambda 0.95": (1.0, 0.95), "lambda 0.5": (1.0, 0.5), "gamma 0.9": (0.9, 0.95)}
SETTINGS = {
    f"{panel}/{arm}": {
        "agent": "sb3", "algo": "ppo", "env": "textgym/Copy-v0", "reward": reward, "steps": BUDGET,
        "eval_episodes": 200, "gamma": gamma, "hyperparams": {"gae_lambda": lam},
    }
    for panel, (gamma, lam) in PANELS.items()
    for arm, reward in REWARDS.items()
}  # fmt: skip
SECONDS = dict.fromkeys(SETTINGS, 25)
SMOKE = designs.SMOKE
PRIMARY = Comparison("potential", "terminal", panel="lambda 0.5")
COLUMNS = {"success": "success, greedy", "greedy": "characters in place, greedy"}


def score(runs):
    """Mean height of the curve of success, float (n,)."""
    return np.array([area_under_curve(run.tokens, run.curve("success")) for run in runs])
