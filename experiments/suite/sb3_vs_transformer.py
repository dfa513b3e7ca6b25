"""Is the Transformer trainer Stable-Baselines3's PPO, only faster?

Copy (5 letters of 8), from nothing, paid as it changes (Delta). Panel `same`: one network (a decoder of 1 layer and
width 64, with heads of its own), from the same weights, with the same PPO settings on the same number of tokens. A
single update is the same to rounding, which is tested; over a run the draws differ, and minibatches are whole texts in
one, single tokens in the other. Panel `own`: each with settings of its own, those of SB3 being hyperparams.yml's, and
learning rate (SB3's does not fall) and lambda of GAE the best of as many trials for both (--tune N).

Hypothesis: in `same` the curves over the tokens are equal: the mean heights of the curves of greedy true scores differ
by less than 0.05 in the mean over seeds, a margin stated before any of these runs. Only the time differs.

Controls: SB3 in both panels; random tokens. The second row of the figure has the seconds, evaluations included, so that
scores can be read by time, too: the time of both is that of one thread beside another run.

Refuted where the interval of transformer - sb3 (panel `same`) lies outside of 0.05 either way; not decided where it
reaches beyond on one side.
"""

from experiments import designs, scores
from experiments.registry import Comparison
from experiments.search import LogUniform

TAGS = ("sb3", "transformer", "published")
BUDGET = 30_720
SEEDS = 20
SEEN = {"env": "textgym/Copy-v0", "eval_episodes": 200}
PPO = {
    **SEEN, "reward": "delta", "steps": BUDGET, "n_envs": 32, "rollout": 64, "minibatch": 256, "epochs": 4,
    "gamma": 1.0, "lam": 0.95, "learning_rate": 1e-3, "entropy_weight": 0.01, "layers": 1, "width": 64,
}  # fmt: skip
SAME = {"agent": "transformer", "algo": "ppo", "network": "experiments.twins:Untied", "decay": "constant", **PPO}
OWN = {
    "agent": "transformer", "algo": "ppo", **SEEN, "reward": "delta", "steps": BUDGET, "n_envs": 64, "minibatch": 256,
    "gamma": 1.0, "lam": 0.95, "learning_rate": 2e-3, "entropy_weight": 0.01, "layers": 1, "width": 64,
    "positions": "learned",
}  # fmt: skip
SETTINGS = {
    "same/random": {"agent": "baseline", "baseline": "random", **SEEN},
    "same/sb3": {"agent": "experiments.twins:sb3", **PPO},
    "same/transformer": SAME,
    "own/sb3": {"agent": "sb3", "algo": "ppo", **SEEN, "reward": "delta", "steps": BUDGET},
    "own/transformer": OWN,
}
RATES, LAMBDAS = LogUniform(3e-4, 5e-3), [0.9, 0.95, 1.0]
SEARCH = {
    "own/sb3": {"hyperparams.learning_rate": RATES, "hyperparams.gae_lambda": LAMBDAS},
    "own/transformer": {"learning_rate": RATES, "lam": LAMBDAS},
}
SECONDS = {"same/random": 2, "same/sb3": 25, "same/transformer": 12, "own/sb3": 18, "own/transformer": 8}
SMOKE = {**designs.SMOKE, "experiments.twins:sb3": {**designs.SMALL, "steps": 256, "n_envs": 8}}
PRIMARY = Comparison("transformer", "sb3", expect="equal", margin=0.05, panel="same")
COLUMNS = {"greedy": "true score, greedy", "wall_s": "seconds of one thread"}
score = scores.mean_greedy
