"""WHEN and HOW a metric is paid: the contract of reward functions, and their sums."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real

import numpy as np

from textgym.episode import Episode, Step
from textgym.running import Recipe, RunningState


class RewardState(RunningState, ABC):
    """A reward along the n rows of one environment.

    Attributes:
        terms: name -> float64 (k,): what the last step paid, term by term; they sum to the reward.
        takes_scalars: :meth:`step` is also right for a step of one row that holds scalars.
    """

    takes_scalars: bool = False

    terms: dict[str, np.ndarray]

    @abstractmethod
    def reset(self, rows: np.ndarray, episodes: Sequence[Episode]) -> None:
        """Begin new episodes in ``rows``."""

    @abstractmethod
    def step(self, step: Step) -> np.ndarray:
        """What each row of the step is paid, a fresh float64 (k,). Sets ``terms``."""


class RewardFunction(Recipe, ABC):
    """The recipe of a reward. Immutable, shared freely between environments.

    Attributes:
        name: what its term is called in ``info["reward_terms"]``.
        needs_text: whether :class:`Step` must carry decoded text.
        couples_rows: whether what one row is paid depends on the others.
    """

    name: str = ""
    needs_text: bool = True
    couples_rows: bool = False

    @abstractmethod
    def start(self, n: int, rngs: Sequence[np.random.Generator], vocabulary=None) -> RewardState:
        """The running state for n rows.

        Args:
            n: number of rows.
            rngs: one generator a row, for rewards that draw random numbers. The environment replaces
                its items when a row is seeded: keep the sequence, not the items.
            vocabulary: the environment's :class:`~textgym.tokenizers.Vocabulary`.
        """

    def resolve(self, task) -> RewardFunction:
        """This reward with metrics given by name, or left out, looked up for ``task``."""
        return self

    def __add__(self, other: RewardFunction) -> RewardFunction:
        if not isinstance(other, RewardFunction):
            return NotImplemented
        return Sum([*_weighted(self), *_weighted(other)])

    def __radd__(self, other: int) -> RewardFunction:
        return self if other == 0 else NotImplemented  # sum([...]) begins with 0

    def __mul__(self, weight: float) -> RewardFunction:
        if not isinstance(weight, Real):
            return NotImplemented
        return Sum([(float(weight) * w, term) for w, term in _weighted(self)])

    __rmul__ = __mul__

    def __neg__(self) -> RewardFunction:
        return self * -1.0

    def __sub__(self, other: RewardFunction) -> RewardFunction:
        return self + -other

    def __repr__(self) -> str:
        return f"<reward {self.name}>"


def _weighted(reward: RewardFunction) -> Sequence[tuple[float, RewardFunction]]:
    return reward.parts if isinstance(reward, Sum) else [(1.0, reward)]


class Sum(RewardFunction):
    """A weighted sum of rewards; each part keeps its own term, weight included.

    Args:
        parts: pairs of weight and reward. Two parts of one name become ``name`` and ``name#2``.
    """

    def __init__(self, parts: Sequence[tuple[float, RewardFunction]]):
        if not parts:
            raise ValueError("a sum of rewards needs at least one reward")
        for weight, _ in parts:
            if not np.isfinite(weight):
                raise ValueError(f"the weight of a reward must be a finite number, got {weight}")
        self.parts = tuple(parts)
        self.name = " + ".join(part.name if weight == 1.0 else f"{weight:g}*{part.name}" for weight, part in parts)
        self.needs_text = any(part.needs_text for _, part in parts)
        self.couples_rows = any(part.couples_rows for _, part in parts)

    def resolve(self, task):
        return Sum([(weight, part.resolve(task)) for weight, part in self.parts])

    def start(self, n, rngs, vocabulary=None):
        return _RunningSum([w for w, _ in self.parts], [part.start(n, rngs, vocabulary) for _, part in self.parts])


class _RunningSum(RewardState):
    def __init__(self, weights: list[float], states: list[RewardState]):
        self.weights = weights
        self.states = states
        self.takes_scalars = all(state.takes_scalars for state in states)
        self.terms = {}

    def reset(self, rows, episodes):
        for state in self.states:
            state.reset(rows, episodes)

    def step(self, step):
        total = 0.0
        terms: dict[str, np.ndarray] = {}
        for weight, state in zip(self.weights, self.states, strict=True):
            total = total + weight * state.step(step)
            for name, paid in state.terms.items():
                key, copies = name, 1
                while key in terms:
                    copies += 1
                    key = f"{name}#{copies}"
                terms[key] = weight * paid
        self.terms = terms
        return total
