"""Reward models: people's judgements become a score of every prefix of a text.

::

    python -m agents.reward_model.train --store feedback.db --env Copy-v0 --folder runs/reward     # -> reward.pt
    train(RewardArgs(store, env="Copy-v0"))           # the same: -> report, a dict of JSON values
    load_scorer("runs/reward/reward.pt")              # -> Scorer: scores of texts, cached token by token
    disagreement("runs/reward/reward.pt")             # what agents.feedback.next_item takes

    losses.py    Davidson's model of comparisons with ties, of two texts or of a text with and without a token
    judged.py    a store's judgements as tensors, some of them held out
    training.py  members of an ensemble: each its own bootstrap, stopped by what it did not draw
    report.py    held-out accuracy, log-loss and calibration, by the number of judgements and the length of prefixes

The metric ``{"name": "learned", "model": "runs/reward/reward.pt"}`` of textgym pays it by any schedule.
"""

from agents.reward_model.choosing import disagreement
from agents.reward_model.scorer import Scorer, load_scorer

__all__ = ["Scorer", "disagreement", "load_scorer"]
