"""Does the token that is paid most become the likeliest one only if it was likely before?

The world of constant_reward: one softmax over 3,000 tokens, REINFORCE without baseline, 30,000 tokens. The target is
paid 1; it begins at rank 2, 3, 5, 10 or 50 (with probability 0.15, 0.07, 0.02, 0.006, 0.0002). Panel `rival`: the token
that is likeliest at the beginning is paid a half, as BLEU pays a translation that is partly right. Panel `alone`:
nothing but the target is paid.

Hypothesis: the rank rule of Choshen et al. 2020 holds beside a rival: the target is found from rank 2, and no more from
rank 10, since what is paid first is written more and more, until nothing else is drawn.

Controls: `alone`: is it the rank that forbids it, or the rival?

Refuted where the interval of rank_10 - rank_2, panel `rival` (is the target the likeliest token in the end: 0 or 1),
lies above 0.
"""

from experiments import scores
from experiments.registry import Comparison
from experiments.suite.constant_reward import WORLD

TAGS = ("numpy", "theory", "published")
BUDGET = WORLD["steps"]
SEEDS = 20
RANKS = (2, 3, 5, 10, 50)
SETTINGS = {
    f"{panel}/rank_{rank}": {**WORLD, "paid": {**of_rival, str(rank): 1.0}}
    for panel, of_rival in {"rival": {"1": 0.5}, "alone": {}}.items()
    for rank in RANKS
}
SECONDS = dict.fromkeys(SETTINGS, 3)
SMOKE = {WORLD["agent"]: {"steps": 200, "size": 50}}
PRIMARY = Comparison("rank_10", "rank_2", expect="less", panel="rival")
COLUMNS = {"greedy": "the target is the likeliest token", "entropy": "entropy (nats)"}


def score(runs):
    """Whether the target is the likeliest token in the end (0 or 1), float (n,)."""
    return scores.last_greedy(runs)
