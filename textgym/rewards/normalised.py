"""Rewards in the unit of their own running standard deviation."""

from __future__ import annotations

import numpy as np

from textgym.rewards.base import discount, number
from textgym.rewards.modified import ModifiedPay, ModifiedReward


class Normalised(ModifiedReward):
    """Divides the inner reward by the running standard deviation of its discounted return, and clips the quotient.

    As ``VecNormalize`` of Stable-Baselines3 and Gymnasium's ``NormalizeReward`` do for vector environments (the
    latter does not clip). It changes the objective: the unit shrinks and grows while the statistics are learnt, and
    what is clipped is lost. The statistics are over all rows and episodes of one environment (what one row is paid
    depends on the others), which saves them with its state. One term, ``normalised:...``.

    Args:
        reward: the inner reward, any spec.
        gamma: the agent's discount factor, in (0, 1].
        epsilon: added to the variance, above 0.
        clip: the quotient is clipped to [-clip, clip]; above 0. None: it is not, and where the first returns are nearly
            equal the first pay is huge.
    """

    kind = "normalised"
    couples_rows = True

    def __init__(self, reward, gamma: float = 1.0, epsilon: float = 1e-8, clip: float | None = 10.0):
        super().__init__(reward)
        self.gamma = discount(gamma)
        self.epsilon = number("epsilon", epsilon, above=0.0)
        self.clip = np.inf if clip is None else number("clip", clip, above=0.0)

    def start(self, n, rngs, metrics):
        return _Normalised(self, n, rngs, metrics)


class _Normalised(ModifiedPay):
    def __init__(self, recipe, n, rngs, metrics):
        super().__init__(recipe, n, rngs, metrics)
        self.returns = np.zeros(n)  # of each row's episode so far
        # of all returns seen; both libraries begin with a variance of 1 that weighs next to nothing
        self.mean, self.variance, self.count = 0.0, 1.0, 1e-4

    def reset(self, rows, episodes):
        super().reset(rows, episodes)
        self.returns[rows] = 0.0

    def step(self, step):
        recipe, paid = self.recipe, self.inner_pay(step)
        returns = recipe.gamma * step.take(self.returns) + paid
        self.returns = step.put(self.returns, returns)
        self._learn(returns)
        paid = np.clip(paid / np.sqrt(self.variance + recipe.epsilon), -recipe.clip, recipe.clip)
        self.terms = {recipe.name: paid}
        return paid

    def _learn(self, returns: np.ndarray) -> None:
        """Merge the moments of ``returns`` (k,) with those so far (Chan, Golub & LeVeque 1979)."""
        new, total = len(returns), self.count + len(returns)
        away = returns.mean() - self.mean
        squares = self.variance * self.count + returns.var() * new + away**2 * self.count * new / total
        self.mean, self.variance, self.count = float(self.mean + away * new / total), float(squares / total), total
