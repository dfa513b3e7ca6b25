"""The fixed analysis of an experiment's records: estimates with intervals, differences by seed, the verdict.

Every draw comes from a generator seeded by what it is for, so that the same records give the same numbers.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments import statistics
from experiments.records import Record
from experiments.registry import Comparison, Experiment, arm_of
from experiments.scores import collapsed

CLAIM = 10  # paired seeds; a claim on fewer is exploratory
COUNTED = 20  # runs; a claim on how many of fewer collapse is exploratory


@dataclass(frozen=True)
class Difference:
    """One arm minus another, paired by seed (and panel).

    Attributes:
        differences: float (n,).
        interval: of their mean, 95 %, studentised bootstrap; exact where scores are a yes or no.
        p: of the sign-flip test, two-sided.
        improvement: probability that a run of the one beats one of the other.
    """

    arm: str
    control: str
    differences: np.ndarray
    interval: statistics.Interval
    p: float
    improvement: float

    @property
    def mean(self) -> float:
        return float(self.differences.mean())

    def __str__(self) -> str:
        low, high = self.interval
        said = f"{self.mean:+.4f} [{low:+.4f}, {high:+.4f}]" if np.isfinite(low) else f"{self.mean:+.4f} [no interval]"
        return f"{said}, p = {self.p:.3g}, {len(self.differences)} pairs"


class Analysis:
    """What the records of an experiment say; records come from :func:`~experiments.records.read_experiment`."""

    def __init__(self, experiment: Experiment, records: Sequence[Record]):
        self.experiment, self.records = experiment, list(records)
        every = experiment.panels.items()
        self.panels = {panel: arms for panel, arms in every if any(self.runs(arm) for arm in arms)}  # none is empty
        self.arms = list(dict.fromkeys(map(arm_of, experiment.settings)))
        self._starts = {str(s["init"]) for s in experiment.settings.values() if "init" in s}

    @property
    def title(self) -> str:
        seeds = {len(self.runs(arm)) for arm in self.experiment.settings} - {0}
        counts = f"{min(seeds, default=0)}" if len(seeds) < 2 else f"{min(seeds)} to {max(seeds)}"
        return f"{self.experiment.name}: {counts} seeds an arm"

    def runs(self, arm: str) -> list[Record]:
        return [record for record in self.records if record.arm == arm]

    def is_curve(self, arm: str) -> bool:
        """It is looked at over the tokens that its rivals train on: no baseline, and no start of other arms."""
        return arm not in self._starts and any(len(run.evaluations) > 1 for run in self.runs(arm))

    def scores(self, arm: str) -> np.ndarray:
        """Of each run, float (n,)."""
        runs = self.runs(arm)
        return np.asarray(self.experiment.score(runs), float) if runs else np.array([])

    @functools.cached_property
    def is_yes_or_no(self) -> bool:
        """The score of every run is 0 or 1: runs are counted, and intervals are exact."""
        scores = np.concatenate([self.scores(arm) for arm in self.experiment.settings])
        return len(np.unique(scores)) == 2 and bool(np.isin(scores, (0, 1)).all())

    def estimate(self, arm: str) -> tuple[float, statistics.Interval]:
        """The interquartile mean of an arm's scores, and its stratified bootstrap interval; of a yes or no the share,
        and its exact interval."""
        scores = self.scores(arm)
        if self.is_yes_or_no:
            return float(scores.mean()), statistics.clopper_pearson(int(scores.sum()), len(scores))
        return float(statistics.iqm(scores)), statistics.stratified_bootstrap([scores], self._rng("iqm", arm))

    def curve(self, arm: str, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Tokens (E,), and interquartile mean, low and high end of its interval at each, of the runs' curves."""
        runs = self.runs(arm)
        tokens = runs[0].tokens
        values = np.array([np.interp(tokens, run.tokens, run.curve(column)) for run in runs])  # (n, E)
        drawn = self._rng("curve", arm, column).integers(0, len(runs), (500, len(runs)))
        known = ~np.isnan(values).all(0)  # of some columns the first evaluation has nothing
        low, high = np.full((2, len(tokens)), np.nan)
        ends = np.nanquantile(statistics.iqm(values[drawn][..., known], axis=1), [0.025, 0.975], axis=0)
        low[known], high[known] = ends
        return tokens, statistics.iqm(values, axis=0), low, high

    def difference(self, arm: str, control: str, panel: str | None = None) -> Difference | None:
        """``arm`` minus ``control`` (names without panels, or ``arm`` with), in one panel or in all that have both.

        None where they are the same or no seed has both. With several panels, each seed's difference is its mean over
        the panels in which both were run. A control of no panel is that of all.
        """
        arm = arm_of(arm)
        if arm == control:
            return None
        by_seed: dict[int, list[float]] = {}
        ours, theirs = [], []
        for each in self.panels if panel is None else (panel,):
            x, y = self._by_seed(each, arm), self._by_seed(each, control) or self._by_seed("", control)
            if not x or not y:
                continue
            ours.append(np.array(list(x.values())))
            theirs.append(np.array(list(y.values())))
            for seed in x.keys() & y.keys():
                by_seed.setdefault(seed, []).append(x[seed] - y[seed])
        if not by_seed:
            return None
        values = np.array([np.mean(by_seed[seed]) for seed in sorted(by_seed)])
        rng = self._rng("difference", arm, control, panel or "")
        exact = self.is_yes_or_no and np.isin(values, (-1, 0, 1)).all()  # not a mean over panels
        interval = statistics.exact_difference(values) if exact else statistics.studentised_bootstrap(values, rng)
        return Difference(
            arm,
            control,
            values,
            interval,
            statistics.sign_flip_test(values, rng),
            statistics.probability_of_improvement(ours, theirs),
        )

    def collapses(self, arm: str) -> tuple[int, int, statistics.Interval]:
        """Runs whose last greedy score is below half of their best, of how many, the exact interval of the share."""
        runs = self.runs(arm)
        count = sum(map(collapsed, runs))
        return count, len(runs), statistics.clopper_pearson(count, len(runs))

    def verdict(self) -> str:
        """The primary comparison in one sentence."""
        primary, found = self.experiment.primary, self.primary()
        if found is None:
            return f"{primary.arm} and {primary.control} share no seed: nothing can be said."
        few = "" if len(found.differences) >= CLAIM else f" (exploratory: fewer than {CLAIM} seeds)"
        return f"{self.measure}: {self.compared}: {found}: **{concluded(primary, found.interval)}**{few}."

    def primary(self) -> Difference | None:
        """The comparison that was declared beforehand."""
        primary = self.experiment.primary
        return self.difference(primary.arm, primary.control, primary.panel)

    @property
    def measure(self) -> str:
        """What runs are judged by, in the words of the experiment's score."""
        return (self.experiment.score.__doc__ or "score").partition(", float")[0]

    @property
    def compared(self) -> str:
        """What :meth:`primary` compares."""
        primary = self.experiment.primary
        return f"{primary.arm} minus {primary.control}" + (f", {primary.panel}" if primary.panel else "")

    def _by_seed(self, panel: str, arm: str) -> dict[int, float]:
        name = f"{panel}/{arm}" if panel else arm
        return dict(zip([run.seed for run in self.runs(name)], self.scores(name).tolist(), strict=True))

    def _rng(self, *purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32("/".join((self.experiment.name, *purpose)).encode()))


def concluded(comparison: Comparison, interval: statistics.Interval) -> str:
    """confirmed, refuted or not decided, by where the interval lies."""
    low, high = interval
    margin = comparison.margin
    if comparison.expect == "equal":
        inside, outside = -margin <= low and high <= margin, high < -margin or low > margin
    elif comparison.expect == "greater":
        inside, outside = low > margin, high < margin
    else:
        inside, outside = high < -margin, low > -margin
    return "confirmed" if inside else "refuted" if outside else "not decided"
