"""How a learner tries what it does not know yet: probabilities of actions, from their values and past tries."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from textgym.rewards.base import number


class Exploration(ABC):
    """A rule that chooses actions."""

    @abstractmethod
    def probabilities(self, q: np.ndarray, tried: np.ndarray, legal: np.ndarray) -> np.ndarray:
        """Of the V actions in one state, float64 (V,), 0 for illegal ones.

        Args:
            q: float64 (V,), their values.
            tried: int64 (V,), how often each was taken here.
            legal: bool (V,), at least one.
        """


def greedy(q: np.ndarray, legal: np.ndarray) -> np.ndarray:
    """Equal probabilities (V,) of the best legal actions."""
    best = legal & (q == q[legal].max())
    return best / best.sum()


class EpsilonGreedy(Exploration):
    """A random legal action with probability ``epsilon``, else the best (Watkins 1989)."""

    def __init__(self, epsilon: float = 0.1):
        self.epsilon = number("epsilon", epsilon, low=0.0, high=1.0)

    def probabilities(self, q, tried, legal):
        return (1 - self.epsilon) * greedy(q, legal) + self.epsilon * legal / legal.sum()


class Softmax(Exploration):
    """In proportion to exp(q / ``temperature``): Boltzmann exploration (Watkins 1989; Sutton & Barto 1998, 2.3)."""

    def __init__(self, temperature: float = 0.1):
        self.temperature = number("temperature", temperature, above=0.0)

    def probabilities(self, q, tried, legal):
        weights = np.where(legal, np.exp((q - q[legal].max()).clip(max=0.0) / self.temperature), 0.0)
        return weights / weights.sum()


class UCB(Exploration):
    """The highest upper confidence bound, q + ``weight`` sqrt(2 ln N / n) after n of the state's N visits; what was
    never tried comes first. Auer, Cesa-Bianchi & Fischer 2002 (UCB1), for rewards in [0, 1], weight 1."""

    def __init__(self, weight: float = 1.0):
        self.weight = number("weight", weight, low=0.0)

    def probabilities(self, q, tried, legal):
        untried = legal & (tried == 0)
        if untried.any():
            return untried / untried.sum()
        bonus = np.sqrt(2 * np.log(tried.sum()) / np.maximum(tried, 1))
        return greedy(q + self.weight * bonus, legal)


EXPLORATIONS: dict[str, type[Exploration]] = {"epsilon_greedy": EpsilonGreedy, "softmax": Softmax, "ucb": UCB}
