"""Where the episodes of each row come from: the generators of the rows, and the names of their episodes."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from gymnasium.utils import seeding

from textgym.episode import Episode
from textgym.running import RunningState
from textgym.tasks import Task


class EpisodeStreams(RunningState):
    """Two generators a row: one draws its episodes, the other, spawned from it, is its reward's.

    Attributes:
        rngs, reward_rngs: n generators, None where a row has not been seeded yet.
        seeds: n numbers, what the rows were seeded with; -1: not yet.
        drawn: n numbers, episodes drawn since the row was seeded.
        given: n numbers, episodes given by the user since then.
        own: n flags, the last episode of the row was drawn.
    """

    not_saved = frozenset({"task", "groups", "group_of", "reward_rngs"})

    def __init__(self, n: int, task: Task, group_size: int = 1):
        self.task = task
        self.groups = n // group_size
        self.group_of = np.arange(n) // group_size  # (n,)
        self.rngs: list[np.random.Generator | None] = [None] * n
        self.reward_rngs: list[np.random.Generator | None] = [None] * n
        self.seeds = [-1] * n
        self.drawn, self.given, self.own = [0] * n, [0] * n, [True] * n

    def seed(self, row: int, rng: np.random.Generator) -> None:
        """Begin the row's streams anew: ``rng`` draws its episodes, its child is its reward's."""
        self.rngs[row] = rng
        self.seeds[row] = rng.bit_generator.seed_seq.entropy
        self.reward_rngs[row] = rng.spawn(1)[0]
        self.drawn[row] = self.given[row] = 0

    def next(self, rows: np.ndarray, given: Sequence[Episode] | None = None) -> Sequence[Episode]:
        """The next episode of each of ``rows``: those given, else drawn from the rows' own streams."""
        if given is not None:
            for row in rows.tolist():
                self.given[row] += 1
                self.own[row] = False
            return given
        sample, rngs, drawn, own = self.task.sample, self.rngs, self.drawn, self.own
        episodes = []
        for row in rows.tolist():
            if rngs[row] is None:
                self.seed(row, seeding.np_random(None)[0])
            episodes.append(sample(rngs[row]))
            drawn[row] += 1
            own[row] = True
        return episodes

    @property
    def ids(self) -> np.ndarray:
        """int64 (n,), equal for the rows of a group on the same episode, different otherwise, from seed to seed.

        The k-th episode that group g draws is k * groups + g; those given by the user count downwards from -1.
        """
        drawn, given = ((np.array(each) - 1) * self.groups + self.group_of for each in (self.drawn, self.given))
        return np.where(self.own, drawn, -1 - given)

    @property
    def begun(self) -> np.ndarray:
        """bool (n,), the row has had an episode."""
        return np.array(self.drawn) + np.array(self.given) > 0

    def get_state(self):
        saved = super().get_state()
        for name in ("rngs", "reward_rngs"):
            saved[name] = [rng and copy.deepcopy(rng.bit_generator.state) for rng in getattr(self, name)]
        return saved

    def set_state(self, saved):
        generators = {name: saved[name] for name in ("rngs", "reward_rngs")}
        super().set_state({name: value for name, value in saved.items() if name not in generators})
        for name, states in generators.items():
            rngs = getattr(self, name)
            for row, state in enumerate(states):
                if state is None:
                    rngs[row] = None
                    continue
                if rngs[row] is None:
                    rngs[row] = seeding.np_random(0)[0]
                rngs[row].bit_generator.state = copy.deepcopy(state)
