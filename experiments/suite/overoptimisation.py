"""A policy that is paid by a reward model alone: does the true score rise, and does it fall again without a KL?

Two tasks with the cached Transformer: spelling correction from the converged warm start of warm_start_and_reward, and
rests of reviews that are to turn out positive, from 1,000 updates of likelihood. A simulated annotator, who errs in one
comparison of ten, compares 3,000 pairs of texts of the warm start; a reward model of three members (Sentiment: one),
which begin as the warm start, learns from that; PPO from the same warm start is paid what it says at the end of a text
(Gao et al. 2023). True score, learned score and KL to the warm start are looked at on the way.

Hypothesis: with the KL to the warm start in the reward (`kl`) the last true score is better than without (`none`),
which goes on being paid more while the true score falls. Taking off the members' disagreement (`penalty`; Coste et al.
2024) helps, too.

Controls: the warm start as it is (does `kl` beat it?), sampled at the best temperature also; `kl` without a judgement,
paid by the reward model as it begins, which says what the warm start finds likely (`start_likelihood`; that model's
accuracy is in `unjudged`); the true score paid (`true`), which is as good as the reward can be. The record of `judged`
has the reward model's held-out accuracy, and the Bayes limit.

Judged by the likeliest text in Spelling, in Sentiment by sampled ones: the likeliest often says a sentence twice there,
which those that are judged seldom do, and on seed 0 it scored 0.87 to 0.98, up and down, in 500 to 2,000 updates.
Refuted where the interval of kl - none (last true score, each seed: the mean of both panels) lies below 0; where it
holds 0, no over-optimisation was shown.

Settings are from seed 0, which is none of these runs. Spelling: with one member `kl` went from 0.755 to 0.766 there,
`none` to 0.761 and back to 0.754, while what it was paid went on rising. Sentiment: `kl` went from 0.77 to 0.88, `none`
to 0.85, its likeliest texts from 0.89 down to 0.82, both being paid 0.72 in place of 0.65. The learning rate is one at
which that shows: at 3e-4 `kl` went to 0.86, `none` to 0.88, `true` to 0.91. The warm start sampled at its best
temperature scores 0.99: what is gained here sharper sampling has, too. From 2,000 updates (0.93) `kl` gained nothing.
"""

import numpy as np

from experiments import designs
from experiments.registry import Comparison
from experiments.suite.warm_start_and_reward import SETTINGS as SETTINGS_OF_START
from experiments.suite.warm_start_and_reward import TRAINER

TAGS = ("transformer", "feedback", "published")
BUDGET = 120_000
SEEDS = 10
STARTS = {
    "spelling": SETTINGS_OF_START["converged/warm_start"],
    "sentiment": {
        "agent": "likelihood", "env": "textgym/Sentiment-v0", "eval_episodes": 500, "updates": 1000, "rate": 1e-3,
        "batch": 64, "layers": 2, "width": 64,
    },
}  # fmt: skip
OF_PPO = {"spelling": {}, "sentiment": {"n_envs": 256, "learning_rate": 1e-3}}  # reviews: two texts a row and update
MEMBERS = {"spelling": 3, "sentiment": 1}
JUDGED = {
    "agent": "experiments.learned:judged", "judgements": 3000, "error": 0.1, "epochs": 4, "learning_rate": 3e-4,
}  # fmt: skip
PPO = {"steps": BUDGET, **TRAINER, "kl_in": "reward", "measure_kl": True, "evaluations": 6}
KL = 0.05


def panel(name: str, start: dict) -> dict[str, dict]:
    """The arms that both panels have."""
    seen = {of: start[of] for of in ("env", "eval_episodes")}
    ppo = {"init": f"{name}/judged", **PPO, **OF_PPO[name], **{of: start[of] for of in ("layers", "width")}, **seen}
    learned = {"agent": "experiments.learned:learned", "schedule": "terminal", **ppo}
    arms = {
        "warm_start": start,
        "tuned_temperature": {
            "agent": "temperature", "init": f"{name}/warm_start", "temperatures": designs.TEMPERATURES, **seen,
        },
        "judged": {**JUDGED, "members": MEMBERS[name], "init": f"{name}/warm_start", **seen},
        "true": {"agent": "transformer", "reward": "terminal", **ppo},
        "none": learned,
        "kl": {**learned, "kl_weight": KL},
    }  # fmt: skip
    return {f"{name}/{arm}": settings for arm, settings in arms.items()}


SETTINGS = {arm: settings for name, start in STARTS.items() for arm, settings in panel(name, start).items()}
SETTINGS |= {
    "spelling/penalty": {**SETTINGS["spelling/none"], "penalty": 1.0},
    "spelling/kl_and_penalty": {**SETTINGS["spelling/kl"], "penalty": 1.0},
    "spelling/unjudged": {**SETTINGS["spelling/judged"], "members": 1, "epochs": 0},
    "spelling/start_likelihood": {**SETTINGS["spelling/kl"], "init": "spelling/unjudged"},
}
SECONDS = {
    "spelling/warm_start": 300, "sentiment/warm_start": 50, "tuned_temperature": 20, "spelling/judged": 125,
    "sentiment/judged": 55, "unjudged": 60, "true": 45,
    **dict.fromkeys(("none", "kl", "penalty", "kl_and_penalty", "start_likelihood"), 75),
    "sentiment/true": 45, "sentiment/none": 55, "sentiment/kl": 55,
}  # fmt: skip
SMOKE = designs.SMOKE_LEARNED
PRIMARY = Comparison("kl", "none")
COLUMNS = {
    "greedy": "true score, greedy",
    "sampled": "true score, sampled",
    "learned": "learned score, greedy",
    "start_kl": "KL to the warm start (nats)",
}


def score(runs):
    """The last true score, of sampled texts in the panel sentiment, else of the likeliest ones, float (n,)."""
    return np.array([run.last("sampled" if run.arm.startswith("sentiment/") else "greedy") for run in runs])
