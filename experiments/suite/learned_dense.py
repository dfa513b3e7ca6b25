"""When should a learned reward be paid: at the end, uniformly, as it changes, or as its model looked at the text?

Rests of reviews that are to turn out positive, in words (about 12 tokens a text; start and reward model are those of
`overoptimisation`) and in pieces of words (about 38). A simulated annotator, who errs in one comparison of ten,
compares texts of a warm start; a reward model that begins as the warm start learns from that. All arms of a seed start
from that policy and are paid by that model alone, near to the start by a KL penalty; they differ in when they are paid.

Hypothesis: redistributed by the reward model's own attention, 0.8 of it, the reward is learnt from faster than paid at
the end; paid uniformly, 0.8 of it, slower in the short texts, faster in the long ones (ABC, Chan et al. 2024). Prefix
differences (`delta`; RED, Li et al. 2024) stand beside them. All have the same return.

Controls: the warm start as it is, with its reward model's held-out accuracy and the Bayes limit (`judged`). All arms
learn from whole texts, with the same estimator, and their critics are fitted beforehand to what they are paid.

Refuted where the interval of attention - terminal (mean height of the curve of sampled true scores, each seed: the mean
of both panels) lies below 0. The paper judges by the learned reward, here the column `learned`: where that rises and
the true score falls, the reward is over-optimised. Its collapses (3 of 10 seeds) came with texts of 90 tokens and more
and a pretrained network of 124 million parameters; here both panels together have 20 runs an arm. That the score counts
a text's likelihood, too, attention does not know.

One further question, asked when redistributed pay had made texts longer: `constant` pays 1 at the end of any text,
`constant_uniform` redistributes that. A token is learnt from by what is paid from it on, and of a redistributed reward
more lies ahead where the text goes on, though its sum is the same: the second arm should lengthen texts, too.

Settings are from seed 0, which is none of these runs. At a learning rate of 1e-3, with critics fitted to 4,000 tokens,
the first updates spoilt the start: sampled scores of short texts fell from 0.77 to between 0.42 and 0.70 with
minibatches of 512, to 0.73 and 0.65 with 2,048. As they are now, terminal went from 0.77 to 0.85 there, attention to
0.83. In the long texts (100,000 tokens, 3,000 comparisons) the learned score rose with terminal, the true one did not.
"""

import numpy as np

from experiments import designs
from experiments.registry import Comparison
from experiments.statistics import area_under_curve
from experiments.suite.overoptimisation import SETTINGS as OVEROPTIMISATION

TAGS = ("transformer", "feedback", "published")
BUDGET = 80_000
SEEDS = 10
AS_PAID = {"redistribute": "uniform", "redistribute_share": 0.0}  # learnt from as whole texts, as the other arms are
REWARDS = {
    "terminal": {"schedule": "terminal", **AS_PAID},
    "uniform": {"schedule": "terminal", "redistribute": "uniform", "redistribute_share": 0.8},
    "delta": {"schedule": "delta", **AS_PAID},
    "attention": {"schedule": "terminal", "redistribute": "reward_attention", "redistribute_share": 0.8},
}
WORDS = {arm: OVEROPTIMISATION[f"sentiment/{arm}"] for arm in ("warm_start", "judged")}
OF_PIECES = {"env_kwargs": {"tokenizer": {"name": "byte_bpe", "size": 270}, "budget": 64}, "eval_episodes": 200}
PIECES = {
    "warm_start": {**WORDS["warm_start"], "updates": 800, "rate": 2e-3, **OF_PIECES},
    "judged": {**WORDS["judged"], "judgements": 1500, **OF_PIECES},
}
PPO = {
    **OVEROPTIMISATION["sentiment/kl"], "learning_rate": 3e-4, "critic_start": 16_000,
    "evaluations": 5, "measure_kl": False,
}  # fmt: skip


def panel(name, start, steps, changes):
    """The arms of a panel."""
    ppo = {**PPO, "init": f"{name}/judged", "steps": steps, **changes}
    arms = {
        "warm_start": start["warm_start"],
        "judged": {**start["judged"], "init": f"{name}/warm_start"},
        **{arm: {**ppo, **reward} for arm, reward in REWARDS.items()},
    }
    return {f"{name}/{arm}": settings for arm, settings in arms.items()}


SETTINGS = panel("12 tokens", WORDS, 60_000, {}) | panel("38 tokens", PIECES, BUDGET, OF_PIECES)
for _arm, _paid in {"constant": AS_PAID, "constant_uniform": REWARDS["uniform"]}.items():
    _learned = {**SETTINGS["38 tokens/terminal"], **_paid, "agent": "transformer", "reward": "constant"}
    SETTINGS[f"38 tokens/{_arm}"] = {flag: value for flag, value in _learned.items() if flag != "schedule"}
SECONDS = {
    "12 tokens/warm_start": 50, "12 tokens/judged": 55, "38 tokens/warm_start": 80, "38 tokens/judged": 50,
    **{f"{name}/{arm}": cost for name, cost in (("12 tokens", 38), ("38 tokens", 48)) for arm in REWARDS},
    "constant": 40, "constant_uniform": 40,
}  # fmt: skip
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
    return np.array([
        run.last("sampled") if run.arm.endswith("/warm_start") else area_under_curve(run.tokens, run.curve("sampled"))
        for run in runs  # the warm start's own training is not looked at
    ])  # fmt: skip
