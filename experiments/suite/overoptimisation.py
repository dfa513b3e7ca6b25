"""A policy that is paid by a reward model alone: does the true score rise, and does it fall again without a KL?

Sentiment (finish a review so that it turns out positive) with the cached Transformer. A simulated annotator, who errs
in one comparison of ten, compares texts of a warm start; a reward model of three members learns from that; PPO from
the same warm start is paid what it says at the end of a text (Gao et al. 2023). True score, learned score and KL to the
warm start are looked at on the way.

Hypothesis: with the KL to the warm start in the reward (`kl`) the last greedy true score is better than without
(`none`), which goes on being paid more while the true score falls. Taking off the members' disagreement (`penalty`;
Coste et al. 2024) helps, too.

Controls: the warm start as it is, sampled at the best temperature also; the true score paid (`true`), which is as good
as the reward can be; the record of `judged` has the reward model's held-out accuracy, and the Bayes limit.

Refuted where the interval of kl - none (last greedy true score, paired by seed) lies below 0; where it holds 0, no
over-optimisation was shown.
"""

from experiments import designs, scores
from experiments.registry import Comparison

TAGS = ("transformer", "feedback")
BUDGET = 60_000
SEEDS = 10
SEEN = {"env": "textgym/Sentiment-v0", "eval_episodes": 300}
NETWORK = {"layers": 2, "width": 64}
PPO = {
    "init": "judged", "steps": BUDGET, "algo": "ppo", "learning_rate": 3e-4, "minibatch": 512, "entropy_weight": 0.0,
    "n_envs": 128, "critic_start": 6000, "kl_in": "reward", "measure_kl": True, "evaluations": 6, **NETWORK,
}  # fmt: skip
KL = 0.05
LEARNED = {
    "none": {},
    "kl": {"kl_weight": KL},
    "penalty": {"penalty": 1.0},
    "kl_and_penalty": {"kl_weight": KL, "penalty": 1.0},
}
SETTINGS = {
    "warm_start": {"agent": "likelihood", "updates": 250, "evaluations": 1, **SEEN, **NETWORK},
    "tuned_temperature": {
        "agent": "temperature", "init": "warm_start", "temperatures": [0.1, 0.2, 0.4, 0.6, 0.8, 1.0], **SEEN,
    },
    "judged": {
        "agent": "experiments.learned:judged", "init": "warm_start", "judgements": 1500, "error": 0.1, "members": 3,
        "epochs": 4, "learning_rate": 3e-4, **SEEN,
    },
    "true": {"agent": "transformer", "reward": "terminal", **PPO, **SEEN},
    **{
        arm: {"agent": "experiments.learned:learned", "schedule": "terminal", **PPO, **SEEN, **own}
        for arm, own in LEARNED.items()
    },
}  # fmt: skip
SECONDS = {"warm_start": 18, "tuned_temperature": 12, "judged": 60, "true": 35, **dict.fromkeys(LEARNED, 45)}
SMOKE = designs.SMOKE_LEARNED
PRIMARY = Comparison("kl", "none")
COLUMNS = {
    "greedy": "true score, greedy",
    "learned": "learned score, greedy",
    "start_kl": "KL to the warm start (nats)",
}
score = scores.last_greedy
