"""The experiments: what a file of suite/ says, and the runs that it asks for."""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Literal

import numpy as np

import experiments.suite
from experiments.search import Point, Space, with_point
from textgym.errors import unknown, whole_number

TUNING_SEED = 0  # of trials, and of what they start from
FIRST_SEED = 1  # of every experiment
QUICK_SEEDS = 3  # of the tag "quick"
ONLY_MINE = "{}: only the experiment 'mine' takes these flags"
REQUIRED = ("TAGS", "BUDGET", "SEEDS", "SETTINGS", "SECONDS", "SMOKE", "PRIMARY", "score")


@dataclass(frozen=True)
class Comparison:
    """``arm`` minus ``control``, seed by seed, of :attr:`Experiment.score`.

    Attributes:
        panel: None: each seed's mean over all panels that have both.
        expect: what the hypothesis says of the difference; "equal": within ``margin`` either way.
    """

    arm: str
    control: str
    expect: Literal["greater", "less", "equal"] = "greater"
    margin: float = 0.0
    panel: str | None = None

    @property
    def expected(self) -> str:
        """What the hypothesis says of the difference, in short: "> 0", "< -0.1", "within 0.05 of 0"."""
        if self.expect == "equal":
            return f"within {self.margin:g} of 0"
        return f"> {self.margin:g}" if self.expect == "greater" else f"< {-self.margin or 0:g}"


@dataclass(frozen=True)
class Run:
    """One run: an arm of an experiment with a seed.

    Attributes:
        init: the run that it starts from, None: it starts anew.
        seconds: of one core, projected.
        trial: number of the point that its settings have, None: it is no trial.
    """

    experiment: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    seconds: float = 0.0
    init: Run | None = None
    trial: int | None = None

    @property
    def name(self) -> str:
        """Of its record."""
        trial = "" if self.trial is None else f"-t{self.trial}"
        return f"{self.arm.replace('/', '-').replace(' ', '_')}-s{self.seed}{trial}"

    @property
    def id(self) -> str:
        """16 hexadecimal digits: what is run, whatever the code; that of the run it starts from is part of it."""
        what = [self.experiment, self.arm, self.seed, self.settings, self.init.id if self.init else None]
        what += [] if self.trial is None else [self.trial]
        return _digest(what)

    @property
    def content(self) -> str:
        """16 hexadecimal digits: the same of runs that compute the same, whatever experiment and arm they are of."""
        settings = {name: value for name, value in self.settings.items() if name != "init"}
        return _digest([self.seed, settings, self.init.content if self.init else None])


@dataclass(frozen=True)
class Experiment:
    """What a file of suite/ says; see the package's docstring.

    Attributes:
        name: the file's.
        page: its docstring.
        given: flags that its settings were made of (``mine``).
        columns: of the evaluations -> title; what the figure shows, one row of panels each.
        search: arm -> the space that its trials are points of.
        trials: of each arm that is searched; 0: all have the settings of the file.
        chosen: arm -> the point that its runs have, see :mod:`~experiments.tuning`.
        quick: its panels under the tag "quick", None: all.
        only: the panels that are run and shown, None: all.
    """

    name: str
    page: str
    tags: tuple[str, ...]
    budget: int
    seeds: int
    settings: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    smoke: Mapping[str, Mapping[str, Any]]
    primary: Comparison
    score: Callable[[Sequence[Any]], np.ndarray]
    columns: Mapping[str, str]
    given: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Space] = field(default_factory=dict)
    trials: int = 0
    chosen: Mapping[str, Point] = field(default_factory=dict)
    quick: tuple[str, ...] | None = None
    only: tuple[str, ...] | None = None

    @property
    def question(self) -> str:
        return self.page.splitlines()[0]

    def runs(self, agent: str | None = None) -> list[Run]:
        """All runs, seed by seed, each after the one that it starts from; none of arms that await their trials.

        Args:
            agent: only the arms of this agent, and those that they start from.
        """
        found: dict[tuple[str, int], Run] = {}
        for seed in range(FIRST_SEED, FIRST_SEED + self.seeds):
            for arm in self.arms(agent):
                if not self.awaits_trials(arm):
                    self._add(arm, seed, found)
        return list(found.values())

    def arms(self, agent: str | None = None) -> list[str]:
        """Those that are run, with their panels; only those of an agent."""
        shown = [arm for arms in self.panels.values() for arm in arms]
        return [arm for arm in shown if agent is None or self.settings[arm]["agent"] == agent]

    def searched(self, agent: str | None = None) -> list[str]:
        """Those of :meth:`arms` that have trials."""
        return [arm for arm in self.arms(agent) if self.trials and arm in self.search]

    def awaits_trials(self, arm: str) -> bool:
        """With which settings it is run is not known yet."""
        return self.trials > 0 and arm in self.search and arm not in self.chosen

    def trial(self, arm: str, number: int, point: Point) -> Run:
        """A trial of an arm: a run with the tuning seed, judged on the episodes behind those that are reported."""
        settings = with_point(self.settings[arm], point)
        settings["eval_first"] = settings["eval_episodes"]
        found: dict[tuple[str, int], Run] = {}
        init = self._add(settings["init"], TUNING_SEED, found) if "init" in settings else None
        return Run(self.name, arm, TUNING_SEED, settings, self.seconds_of(arm), init, number)

    def starts(self, agent: str | None = None) -> list[Run]:
        """What trials start from: runs with the tuning seed."""
        found: dict[tuple[str, int], Run] = {}
        for arm in self.searched(agent):
            if "init" in self.settings[arm]:
                self._add(self.settings[arm]["init"], TUNING_SEED, found)
        return list(found.values())

    def _add(self, arm: str, seed: int, found: dict[tuple[str, int], Run]) -> Run:
        if (arm, seed) not in found:
            settings = with_point(self.settings[arm], self.chosen.get(arm, {}))
            init = self._add(settings["init"], seed, found) if "init" in settings else None
            found[arm, seed] = Run(self.name, arm, seed, settings, self.seconds_of(arm), init)
        return found[arm, seed]

    def seconds_of(self, arm: str) -> float:
        return self.seconds.get(arm, self.seconds.get(arm_of(arm), 0.0))

    @property
    def panels(self) -> dict[str, list[str]]:
        """Panel -> its arms, as in settings; "" where arms have no panel."""
        panels: dict[str, list[str]] = {}
        for arm in self.settings:
            panel = arm.rpartition("/")[0]
            if self.only is None or panel in self.only:
                panels.setdefault(panel, []).append(arm)
        return panels

    def tiny(self) -> Experiment:
        """The same in seconds, for tests: two seeds, and over an arm's settings those of ``smoke`` for its agent."""
        settings = {arm: {**of_arm, **self.smoke.get(of_arm["agent"], {})} for arm, of_arm in self.settings.items()}
        return replace(self, settings=settings, seeds=2, seconds=dict.fromkeys(settings, 1.0))


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def arm_of(arm: str) -> str:
    """Without its panel."""
    return arm.rpartition("/")[2]


