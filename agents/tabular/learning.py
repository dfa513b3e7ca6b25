"""Q-learning and SARSA: action values in a table, learnt from one token at a time."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium as gym
import numpy as np

from agents.tabular.exploration import EpsilonGreedy, Exploration
from agents.tabular.mdp import MDP, action_values, key_of, shown
from textgym.errors import one_of
from textgym.rewards.base import number

ALGORITHMS = ("q_learning", "sarsa")


class TableAgent:
    """For :func:`agents.evaluation.evaluate`: the best legal token by a table, the first of equals.

    Args:
        table: action values float64 (V,) by :func:`~agents.tabular.mdp.key_of`; of other states it knows nothing, and
            takes the first legal token.
    """

    def __init__(self, table: Mapping[bytes, np.ndarray]):
        self.table = table

    def act(self, observations, action_masks, episodes) -> np.ndarray:
        return self._action_values(observations, action_masks).argmax(1)

    def values(self, observations, action_masks) -> np.ndarray:
        """What the table says of n states, float64 (n,): the value of the best legal action."""
        return self._action_values(observations, action_masks).max(1)

    def _action_values(self, observations, action_masks) -> np.ndarray:
        unknown = np.zeros(action_masks.shape[1])
        q = np.stack([self.table.get(key_of(tokens), unknown) for tokens in shown(observations)])
        return np.where(action_masks, q, -np.inf)


def table_of(mdp: MDP, values: np.ndarray, gamma: float = 1.0) -> dict[bytes, np.ndarray]:
    """The table of action values that follow from values of states (S,)."""
    return dict(zip(mdp.states, action_values(mdp, values, gamma), strict=True))


class Learner:
    """Learns in a single environment, an episode at a time.

    - ``q_learning`` (Watkins 1989): towards reward + gamma * the best value of the next state, whatever is done there.
    - ``sarsa`` (Rummery & Niranjan 1994): towards reward + gamma * the value of the action that is taken there.

    Args:
        env: of ``gym.make``.
        algo: see above.
        exploration: chooses the actions.
        gamma: discount.
        power: the n-th time that an action is taken in a state, its value goes ``n ** -power`` of the way: 0 believes
            the last time, right for Q-learning where nothing is random; 1 is the mean of all times, slow to forget
            the ignorant ones; between 1/2 and 1 it converges, and near 0.85 is best (Even-Dar & Mansour 2003).
        seed: of the episodes and the choices.

    Attributes:
        table: action values float64 (V,) of the states met, at first 0.
    """

    def __init__(
        self,
        env: gym.Env,
        algo: str = "q_learning",
        exploration: Exploration | None = None,
        *,
        gamma: float = 1.0,
        power: float = 0.8,
        seed: int = 0,
    ):
        one_of("algo", algo, ALGORITHMS)
        self.env, self.on_policy, self.gamma = env, algo == "sarsa", number("gamma", gamma, low=0.0, high=1.0)
        self.exploration, self.power = exploration or EpsilonGreedy(), number("power", power, low=0.0, high=1.0)
        self.rng = np.random.default_rng([seed, 2])  # not the stream of the episodes
        self.seed: int | None = seed
        self.table: dict[bytes, np.ndarray] = {}
        self.tried: dict[bytes, np.ndarray] = {}  # state -> int64 (V,), how often each action was taken

    def episode(self) -> float:
        """Write a text and learn from it; returns what it was paid."""
        observation, _ = self.env.reset(seed=self.seed)
        self.seed = None  # the stream goes on
        state, legal = self._met(observation)
        action, ended, total = self._choose(state, legal), False, 0.0
        while not ended:
            observation, reward, ended, _, _ = self.env.step(action)
            total += float(reward)
            target, following = float(reward), (state, action)
            if not ended:
                following_state, legal = self._met(observation)
                following = following_state, self._choose(following_state, legal)
                q = self.table[following_state]
                target += self.gamma * float(q[following[1]] if self.on_policy else q[legal].max())
            self._learn(state, action, target)
            state, action = following
        return total

    def _met(self, observation) -> tuple[bytes, np.ndarray]:
        legal = self.env.unwrapped.action_masks()
        state = key_of(shown(observation))
        if state not in self.table:
            self.table[state], self.tried[state] = np.zeros(len(legal)), np.zeros(len(legal), np.int64)
        return state, legal

    def _choose(self, state: bytes, legal: np.ndarray) -> int:
        running = self.exploration.probabilities(self.table[state], self.tried[state], legal).cumsum()
        return int(np.searchsorted(running, self.rng.random() * running[-1], side="right"))

    def _learn(self, state: bytes, action: int, target: float) -> None:
        self.tried[state][action] += 1
        q = self.table[state]
        q[action] += float(self.tried[state][action]) ** -self.power * (target - q[action])
