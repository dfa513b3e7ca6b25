"""Likelihood, reward, or both: and does it help to go from one to the other token by token (MIXER)?

Spelling correction with the cached Transformer; all arms see as many tokens of text. `warm_start` is half of them, by
likelihood; from this checkpoint `likelihood` goes on as it was, `both` goes on with PPO and Delta, and `mixer` with the
same, but the texts begin with tokens of the reference, learnt by likelihood, 2 fewer in each stage, until none is left
(Ranzato et al. 2016). `reward` has PPO and Delta from nothing.

Hypothesis: `both` ends with a better likeliest text than `likelihood`; `reward` ends below the warm start, since what a
spelling could be is hardly found by chance.

Controls: copying the prompt; the warm start. Beside greedy scores see the sampled ones, which rise by sharpening alone.

Refuted where the interval of both - likelihood (last greedy score, paired by seed) lies below 0. MIXER is compared with
`both`: whether annealing is worth anything once there is a warm start.

It was refuted. Most likely reasons: 128 texts in an update are too few, and likelihood still learns fast from so early
a start. Looked for in the panel `early` of warm_start_and_reward (600 updates; 512 texts in an update, learning rate
3e-4, another network): PPO then ends 0.004 below its start instead of 0.016, and 0.011 below likelihood instead of
0.033; from a converged start, all else equal (panel `converged`), it gains 0.024. So the start matters; how much of the
smaller loss is due to larger updates was not told apart from the network and the learning rate.
"""

from experiments import designs, scores
from experiments.registry import Comparison

TAGS = ("transformer", "published")
BUDGET = 400_000  # a half of it in the warm start
SEEDS = 10
SEEN = {"env": "textgym/Spelling-v0", "eval_episodes": 300}
NETWORK = {"layers": 2, "width": 64}
LIKELIHOOD = {"agent": "likelihood", "batch": 64, **SEEN, **NETWORK, "tokens": BUDGET // 2}
PPO = {
    "agent": "transformer", "algo": "ppo", "reward": "delta", "gamma": 1.0, "lam": 0.95, "minibatch": 512,
    "n_envs": 128, **SEEN, **NETWORK,
}  # fmt: skip
WARM = {**PPO, "init": "warm_start", "steps": BUDGET // 2, "learning_rate": 2e-4, "entropy_weight": 0.0}
SETTINGS = {
    "copy_prompt": {"agent": "baseline", "baseline": "copy_prompt", **SEEN},
    "warm_start": {**LIKELIHOOD, "rate": 1e-3},
    "likelihood": {**LIKELIHOOD, "init": "warm_start", "rate": 5e-4},
    "both": {**WARM, "critic_start": 8000},
    "mixer": {**WARM, "critic_start": 8000, "mixer": 2},
    "reward": {**PPO, "steps": BUDGET, "learning_rate": 1e-3, "entropy_weight": 0.01},
}
SECONDS = {"copy_prompt": 2, "warm_start": 15, "likelihood": 15, "both": 45, "mixer": 45, "reward": 80}
SMOKE = designs.SMOKE
PRIMARY = Comparison("both", "likelihood")
score = scores.last_greedy
