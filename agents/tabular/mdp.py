"""Small environments as tables: all their states, what each token pays and leads to, and what can be had at best.

A state is what the environment shows, prompt and text so far. As every text ends, a table of a prompt is a tree, which
is found by writing all texts there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from textgym.envs.vector import TextGenVectorEnv


@dataclass(frozen=True)
class MDP:
    """A Markov decision process of S states and V actions.

    Attributes:
        states: the state's number by :func:`key_of` of what is shown.
        starts: int64 (E,), the state in which each episode begins.
        rewards: float64 (S, V).
        following: int64 (S, V), the next state; S where the text ends.
        legal: bool (S, V); of illegal actions the tables say nothing.
    """

    states: dict[bytes, int]
    starts: np.ndarray
    rewards: np.ndarray
    following: np.ndarray
    legal: np.ndarray


def key_of(tokens: np.ndarray) -> bytes:
    """The state of an observation, int32 (L,)."""
    return tokens.tobytes()


def shown(observations) -> np.ndarray:
    """The tokens of observations, int32 (L,) or (n, L), masks left aside."""
    return observations["tokens"] if isinstance(observations, dict) else observations


def enumerated(
    env: TextGenVectorEnv,
    indices: Iterable[int],
    max_states: int = 50_000,
    progress: Callable[[int], object] = lambda states: None,
) -> MDP:
    """All that can be written in some fixed episodes.

    Each text is written anew from its prompt, in all rows at once; which rows there are makes no difference.

    Args:
        env: with ``autoreset_mode="Disabled"``; its reward depends on prompt and text alone.
        indices: of the episodes. Those with the same prompt are one: what is not shown may not differ.
        max_states: more are refused.
        progress: is told how many states were found.

    Raises:
        ValueError: more states than ``max_states``, or a reward that pays one text now this, now that.
    """
    table = _Table(env, max_states)
    starts = []
    for index in indices:
        observations, _ = env.reset(seed=0, options={"index": index})
        start = shown(observations)[0].copy()
        known = len(table.states)
        if key_of(start) not in table.states:
            table.write_all(index, start, env.action_masks()[0])
        starts.append(table.states[key_of(start)])
        progress(len(table.states) - known)
    following = np.array(table.following)
    following[following < 0] = len(table.states)
    return MDP(table.states, np.array(starts), np.array(table.rewards), following, np.array(table.legal))


class _Table:
    """The table so far: lists of a row a state."""

    def __init__(self, env: TextGenVectorEnv, max_states: int):
        self.env, self.max_states = env, max_states
        self.states: dict[bytes, int] = {}
        self.rewards: list[np.ndarray] = []
        self.following: list[np.ndarray] = []
        self.legal: list[np.ndarray] = []
        self.returns: list[float] = []  # paid on the way to each state

    def write_all(self, index: int, start: np.ndarray, legal: np.ndarray) -> None:
        """All texts of an episode, length by length: every token after every unfinished text."""
        if self.env.state.legal is None:
            going_on = int(self.env.vocabulary.legal.sum()) - 1  # all but EOS
            self._refuse(len(self.states) + sum(going_on**t for t in range(self.env.budget)))
        states, texts = [self._add(start, legal, 0.0)], np.empty((1, 0), np.int64)  # unfinished ones, (k, t)
        while states:
            parents, actions = np.nonzero([self.legal[state] for state in states])
            longer = np.column_stack([texts[parents], actions])
            of = np.array(states)[parents]
            states, going_on = [], []
            for first in range(0, len(longer), self.env.num_envs):
                part = slice(first, first + self.env.num_envs)
                before, paid, ended, tokens, masks = self._written(index, longer[part])
                if not np.allclose(before, [self.returns[state] for state in of[part]], atol=1e-9):
                    raise ValueError(
                        "the reward does not depend on prompt and text alone: the same text was paid twice, differently"
                    )
                for i, (state, action) in enumerate(zip(of[part].tolist(), actions[part].tolist(), strict=True)):
                    self.rewards[state][action] = paid[i]
                    if not ended[i]:
                        states.append(self._add(tokens[i], masks[i], before[i] + paid[i]))
                        self.following[state][action] = states[-1]
                        going_on.append(first + i)
            texts = longer[going_on]

    def _add(self, tokens: np.ndarray, legal: np.ndarray, paid: float) -> int:
        number = self.states.setdefault(key_of(tokens), len(self.states))
        self._refuse(len(self.states))
        self.rewards.append(np.zeros(len(legal)))
        self.following.append(np.full(len(legal), -1))
        self.legal.append(legal)
        self.returns.append(paid)
        return number

    def _written(self, index: int, texts: np.ndarray):
        """Write texts (k, t), k at most the rows: what was paid before the last token, and for it, float64 (k,);
        whether it ended the text, bool (k,); what is shown then (k, L); and legal (k, V)."""
        k, rows = len(texts), np.minimum(np.arange(self.env.num_envs), len(texts) - 1)
        self.env.reset(seed=0, options={"index": index})
        before, paid = np.zeros(self.env.num_envs), np.zeros(self.env.num_envs)
        for actions in texts[rows].T:
            before += paid
            observations, paid, ended, _, _ = self.env.step(actions)
        return before[:k], paid[:k], ended[:k], shown(observations)[:k].copy(), self.env.action_masks()[:k]

    def _refuse(self, states: int) -> None:
        if states > self.max_states:
            env = self.env
            raise ValueError(
                f"{states:,} states or more are over max_states={self.max_states:,}: without a mask a prompt has about "
                f"(V - 1) ** (budget - 1), here V={env.vocabulary.size} and budget={env.budget}. Take shorter texts, "
                "fewer symbols or fewer episodes"
            )


def action_values(mdp: MDP, values: np.ndarray, gamma: float) -> np.ndarray:
    """What each action pays with what follows, (S, V), where states are worth ``values`` (S,)."""
    return mdp.rewards + gamma * np.append(values, 0.0)[mdp.following]


def value_iteration(mdp: MDP, gamma: float = 1.0, epsilon: float = 0.0) -> np.ndarray:
    """The best values of the states, float64 (S,) (Bellman 1957).

    Exact, after as many sweeps as the longest text has tokens.

    ``epsilon``: the best of the policies that take a random legal token with this probability (epsilon-soft; Sutton &
    Barto 2018, section 5.4): what SARSA with epsilon-greedy exploration comes to.
    """

    def best(values: np.ndarray) -> np.ndarray:
        q = action_values(mdp, values, gamma)
        mean = np.where(mdp.legal, q, 0.0).sum(1) / mdp.legal.sum(1)
        return (1 - epsilon) * np.where(mdp.legal, q, -np.inf).max(1) + epsilon * mean

    return _fixed_point(best, len(mdp.states))


def policy_evaluation(mdp: MDP, policy: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """The values of the states, float64 (S,), under a policy: probabilities (S, V), 0 for illegal actions."""
    return _fixed_point(lambda values: (policy * action_values(mdp, values, gamma)).sum(1), len(mdp.states))


def _fixed_point(sweep: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    values, better = np.full(count, np.nan), np.zeros(count)
    while not np.array_equal(values, better):
        values, better = better, sweep(better)
    return values
