"""What judgements say about scores, as losses.

A comparison has three outcomes, which Davidson (1970) gives the odds e^(s/2) : e^(t/2) : nu for "the first", "the
second" and "tie" (both divided by e^((s + t)/4) here), s and t being the scores and nu one number for all pairs. It is
one softmax of three logits, and what it says of decided pairs is Bradley-Terry (1952): sigmoid(s - t), whatever nu is.
Rao & Kupper's model (1967) of ties has a threshold instead, and is no softmax.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FIRST, SECOND, TIE = range(3)  # outcomes


def davidson(difference: Tensor, log_nu: Tensor) -> Tensor:
    """Log-probabilities (..., 3) of the outcomes, of differences of scores s - t (...) and log nu ()."""
    logits = torch.stack([difference / 2, -difference / 2, log_nu.expand_as(difference)], -1)
    return logits.log_softmax(-1)


def comparison_loss(difference: Tensor, log_nu: Tensor, outcomes: Tensor) -> Tensor:
    """Minus the log-likelihood (...) of ``outcomes`` int64 (...), in nats."""
    return -davidson(difference, log_nu).gather(-1, outcomes[..., None]).squeeze(-1)


def rating_loss(scores: Tensor, ratings: Tensor) -> Tensor:
    """Squared error (...) of sigmoid(score) against ratings in [0, 1]."""
    return (scores.sigmoid() - ratings).square()


def marks_loss(scores: Tensor, log_nu: Tensor, signs: Tensor, there: Tensor) -> Tensor:
    """A mark compares the text with the token and the text without it: good is better, bad is worse, none is a tie.

    So what a mark teaches is what :class:`~textgym.rewards.Delta` pays for that token.

    Args:
        scores: (B, T + 1) of the prefixes of 0 .. T tokens.
        log_nu: (), of its own: most tokens have no mark.
        signs: int64 (B, T): 1 good, -1 bad, 0 no mark.
        there: bool (B, T), which tokens there are.

    Returns:
        Mean over the tokens of each text, (B,).
    """
    outcomes = torch.where(signs > 0, FIRST, torch.where(signs < 0, SECOND, TIE))
    loss = comparison_loss(scores.diff(dim=1), log_nu, outcomes)
    return F.normalize(there.float(), p=1, dim=1).mul(loss).sum(1)
