"""Does a shaping reward leave the optimal policies as they are?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from textgym.errors import said
from textgym.metrics import make_metric
from textgym.rewards import SCHEDULES, Potential, RewardFunction, make_reward
from textgym.rewards.base import discount
from textgym.tasks import Task
from textgym.testing.examples import ContractError, close, shown
from textgym.testing.rows import alone, plays_of
from textgym.testing.scripts import default_task


def check_potential(
    reward_or_metric: Any, gamma: float = 1.0, task: Task | None = None, tolerance: float = 1e-9
) -> None:
    """Raise where a reward is no potential-based shaping (Ng, Harada & Russell 1999).

    What it pays in an episode, discounted, must be the same for every text of a prompt, however it ends: at EOS, with
    the budget or by an illegal token. So it is where gamma * Phi(s') - Phi(s) is paid and Phi is 0 at the end.

    Args:
        reward_or_metric: a reward that is shaping alone (of :class:`~textgym.rewards.Potential`, its shaping); or a
            metric, as the potential of ``Potential``.
        gamma: the agent's discount factor, in (0, 1].
        task: gives episodes and vocabulary; by default six small episodes, written in bytes.
        tolerance: as of :func:`check_metric`.

    Raises:
        ContractError: names two texts of a prompt whose shaping differs.
    """
    gamma, task = discount(gamma), default_task() if task is None else task
    reward = _shaping(reward_or_metric, gamma).resolve(task)
    sums: dict[str, list[tuple[float, str]]] = defaultdict(list)  # episode -> (sum, the text) of what was tried
    for forbidden, play in plays_of(task):
        try:
            paid = alone(reward, task, play, forbidden)
        except Exception as error:
            raise ContractError(f"{reward.name!r}: {said(error)}") from error
        total = float(paid @ gamma ** np.arange(len(paid)))
        tokens = ", ".join(repr(task.vocabulary.token(i)) for i in play.tokens)
        text = f"{tokens} (illegal)" if forbidden is not None and forbidden == play.tokens[-1] else tokens
        tried = sums[shown(play.episode)]
        tried.append((total, text))
        first, text_of_first = tried[0]
        if not close(first, total, tolerance):
            raise ContractError(
                f"{reward.name!r} is no potential-based shaping at gamma = {gamma:g}: it makes one text better than "
                f"another. Discounted, {text_of_first} is paid {first!r} and {text} is paid {total!r}; it must be the "
                "same for every text of a prompt (the potential is 0 when the episode has ended)\n"
                f"  episode: {shown(play.episode)}"
            )


def _shaping(given: Any, gamma: float) -> RewardFunction:
    name = given if isinstance(given, str) else given.get("name") if isinstance(given, Mapping) else None
    named = isinstance(name, str) and name.partition(":")[0] in SCHEDULES
    is_reward = named or isinstance(given, (RewardFunction, list, tuple))
    reward = make_reward(given) if is_reward else Potential(make_metric(given), gamma, base=None)
    return reward.replaced(base=None) if isinstance(reward, Potential) else reward
