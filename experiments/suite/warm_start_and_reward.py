"""From one warm start and with equal text: what does reinforcement learning add, and does paying at once help?

Spelling correction (windows of 10 characters, 3 in 10 replaced) with the cached Transformer. All arms of a seed start
from ONE checkpoint, trained by likelihood until it is decent, not until it has converged.

Hypothesis: paying the true score character by character (Delta) gives a better greedy text than paying it at the end
(Terminal) after the same tokens. At discount 1 both have the same return, so only the credit differs.

Controls: copying the prompt; the warm start as it is; the warm start sampled at a temperature chosen on other episodes
(reinforcement learning sharpens the policy, and sampled scores gain from that alone); as many tokens of likelihood
training; a constant reward (Choshen et al. 2020: is it the reward at all?).

Refuted where the interval of Delta - Terminal (last greedy score, paired by seed) lies below 0; where it holds 0,
nothing was shown. Text tokens are equal, computation is not: a token of reinforcement learning is written first, and
then used twice.
"""

from experiments import scores
from experiments.registry import Comparison

TAGS = ("transformer", "published")
BUDGET = 200_000
SEEDS = 10
ENV = "textgym/Spelling-v0"
TEXT = 11  # tokens of a reference, EOS included
NETWORK = {"layers": 2, "width": 128}
SEEN = {"env": ENV, "eval_episodes": 500}

LIKELIHOOD = {"agent": "likelihood", "batch": 64, **SEEN, **NETWORK}
REINFORCED = {
    "agent": "transformer", "init": "warm_start", "algo": "ppo", "gamma": 1.0, "lam": 0.95, "steps": BUDGET,
    "learning_rate": 1e-4, "minibatch": 512, "entropy_weight": 0.0, "n_envs": 64, **SEEN, **NETWORK,
}  # fmt: skip

SETTINGS = {
    "copy_prompt": {"agent": "baseline", "baseline": "copy_prompt", **SEEN},
    "warm_start": {"updates": 600, "rate": 1e-3, **LIKELIHOOD},
    "tuned_temperature": {
        "agent": "temperature", "init": "warm_start", "temperatures": [0.1, 0.2, 0.4, 0.6, 0.8, 1.0], **SEEN,
    },
    "more_likelihood": {"init": "warm_start", "updates": round(BUDGET / 64 / TEXT), "rate": 5e-4, **LIKELIHOOD},
    "terminal": {**REINFORCED, "reward": "terminal"},
    "delta": {**REINFORCED, "reward": "delta"},
    "constant": {**REINFORCED, "reward": "constant"},
}  # fmt: skip
SECONDS = {
    "copy_prompt": 3, "warm_start": 40, "tuned_temperature": 8, "more_likelihood": 20,
    "terminal": 60, "delta": 60, "constant": 60,
}  # fmt: skip
SMOKE = {
    "updates": 3,
    "steps": 128,
    "n_envs": 8,
    "eval_episodes": 8,
    "width": 16,
    "layers": 1,
    "temperatures": [0.5, 1.0],
}
PRIMARY = Comparison("delta", "terminal")
score = scores.last_greedy
