"""WHEN and HOW a metric is paid: the contract of reward functions, and their sums."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from numbers import Real

import numpy as np

from textgym.arrays import all_finite
from textgym.episode import Episode, Step
from textgym.errors import RewardError, said
from textgym.metrics import BatchMetric, RunningMetrics
from textgym.running import Recipe, RunningState, described
from textgym.tokenizers import Vocabulary


class RewardState(RunningState, ABC):
    """A reward along the n rows of one environment. It is called at every step of every row.

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

    Its ``repr`` says how it is made: the class, and the arguments that it keeps in attributes of their names. A state
    is restored only where name and ``repr`` are those that it was saved with.

    Attributes:
        name: what its term is called in ``info["reward_terms"]``.
        needs_text: whether it reads ``step.pieces`` itself; what the metrics that it follows need is theirs to say.
        couples_rows: whether what one row is paid depends on the others (running normalisation does).
        needs_references: whether it pays a metric that says nothing without references.
        metrics: those that it pays, itself or by the rewards that it is made of.
    """

    name: str = ""
    needs_text: bool = True
    couples_rows: bool = False
    needs_references: bool = False
    metrics: Sequence[BatchMetric] = ()

    @abstractmethod
    def start(self, n: int, rngs: Sequence[np.random.Generator], metrics: RunningMetrics) -> RewardState:
        """The running state for n rows; :meth:`run` calls it.

        Args:
            n: number of rows.
            rngs: one generator a row, for rewards that draw random numbers; the terms of a sum share it. The
                environment replaces its items when a row is seeded: keep the sequence, not the items.
            metrics: gives the values of a metric along the rows (``metrics.follow(metric)``), and has the
                environment's ``vocabulary``.
        """

    def run(self, n: int, rngs: Sequence[np.random.Generator], vocabulary: Vocabulary | None = None) -> RunningReward:
        """This reward along n rows, with the metrics that it follows."""
        return RunningReward(self, n, rngs, vocabulary)

    def resolve(self, task) -> RewardFunction:
        """This reward with metrics given by name, or left out, looked up for ``task``."""
        return self

    def replaced(self, **changes) -> RewardFunction:
        """A copy with other attributes; ``copy.copy`` gives the same object, as of every recipe."""
        copied = object.__new__(type(self))
        vars(copied).update(vars(self), **changes)
        return copied

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
        return described(self)


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
        self.needs_references = any(part.needs_references for _, part in parts)
        self.metrics = tuple(metric for _, part in parts for metric in part.metrics)

    def resolve(self, task):
        return Sum([(weight, part.resolve(task)) for weight, part in self.parts])

    def start(self, n, rngs, metrics):
        return _RunningSum([w for w, _ in self.parts], [part.start(n, rngs, metrics) for _, part in self.parts])


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


class RunningReward(RunningState):
    """A reward and the metrics it follows, along n rows; what it pays is checked."""

    not_saved = frozenset({"recipe", "takes_scalars", "needs_text", "described"})

    def __init__(self, recipe: RewardFunction, n: int, rngs: Sequence[np.random.Generator], vocabulary):
        self.recipe = recipe
        self.metrics = RunningMetrics(n, vocabulary)
        self.state = recipe.start(n, rngs, self.metrics)
        self.needs_text = recipe.needs_text or self.metrics.needs_text
        self.takes_scalars = self.state.takes_scalars and self.metrics.takes_scalars

    @cached_property
    def described(self) -> str:
        """What a state must have been saved with to be restored here: the recipe and its arguments."""
        return repr(self.recipe)

    @property
    def terms(self) -> dict[str, np.ndarray]:
        """See :class:`RewardState`."""
        return self.state.terms

    def reset(self, rows: np.ndarray, episodes: Sequence[Episode]) -> None:
        """Begin new episodes in ``rows``.

        Raises:
            RewardError: the reward or a metric raised.
        """
        try:
            self.metrics.reset(rows, episodes)
            self.state.reset(rows, episodes)
        except Exception as error:
            where = f" at the start of an episode of rows {rows.tolist()}"
            raise _failed(self.recipe.name, error, where) from error

    def step(self, step: Step) -> np.ndarray:
        """What each row of the step is paid: see :func:`checked_pay`."""
        return checked_pay(self.recipe.name, self.state, step)


def checked_pay(name: str, state: RewardState, step: Step) -> np.ndarray | float:
    """What ``state``, the reward called ``name``, pays: a float64 (k,) of its own; a float in a step of scalars.

    Raises:
        RewardError: the reward or a metric raised, or paid something that is no finite number.
    """
    try:
        given = state.step(step)
        if step.scalar:
            paid = float(given)
            valid = math.isfinite(paid)
        else:
            paid, shape = np.array(given, np.float64), step.rows.shape
            valid = paid.shape == shape and all_finite(paid)
        for term in state.terms.values():
            if term is not given and valid:
                valid = math.isfinite(term) if step.scalar else np.shape(term) == shape and all_finite(term)
    except Exception as error:
        raise _failed(name, error) from error
    if not valid:
        raise _no_number(name, state.terms, step, paid)
    return paid


def _failed(name: str, error: Exception, where: str = "") -> RewardError:
    """The error for a reward that raised; one that is a RewardError itself says what did."""
    words = f": {error}" if isinstance(error, RewardError) else f" raised {said(error)}"
    return RewardError(f"reward {name!r}{words}{where}")


def _no_number(name: str, terms: Mapping[str, np.ndarray], step: Step, paid: np.ndarray | float) -> RewardError:
    """The error for pay of the wrong shape, NaN or infinite."""
    shape = () if step.scalar else step.rows.shape
    if np.shape(paid) != shape:
        return RewardError(f"reward {name!r} paid shape {np.shape(paid)} instead of {shape}")
    for term, values in terms.items():
        if np.shape(values) != shape:
            return RewardError(f"term {term!r} of reward {name!r} has shape {np.shape(values)} instead of {shape}")
    numbers = {"the sum": paid, **terms}
    bad = {term: values for term, values in numbers.items() if not np.isfinite(values).all()}
    at = int(np.argmin(np.isfinite(np.atleast_1d(next(iter(bad.values()))))))
    each = {term: float(np.atleast_1d(values)[at]) for term, values in numbers.items()}
    bad = [f"{term} = {value}" for term, value in each.items() if term != "the sum" and not math.isfinite(value)]
    return RewardError(
        f"reward {name!r} paid no finite number: row {int(step.rows[at])}, prompt {step.episodes[at].prompt!r}: "
        f"{', '.join(bad) or each['the sum']} after the text {step.texts[at]!r}"
    )


# -- the arguments of rewards ---------------------------------------------------------------------------


def part_of(spec) -> RewardFunction:
    """A reward that another one is made of, from any spec."""
    from textgym.rewards import make_reward  # which imports the rewards that call this

    return make_reward(spec)


def metric_of(spec) -> BatchMetric:
    """A metric that a reward pays, from any spec."""
    from textgym.rewards import metric_alone

    return metric_alone(spec)


def number(name: str, given, *, low: float = -math.inf, above: float = -math.inf, high: float = math.inf) -> float:
    """``given`` as a float.

    Raises:
        ValueError: it is no finite number, at least ``low``, above ``above``, at most ``high``.
    """
    real = isinstance(given, Real) and not isinstance(given, bool)
    if real and math.isfinite(given) and low <= given <= high and given > above:
        return float(given)
    limits = [("at least", low), ("above", above), ("at most", high)]
    allowed = " and ".join(f"{words} {limit:g}" for words, limit in limits if math.isfinite(limit))
    raise ValueError(f"{name} must be a finite number{allowed and ', '}{allowed}, got {given!r}")


def discount(given) -> float:
    """``given`` as a discount factor, in (0, 1]."""
    return number("gamma", given, above=0.0, high=1.0)
