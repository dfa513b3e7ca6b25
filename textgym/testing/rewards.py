"""Does a reward keep its contract?"""

from __future__ import annotations

import warnings
from typing import Any

from textgym.errors import said
from textgym.rewards import make_reward
from textgym.tasks import Task
from textgym.testing.examples import ContractError, check_name
from textgym.testing.rows import RowContract
from textgym.testing.scripts import default_task
from textgym.testing.watched import WatchedReward


def check_reward(reward: Any, task: Task | None = None, tolerance: float = 1e-9) -> None:
    """Raise where a reward breaks its contract.

    A step pays a fresh float64 array with one finite number for each of its rows, the terms sum to it, and the step's
    own arrays stay as they are. Environments that share the recipe do not disturb each other, nor do rows, nor an
    episode the next one; a state that was saved in mid-episode goes on exactly, as often as it is restored, and in
    another environment; scalars are paid like arrays of one, where the state says that it takes them. Recipe and saved
    state can be pickled, and the recipe has a name. It is tried with one row and several, texts in mid-character,
    resets at different times, and illegal tokens.

    Args:
        reward: any spec of :func:`~textgym.rewards.make_reward`.
        task: gives episodes and vocabulary; by default six small episodes, written in bytes.
        tolerance: as of :func:`check_metric`.

    Raises:
        ContractError: says what is wrong, with the example it was found on.

    Warns:
        UserWarning: ``couples_rows`` is declared, but no row was seen to depend on another.
    """
    task = default_task() if task is None else task
    try:
        reward = make_reward(reward).resolve(task)
    except Exception as error:
        raise ContractError(f"reward {reward!r} cannot be made: {said(error)}") from error
    check_name("reward", reward)
    watched = WatchedReward(reward)
    contract = RowContract(f"reward {reward.name!r}", watched, watched.faults, task, tolerance)
    contract.check(reward)
    if reward.couples_rows and not contract.coupled:
        warnings.warn(
            f"reward {reward.name!r} says couples_rows, but no row was seen to depend on another: without it, what a "
            "row is paid is known to be what a single environment is paid",
            stacklevel=2,
        )
