"""Which reward credits the right token, before anything is learnt from it?

Texts of a warm-started policy on spelling correction. How much each of their tokens changed the true score that the
policy comes to is measured by letting it go on many times before and after the token (Monte Carlo; the state of the
environment is put back for that). Against these advantages stands the credit that a reward gives the token, by four
estimators, one panel each: what is paid for it; what is paid from it on; GAE (lambda 0.95) and the one-step error, with
a critic that is fitted to this reward. Nothing is trained but the warm start and the critics.

Hypothesis: what the true score's change pays a token (Delta) has a higher rank correlation with its advantage than what
the end pays (Terminal), through GAE with a critic as PPO uses it; by payments alone it is far higher, since Terminal
pays nearly all tokens nothing.

Controls: `halves`, the advantages of one half of the continuations against those of the other: from their correlation r
follows what a perfect credit would have with the mean of all, sqrt(2r / (1 + r)); Constant, which knows nothing of the
text; `optimistic`, a potential, which has the return of Terminal.

Refuted where the interval of Delta - Terminal (rank correlation, in the panel of GAE) lies below 0. A correlation over
all tokens of all texts is what a batch of PPO sees; that credit is right does not show that more is learnt from it.
"""

import time
from pathlib import Path

import numpy as np

from experiments import arms
from experiments.registry import Comparison
from experiments.statistics import rank_correlation

TAGS = ("transformer", "theory", "published")
BUDGET = 20_000  # tokens that a critic is fitted to
SEEDS = 10
THIS = "experiments.suite.credit"
ESTIMATORS = ("payment", "to_go", "gae", "one_step")
SEEN = {"env": "textgym/Spelling-v0", "texts": 100}
REWARDS = {
    "terminal": "terminal",
    "delta": "delta",
    "delayed": {"name": "delayed", "reward": "delta", "k": 3},
    "optimistic": {"name": "potential", "metric": {"name": "optimistic_edit_distance"}, "base": "terminal"},
    "every_step": "every_step",
    "constant": "constant",
}
SETTINGS = {
    "halves": {
        "agent": f"{THIS}:truth", **SEEN, "copies": 64, "eval_episodes": 300, "updates": 600, "layers": 2, "width": 64,
    },
    **{
        f"{estimator}/{arm}": {
            "agent": f"{THIS}:measure", "init": "halves", **SEEN, "reward": reward, "estimator": estimator,
            "fit": BUDGET if estimator in ("gae", "one_step") else 0,
        }
        for estimator in ESTIMATORS
        for arm, reward in REWARDS.items()
    },
}  # fmt: skip
SECONDS = {arm: 90 if arm == "halves" else 5 if settings["fit"] else 1 for arm, settings in SETTINGS.items()}
SMOKE = {
    f"{THIS}:truth": {"texts": 4, "copies": 2, "eval_episodes": 8, "updates": 2, "layers": 1, "width": 16},
    f"{THIS}:measure": {"texts": 4, "fit": 300},
}
PRIMARY = Comparison("delta", "terminal", panel="gae")
CERTAIN = 2.0  # standard errors, from which on the sign of an advantage is known


def score(runs):
    """Rank correlation of credit and advantage, float (n,)."""
    return np.array([run.last("rank_correlation") for run in runs])


def truth(run, folder: Path, start, *, env: str, texts: int, copies: int, eval_episodes: int, **training):
    """A warm start, texts of it, and what their tokens were worth; all in the checkpoint."""
    import torch

    from agents.files import replacing
    from agents.transformer.checkpoints import load_policy, read_checkpoint
    from experiments import credit

    warm = arms.likelihood(run, folder, start, env=env, eval_episodes=eval_episodes, evaluations=1, **training)
    policy, _ = load_policy(warm.checkpoint)
    written = credit.sampled(policy, credit.rows(env, texts, "terminal"), run.seed)
    rows = credit.rows(env, texts * copies, "terminal")
    found = credit.advantages(policy, rows, written, copies, run.seed)[:, written.there]  # (copies, M)
    halves = found[: copies // 2].mean(0), found[copies // 2 :].mean(0)
    mean, error = found.mean(0), found.std(0, ddof=1) / copies**0.5
    saved = {"actions": written.actions, "lengths": written.lengths, "mean": mean, "error": error}
    path = folder / "truth.pt"
    with replacing(path) as file:
        tensors = {name: torch.from_numpy(each) for name, each in saved.items()}
        torch.save({**read_checkpoint(warm.checkpoint), "credit": tensors}, file)
    row = {**warm.evaluations[-1], **_agreement(halves[0], halves[1], np.abs(mean) > CERTAIN * error)}
    return arms.Outcome([row], warm.fingerprint, warm.config, path)


def measure(run, folder: Path, start: Path, *, env: str, texts: int, reward, estimator: str, fit: int):
    """The credit that a reward gives the tokens of the checkpoint's texts.

    Args:
        fit: tokens to fit a critic to; 0: none is needed.
    """
    import gymnasium as gym
    import torch

    from agents.transformer.checkpoints import load_policy, read_checkpoint
    from agents.transformer.critic import fit_values
    from agents.transformer.settings import TrainArgs
    from agents.transformer.trainer import Trainer
    from experiments import credit

    began = time.monotonic()
    saved = {name: each.numpy() for name, each in read_checkpoint(start)["credit"].items()}
    policy, config = load_policy(start)
    explained = None
    if fit:
        torch.manual_seed(run.seed)
        rows = gym.make_vec(env, num_envs=64, autoreset_mode="SameStep", copy=False, reward=reward)
        explained = fit_values(Trainer(TrainArgs(env=env, seed=run.seed, reward=reward), rows, policy), fit)
        policy.eval()
    written = credit.Texts(saved["actions"], saved["lengths"])
    given = credit.credit(estimator, credit.rows(env, texts, reward), written, policy)[written.there]
    row = _agreement(given, saved["mean"], np.abs(saved["mean"]) > CERTAIN * saved["error"])
    row |= {"tokens": fit, "explained": explained, "terms": {}, "wall_s": round(time.monotonic() - began, 2)}
    return arms.Outcome([row], config["fingerprint"], {**run.settings, "versions": config["versions"]})


def _agreement(credit: np.ndarray, advantage: np.ndarray, certain: np.ndarray) -> dict[str, float | None]:
    """Rank and linear correlation over M tokens, and the share of right signs among those that are ``certain``, bool
    (M,), once the credit is centred as PPO centres it; where the credit is equal for all, half of the signs."""
    centred = credit - credit.mean()
    flat = np.ptp(credit) < 1e-9
    signs = np.where(flat, 0.5, np.sign(centred) == np.sign(advantage))
    linear = 0.0 if flat or np.ptp(advantage) == 0 else float(np.corrcoef(credit, advantage)[0, 1])
    return {
        "rank_correlation": 0.0 if flat else rank_correlation(credit, advantage),
        "correlation": linear,
        "right_signs": float(signs[certain].mean()) if certain.any() else None,
        "certain": int(certain.sum()),
    }
