"""What do noise, missing and late pay cost, and what do other starts and other exploration gain?

PPO with a small Transformer on Copy (5 letters of 8), from nothing, paid the share of letters in place as it changes
(Delta); one dial at a time. `plain` of each panel is the same without it.

- pay and starts: Gaussian noise of standard deviation 0.1, 0.3 and 1 at every token (a right letter is paid 0.2); pay
  that is kept with probability 0.5 and 0.1, divided by it; paid every 3 tokens, and all at the end. And, with the pay
  as it is, texts of which a half begin with some tokens of the reference, which are not learnt from (random starts).
- exploration: there `plain` has no entropy bonus and all draws are the policy's. A bonus for entropy (0.05); epsilon of
  0.1; a bonus for what was seldom written (upper confidence); logits divided by 2 when tokens are drawn (softmax).

Hypothesis: all these rewards have the same expected return, and so the same optimum, but noise slows: with `noise_0.3`
less is learnt in the same tokens than with `plain`. On seed 0, which is none of these runs, nothing at all was learnt
with `noise_1`.

Controls: `plain`; random tokens.

Refuted where the interval of noise_0.3 - plain (mean height of the curve of greedy true scores) lies above 0. All else
is exploratory: one setting of PPO for all, exploration at one strength each, none at its best.
"""

from experiments import designs, scores
from experiments.registry import Comparison

TAGS = ("transformer", "published")
BUDGET = 60_000
SEEDS = 10
SEEN = {"env": "textgym/Copy-v0", "eval_episodes": 200}
PPO = {
    "agent": "transformer", "algo": "ppo", "steps": BUDGET, "gamma": 1.0, "lam": 0.95, "learning_rate": 2e-3,
    "minibatch": 256, "entropy_weight": 0.01, "n_envs": 64, "layers": 1, "width": 64, "positions": "learned", **SEEN,
}  # fmt: skip
PLAIN = {**PPO, "reward": "delta"}
NO_BONUS = {**PLAIN, "entropy_weight": 0.0}


def _paid(name, **arguments):
    return {**PPO, "reward": {"name": name, "reward": "delta", **arguments}}


SETTINGS = {
    "pay and starts/random": {"agent": "baseline", "baseline": "random", **SEEN},
    "pay and starts/plain": PLAIN,
    "pay and starts/noise_0.1": _paid("noisy", std=0.1),
    "pay and starts/noise_0.3": _paid("noisy", std=0.3),
    "pay and starts/noise_1": _paid("noisy", std=1.0),
    "pay and starts/kept_0.5": _paid("dropout", p=0.5, rescale=True),
    "pay and starts/kept_0.1": _paid("dropout", p=0.1, rescale=True),
    "pay and starts/delayed_3": _paid("delayed", k=3),
    "pay and starts/at_the_end": {**PPO, "reward": "terminal"},
    "pay and starts/random_starts": {**PLAIN, "random_starts": 0.5},
    "exploration/plain": NO_BONUS,
    "exploration/entropy": {**NO_BONUS, "entropy_weight": 0.05},
    "exploration/epsilon": {**NO_BONUS, "epsilon": 0.1},
    "exploration/upper_confidence": {**NO_BONUS, "bonus_weight": 0.05},
    "exploration/temperature": {**NO_BONUS, "temperature": 2.0},
}
SECONDS = {arm: 2 if arm.endswith("random") else 15 for arm in SETTINGS}
SMOKE = designs.SMOKE
PRIMARY = Comparison("noise_0.3", "plain", expect="less", panel="pay and starts")
score = scores.mean_greedy
