"""When should a learned reward be paid: at the end, uniformly, as it changes, or as its model looked at the text?

Rests of reviews that are to turn out positive, in words (about 12 tokens a text) and in pieces of words (about 38). A
simulated annotator, who errs in one comparison of ten, compares texts of a warm start; a reward model that begins as
the warm start learns from that. All arms of a seed start from that policy and are paid by that model alone, near to the
start by a KL penalty; they differ in when they are paid.

Hypothesis: redistributed by the reward model's own attention, 0.8 of it, the reward is learnt from faster than paid at
the end; paid uniformly, 0.8 of it, slower in the short texts, faster in the long ones (ABC, Chan et al. 2024). Prefix
differences (`delta`; RED, Li et al. 2024) stand beside them. All have the same return.

Controls: the warm start as it is, with its reward model's held-out accuracy and the Bayes limit (`judged`). All arms
learn from whole texts, with the same estimator, and their critics are fitted beforehand to what they are paid.

Refuted where the interval of attention - terminal (mean height of the curve of sampled true scores, each seed: the mean
of both panels) lies below 0. The paper judges by the learned reward, here the column `learned`: where that rises and
the true score falls, the reward is over-optimised. Its collapses (3 of 10 seeds) came with texts of 90 tokens and more
and a pretrained network of 124 million parameters. That the score counts a text's likelihood, too, attention does not
know.
"""

import numpy as np

from experiments import designs
from experiments.registry import Comparison
from experiments.statistics import area_under_curve

TAGS = ("transformer", "feedback", "published")
BUDGET = 40_000
SEEDS = 20  # collapses are rare
PANELS = {
    "12 tokens": {"updates": 250, "rate": 1e-3, "env_kwargs": {}},
    "38 tokens": {
        "updates": 400, "rate": 2e-3, "env_kwargs": {"tokenizer": {"name": "byte_bpe", "size": 270}, "budget": 64},
    },
}  # fmt: skip
AS_PAID = {"redistribute": "uniform", "redistribute_share": 0.0}  # learnt from as whole texts, as the other arms are
REWARDS = {
    "terminal": {"schedule": "terminal", **AS_PAID},
    "uniform": {"schedule": "terminal", "redistribute": "uniform", "redistribute_share": 0.8},
    "delta": {"schedule": "delta", **AS_PAID},
    "attention": {"schedule": "terminal", "redistribute": "reward_attention", "redistribute_share": 0.8},
}
SEEN = {"env": "textgym/Sentiment-v0", "eval_episodes": 200}
NETWORK = {"layers": 2, "width": 64}
PPO = {
    "steps": BUDGET, "algo": "ppo", "learning_rate": 3e-4, "minibatch": 512, "entropy_weight": 0.0, "n_envs": 64,
    "critic_start": 4000, "kl_in": "reward", "kl_weight": 0.05, "evaluations": 6, **NETWORK,
}  # fmt: skip


def panel(name, updates, rate, env_kwargs):
    """The arms of a panel."""
    seen = {**SEEN, "env_kwargs": env_kwargs}
    likelihood = {"updates": updates, "rate": rate, "batch": 64, "evaluations": 1}
    model = {"judgements": 1000, "error": 0.1, "members": 1, "epochs": 4, "learning_rate": 3e-4}
    arms = {
        "warm_start": {"agent": "likelihood", **likelihood, **NETWORK},
        "judged": {"agent": "experiments.learned:judged", "init": f"{name}/warm_start", **model},
        **{
            arm: {"agent": "experiments.learned:learned", "init": f"{name}/judged", **reward, **PPO}
            for arm, reward in REWARDS.items()
        },
    }
    return {f"{name}/{arm}": {**settings, **seen} for arm, settings in arms.items()}


SETTINGS = {arm: settings for name, own in PANELS.items() for arm, settings in panel(name, **own).items()}
SECONDS = {"12 tokens/warm_start": 15, "38 tokens/warm_start": 50, "judged": 15, **dict.fromkeys(REWARDS, 22)}
SMOKE = designs.SMOKE_LEARNED
PRIMARY = Comparison("attention", "terminal")
COLUMNS = {
    "sampled": "true score, sampled",
    "greedy": "true score, greedy",
    "learned": "learned score, greedy",
    "length": "tokens, greedy",
}


def score(runs):
    """The mean height of the curve of sampled true scores over the tokens (area under it), float (n,)."""
    return np.array([area_under_curve(run.tokens, run.curve("sampled")) for run in runs])
