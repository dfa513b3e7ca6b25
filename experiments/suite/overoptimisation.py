"""A policy that is paid by a reward model alone: does the true score rise, and does it fall again without a KL?

Spelling correction with the cached Transformer, from the converged warm start of warm_start_and_reward. A simulated
annotator, who errs in one comparison of ten, compares 3,000 pairs of its texts; a reward model of three members, which
begin as the warm start, learns from that; PPO from the same warm start is paid what it says at the end of a text (Gao
et al. 2023). True score, learned score and KL to the warm start are looked at on the way.

Hypothesis: with the KL to the warm start in the reward (`kl`) the last greedy true score is better than without
(`none`), which goes on being paid more while the true score falls. Taking off the members' disagreement (`penalty`;
Coste et al. 2024) helps, too.

Controls: the warm start as it is (does `kl` beat it?), sampled at the best temperature also; the true score paid
(`true`), which is as good as the reward can be; the record of `judged` has the reward model's held-out accuracy, and
the Bayes limit.

Refuted where the interval of kl - none (last greedy true score, paired by seed) lies below 0; where it holds 0, no
over-optimisation was shown. Settings are from seed 0, which is none of these runs: with one member `kl` went from 0.755
to 0.766 there, `none` to 0.761 and back to 0.754, while what it was paid went on rising.
"""

from experiments import designs, scores
from experiments.registry import Comparison
from experiments.suite.warm_start_and_reward import SETTINGS as SETTINGS_OF_START
from experiments.suite.warm_start_and_reward import TRAINER

TAGS = ("transformer", "feedback")
BUDGET = 120_000
SEEDS = 10
STARTS = {
    "spelling": SETTINGS_OF_START["converged/warm_start"],
    "sentiment": {
        "agent": "likelihood", "env": "textgym/Sentiment-v0", "eval_episodes": 500, "updates": 1000, "rate": 1e-3,
        "batch": 64, "layers": 2, "width": 64,
    },
}  # fmt: skip
JUDGED = {
    "agent": "experiments.learned:judged", "judgements": 3000, "error": 0.1, "members": 3, "epochs": 4,
    "learning_rate": 3e-4,
}  # fmt: skip
PPO = {"steps": BUDGET, **TRAINER, "kl_in": "reward", "measure_kl": True, "evaluations": 6}
KL = 0.05


def panel(name: str, start: dict) -> dict[str, dict]:
    """The arms that both panels have."""
    seen = {of: start[of] for of in ("env", "eval_episodes")}
    ppo = {"init": f"{name}/judged", **PPO, **{of: start[of] for of in ("layers", "width")}, **seen}
    learned = {"agent": "experiments.learned:learned", "schedule": "terminal", **ppo}
    arms = {
        "warm_start": start,
        "judged": {**JUDGED, "init": f"{name}/warm_start", **seen},
        "true": {"agent": "transformer", "reward": "terminal", **ppo},
        "none": learned,
        "kl": {**learned, "kl_weight": KL},
    }
    return {f"{name}/{arm}": settings for arm, settings in arms.items()}


SETTINGS = {arm: settings for name, start in STARTS.items() for arm, settings in panel(name, start).items()}
SETTINGS |= {
    "spelling/tuned_temperature": {
        "agent": "temperature", "init": "spelling/warm_start", "temperatures": [0.1, 0.2, 0.4, 0.6, 0.8, 1.0],
        **{of: STARTS["spelling"][of] for of in ("env", "eval_episodes")},
    },
    "spelling/penalty": {**SETTINGS["spelling/none"], "penalty": 1.0},
    "spelling/kl_and_penalty": {**SETTINGS["spelling/kl"], "penalty": 1.0},
    "spelling/unjudged": {**SETTINGS["spelling/judged"], "members": 1, "epochs": 0},
    "spelling/start_likelihood": {**SETTINGS["spelling/kl"], "init": "spelling/unjudged"},
}  # fmt: skip
SECONDS = {
    "spelling/warm_start": 300, "sentiment/warm_start": 60, "judged": 150, "unjudged": 60, "tuned_temperature": 10,
    "true": 45, **dict.fromkeys(("none", "kl", "penalty", "kl_and_penalty", "start_likelihood"), 75),
}  # fmt: skip
SMOKE = designs.SMOKE_LEARNED
PRIMARY = Comparison("kl", "none")
COLUMNS = {
    "greedy": "true score, greedy",
    "learned": "learned score, greedy",
    "start_kl": "KL to the warm start (nats)",
}
score = scores.last_greedy
