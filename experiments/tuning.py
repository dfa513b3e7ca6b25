"""Tuning: the trials of the arms that are searched, and the settings that come out of their records.

Every arm with a space has as many trials, at the points of :mod:`~experiments.search`, all with seed 0, which no
experiment reports, and judged by the experiment's score on the validation episodes behind those that are reported. Its
runs have the settings of the trial with the highest score, of equal ones the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.records import Record, read_trials
from experiments.registry import Experiment, Run
from experiments.search import point_in, points


def trial_runs(experiment: Experiment, agent: str | None = None) -> list[Run]:
    """All trials, and before them the runs that they start from.

    Args:
        agent: only of the arms of this agent.

    Raises:
        ValueError: a space has fewer points.
        ImportError: Optuna is not installed.
    """
    tried = {arm: points(experiment.search[arm], experiment.trials) for arm in experiment.searched(agent)}
    trials = [experiment.trial(arm, k, tried[arm][k]) for k in range(experiment.trials) for arm in tried]
    return [*experiment.starts(agent), *trials]


def trials_in(folder: Path, experiment: Experiment) -> int:
    """How many trials an arm has whose records are in ``folder``: the most of all arms."""
    return max((1 + number for trials in read_trials(folder, experiment).values() for number in trials), default=0)


def settle(folder: Path, experiment: Experiment) -> Experiment:
    """The experiment with the settings that the trials in ``folder`` have chosen; without trials, as it is.

    Args:
        experiment: with ``trials`` 0 it has as many as there are records of.

    Raises:
        ValueError: all trials of an arm diverged.
    """
    count = experiment.trials or trials_in(folder, experiment)
    chosen = {}
    for arm, trials in read_trials(folder, experiment).items():
        if arm in experiment.search and all(k in trials for k in range(count)):
            tried = [trials[k] for k in range(count)]
            scores = trial_scores(experiment, tried)
            if np.isneginf(scores).all():
                why = tried[0].header["diverged"]
                raise ValueError(f"{experiment.name}: all {count} trials of {arm} diverged, the first with: {why}")
            chosen[arm] = point_in(tried[scores.argmax()].header["settings"], experiment.search[arm])
    return replace(experiment, trials=count, chosen=chosen)


def trial_scores(experiment: Experiment, trials: Sequence[Record]) -> np.ndarray:
    """What each is judged by, float (n,); -inf: it diverged, or has no score."""
    scores = [experiment.score([trial])[0] if trial.evaluations else -np.inf for trial in trials]
    return np.nan_to_num(np.array(scores, float), nan=-np.inf, neginf=-np.inf)
