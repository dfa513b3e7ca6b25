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
from textgym.errors import unknown

FIRST_SEED = 1  # of every experiment; settings are tried on seed 0
QUICK_SEEDS = 3  # of the tag "quick"
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


@dataclass(frozen=True)
class Run:
    """One run: an arm of an experiment with a seed.

    Attributes:
        init: the run that it starts from, None: it starts anew.
        seconds: of one core, projected.
    """

    experiment: str
    arm: str
    seed: int
    settings: Mapping[str, Any]
    seconds: float = 0.0
    init: Run | None = None

    @property
    def name(self) -> str:
        """Of its record."""
        return f"{self.arm.replace('/', '-').replace(' ', '_')}-s{self.seed}"

    @property
    def id(self) -> str:
        """16 hexadecimal digits: what is run, whatever the code; that of the run it starts from is part of it."""
        what = [self.experiment, self.arm, self.seed, self.settings, self.init.id if self.init else None]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Experiment:
    """What a file of suite/ says; see the package's docstring.

    Attributes:
        name: the file's.
        page: its docstring.
        given: flags that its settings were made of (``mine``).
        columns: of the evaluations -> title; what the figure shows, one row of panels each.
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

    @property
    def question(self) -> str:
        return self.page.splitlines()[0]

    def runs(self, agent: str | None = None) -> list[Run]:
        """All runs, seed by seed, each after the one that it starts from.

        Args:
            agent: only the arms of this agent, and those that they start from.
        """
        found: dict[tuple[str, int], Run] = {}
        for seed in range(FIRST_SEED, FIRST_SEED + self.seeds):
            for arm, settings in self.settings.items():
                if agent is None or settings["agent"] == agent:
                    self._add(arm, seed, found)
        return list(found.values())

    def _add(self, arm: str, seed: int, found: dict[tuple[str, int], Run]) -> Run:
        if (arm, seed) not in found:
            settings = json.loads(json.dumps(self.settings[arm]))
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
            panels.setdefault(arm.rpartition("/")[0], []).append(arm)
        return panels

    def tiny(self) -> Experiment:
        """The same in seconds, for tests: two seeds, and over an arm's settings those of ``smoke`` for its agent."""
        settings = {arm: {**of_arm, **self.smoke.get(of_arm["agent"], {})} for arm, of_arm in self.settings.items()}
        return replace(self, settings=settings, seeds=2, seconds=dict.fromkeys(settings, 1.0))


def arm_of(arm: str) -> str:
    """Without its panel."""
    return arm.rpartition("/")[2]


def names() -> list[str]:
    """The files of suite/."""
    return sorted(module.name for module in pkgutil.iter_modules(experiments.suite.__path__))


def load(name: str, seeds: int | None = None, **given: Any) -> Experiment:
    """The experiment of that name.

    Args:
        seeds: how many, instead of its own number.
        given: flags, of an experiment whose ``SETTINGS`` is a function of them (``mine``).

    Raises:
        ValueError: there is none; its file lacks something; flags that it does not take.
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
    )  # fmt: skip
    _check(experiment)
    return experiment


def _settings(module: ModuleType, given: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    if callable(module.SETTINGS):
        return module.SETTINGS(**given)
    if given:
        raise ValueError(f"{', '.join(given)}: only the experiment 'mine' takes these flags")
    return module.SETTINGS


def _check(experiment: Experiment) -> None:
    arms = {arm_of(arm) for arm in experiment.settings}
    for arm in (experiment.primary.arm, experiment.primary.control):
        if arm not in arms:
            raise unknown(f"arm of {experiment.name} (PRIMARY)", arm, arms)
    for arm, settings in experiment.settings.items():
        if settings.get("init", arm) not in experiment.settings:
            raise unknown(f"arm of {experiment.name} (init of {arm})", settings["init"], experiment.settings)


def select(word: str, seeds: int | None = None, **given: Any) -> list[Experiment]:
    """The experiments of an id, a tag, "all", or "smoke": all of them, tiny. Of "quick" the first seeds only.

    Raises:
        ValueError: there is none.
    """
    if word in names():
        return [load(word, seeds, **given)]
    every = [load(name, seeds or (QUICK_SEEDS if word == "quick" else None)) for name in names()]
    if word == "smoke":
        return [experiment.tiny() for experiment in every]
    found = [e for e in every if word == "all" or word in e.tags]
    if not found or given:
        tags = sorted({tag for experiment in every for tag in experiment.tags})
        raise unknown("experiment or tag", word, [*names(), *tags, "all", "smoke"])
    return found