def names() -> list[str]:
    """The files of suite/."""
    return sorted(module.name for module in pkgutil.iter_modules(experiments.suite.__path__))


def load(name: str, seeds: int | None = None, trials: int = 0, **given: Any) -> Experiment:
    """The experiment of that name.

    Args:
        seeds: how many, instead of its own number.
        trials: of each arm, see :attr:`Experiment.trials`.
        given: flags, of an experiment whose ``SETTINGS`` is a function of them (``mine``).

    Raises:
        ValueError: there is none; its file lacks something; flags that it does not take; trials of one without SEARCH.
    """
    if name not in names():
        raise unknown("experiment", name, names())
    module = importlib.import_module(f"experiments.suite.{name}")
    missing = [each for each in REQUIRED if not hasattr(module, each)]
    if missing or not module.__doc__:
        raise ValueError(f"{module.__file__} lacks {', '.join(missing) or 'a docstring'}: see experiments/__init__.py")
    settings = _settings(module, given)
    experiment = Experiment(
        name, module.__doc__.strip(), tuple(module.TAGS), module.BUDGET, seeds or module.SEEDS, settings,
        module.SECONDS, module.SMOKE, module.PRIMARY, module.score,
        getattr(module, "COLUMNS", {"greedy": "true score, greedy", "sampled": "true score, sampled"}), given,
        getattr(module, "SEARCH", {}), trials, quick=getattr(module, "QUICK", None),
    )  # fmt: skip
    _check(experiment)
    return experiment


def _settings(module: ModuleType, given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    if callable(module.SETTINGS):
        return module.SETTINGS(**given)
    if given:
        raise ValueError(ONLY_MINE.format(", ".join(given)))
    return module.SETTINGS


def _check(experiment: Experiment) -> None:
    arms = {arm_of(arm) for arm in experiment.settings}
    for arm in (experiment.primary.arm, experiment.primary.control):
        if arm not in arms:
            raise unknown(f"arm of {experiment.name} (PRIMARY)", arm, arms)
    for arm, settings in experiment.settings.items():
        if settings.get("init", arm) not in experiment.settings:
            raise unknown(f"arm of {experiment.name} (init of {arm})", settings["init"], experiment.settings)
    for arm in experiment.search:
        if arm not in experiment.settings:
            raise unknown(f"arm of {experiment.name} (SEARCH)", arm, experiment.settings)
        if arm in {settings.get("init") for settings in experiment.settings.values()}:
            raise ValueError(f"{experiment.name}: SEARCH has {arm}, which other arms start from, whatever they try")
        if "eval_episodes" not in experiment.settings[arm]:
            raise ValueError(f"{experiment.name}: SEARCH has {arm}, which says nothing of eval_episodes")
    for panel in experiment.quick or ():
        if panel not in experiment.panels:
            raise unknown(f"panel of {experiment.name} (QUICK)", panel, experiment.panels)
    if experiment.trials and not experiment.search:
        able = [name for name in names() if hasattr(importlib.import_module(f"experiments.suite.{name}"), "SEARCH")]
        raise ValueError(f"--tune {experiment.trials}: {experiment.name} has no SEARCH; {', '.join(able)} have")


def select(word: str, seeds: int | None = None, trials: int | None = None, **given: Any) -> list[Experiment]:
    """The experiments of an id, a tag, "all", or "smoke": all of them, tiny. Of "quick" the first seeds only.

    Args:
        trials: of each arm, of the experiments that have a ``SEARCH``.

    Raises:
        ValueError: there is none, or none with a ``SEARCH``.
    """
    if trials is not None:
        whole_number("tune", trials, 1)
    if word in names():
        return [load(word, seeds, trials=trials or 0, **given)]
    every = [load(name, seeds or (QUICK_SEEDS if word == "quick" else None)) for name in names()]
    found = [e for e in every if word in ("all", "smoke") or word in e.tags]
    if not found:
        tags = {tag for experiment in every for tag in experiment.tags}
        raise unknown("experiment or tag", word, {*names(), *tags, "all", "smoke"})
    if given:
        raise ValueError(ONLY_MINE.format(", ".join(given)))
    if trials is not None:
        if not any(e.search for e in found):
            raise ValueError(f"--tune {trials}: of {word}, none has a SEARCH: {', '.join(e.name for e in found)}")
        found = [replace(e, trials=trials if e.search else 0) for e in found]
    if word == "quick":
        return [replace(e, only=e.quick) for e in found]
    return [e.tiny() for e in found] if word == "smoke" else found
