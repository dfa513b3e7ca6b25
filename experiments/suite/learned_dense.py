"""When should a learned reward be paid: at the end, uniformly, as it changes, or as its model looked at the text?

Rests of reviews that are to turn out positive, in words (about 12 tokens a text) and in pieces of words (about 38). A
policy is warm-started by likelihood, texts of it are compared by a simulated annotator who errs in 1 of 10 answers, and
a reward model is trained on the comparisons, beginning with the policy's network. All arms of a seed start from that
policy and are paid by that model alone, near to the start by a KL penalty; they differ in when they are paid.

Hypothesis (Chan et al. 2024, ABC): redistributed by the reward model's own attention, 0.8 of it, the reward is learnt
from faster than paid at the end; paid uniformly, 0.8 of it, it is learnt from slower in short texts, faster in long
ones. Prefix differences (Delta, the RED of Li et al. 2024) stand beside them. All have the same return.

Controls: `judged`, the warm start as it is, with the accuracy of its reward model; `shuffled_texts`, the pay of another
text (is there anything in it?). All arms learn from whole texts by the same estimator, and their critics are fitted
beforehand to what they are paid.

Refuted where the interval of attention - terminal (mean height of the curve of sampled true scores, each seed: the mean
of both panels) lies below 0. The paper judges by the learned reward, which is in the column `return`; a true score that
falls while it rises is over-optimisation. Its collapses (3 of 10 seeds) came at 90 tokens and more, with a pretrained
network of 124 million parameters.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments import arms, designs
from experiments.registry import Comparison
from experiments.statistics import area_under_curve

TAGS = ("transformer", "feedback", "published")
BUDGET = 60_000
SEEDS = 20
THIS = "experiments.suite.learned_dense"
PANELS = {
    "12 tokens": {"updates": 150, "rate": 1e-3, "env_kwargs": {}},
    "38 tokens": {
        "updates": 400, "rate": 2e-3, "env_kwargs": {"tokenizer": {"name": "byte_bpe", "size": 270}, "budget": 64},
    },
}  # fmt: skip
# as it was paid: nothing of it is redistributed
REWARDS = {
    "terminal": {"schedule": "terminal", "redistribute": "uniform", "redistribute_share": 0.0},
    "uniform": {"schedule": "terminal", "redistribute": "uniform", "redistribute_share": 0.8},
    "delta": {"schedule": "delta", "redistribute": "uniform", "redistribute_share": 0.0},
    "attention": {"schedule": "terminal", "redistribute": "reward_attention", "redistribute_share": 0.8},
    "shuffled_texts": {"schedule": "terminal", "redistribute": "shuffled_texts"},
}
SEEN = {"env": "textgym/Sentiment-v0", "eval_episodes": 200, "layers": 2, "width": 64}
TRAINER = {
    "algo": "ppo", "gamma": 1.0, "lam": 0.95, "learning_rate": 3e-4, "minibatch": 512, "entropy_weight": 0.0,
    "n_envs": 64, "kl_weight": 0.02, "kl_in": "reward", "critic_start": 4000, "steps": BUDGET, "evaluations": 8,
}  # fmt: skip
SETTINGS = {
    arm: settings
    for panel, of_panel in PANELS.items()
    for arm, settings in {
        f"{panel}/judged": {
            "agent": f"{THIS}:judged", "prompts": 150, "each": 4, "comparisons": 600, "error": 0.1, **SEEN, **of_panel,
        },
        **{
            f"{panel}/{arm}": {
                "agent": f"{THIS}:paid", "init": f"{panel}/judged", "env_kwargs": of_panel["env_kwargs"], **reward,
                **SEEN, **TRAINER,
            }
            for arm, reward in REWARDS.items()
        },
    }.items()
}  # fmt: skip
SECONDS = {arm: 30 for arm in SETTINGS}
_COPY = {"env": "textgym/Copy-v0", "env_kwargs": {}}  # where the texts of a beginner differ in what they score
SMOKE = {
    f"{THIS}:judged": {**_COPY, "eval_episodes": 8, "layers": 1, "width": 16, "updates": 2, "prompts": 16, "each": 2},
    f"{THIS}:paid": {**_COPY, **designs.SMOKE["transformer"]},
}
PRIMARY = Comparison("attention", "terminal")
COLUMNS = {
    "sampled": "true score, sampled",
    "greedy": "true score, greedy",
    "return": "learned score, greedy",
    "length": "tokens, greedy",
}


def score(runs):
    """The mean height of the curve of sampled true scores over the tokens (area under it), float (n,)."""
    return np.array([area_under_curve(run.tokens, run.curve("sampled")) for run in runs])


def judged(
    run, folder: Path, start, *, env: str, eval_episodes: int, prompts: int, each: int, comparisons: int, error: float,
    env_kwargs: dict, **likelihood,
):  # fmt: skip
    """A warm start, comparisons of its texts, and a reward model of them; the last is in the checkpoint, too."""
    import torch

    from agents.feedback.sample import SampleArgs, sample
    from agents.feedback.simulated import SimulatedAnnotator
    from agents.feedback.store import Store
    from agents.files import replacing
    from agents.reward_model import scorer, train
    from agents.transformer.checkpoints import read_checkpoint

    seen = {"env": env, "env_kwargs": env_kwargs}
    warm = arms.likelihood(run, folder, start, **seen, eval_episodes=eval_episodes, evaluations=1, **likelihood)
    store = folder / "feedback.db"
    sample(SampleArgs(store, str(warm.checkpoint), prompts, each, seed=run.seed * each, progress=False))
    with Store(store) as opened:
        SimulatedAnnotator(error, seed=run.seed).annotate(opened, "comparison", comparisons)
    model = folder / "reward" / "reward.pt"
    settings = {"members": 1, "halvings": 0, "seed": run.seed, "device": "cpu", "progress": False, "overwrite": True}
    report = train.train(train.RewardArgs(store, **seen, folder=model.parent, init=warm.checkpoint, **settings))
    path = folder / "judged.pt"
    with replacing(path) as file:
        torch.save({**read_checkpoint(warm.checkpoint), "reward_model": scorer.read(model)}, file)
    of_model = report["curve"][-1]["comparisons"]
    row = {**warm.evaluations[-1], **{name: of_model.get(name) for name in ("decided", "accuracy", "true_score")}}
    return arms.Outcome([row], warm.fingerprint, warm.config, path)


def paid(run, folder: Path, start: Path, *, schedule: str, **settings):
    """PPO, paid by the reward model in the checkpoint alone."""
    import torch

    from agents.files import replacing
    from agents.transformer.checkpoints import read_checkpoint

    model = folder / "reward.pt"
    with replacing(model) as file:
        torch.save(read_checkpoint(start)["reward_model"], file)
    reward = {"name": schedule, "metric": {"name": "learned", "model": str(model)}}
    outcome = arms.transformer(run, folder, start, reward=reward, **settings)
    # where the model lay is no setting
    return replace(outcome, config={**outcome.config, "reward": f"{schedule}:learned"})
