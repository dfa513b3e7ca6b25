"""Rewards made of another reward: what of its pay reaches the agent. Its time and unit: held_back.py, normalised.py."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from textgym.episode import Step
from textgym.metrics import BatchMetric, RunningMetrics
from textgym.rewards.base import RewardFunction, RewardState, checked_pay, number, part_of


class ModifiedReward(RewardFunction):
    """A reward made of another one. Subclasses say what is made of its pay, in the state that ``start`` gives.

    Args:
        reward: the inner reward, any spec of :func:`~textgym.rewards.make_reward`.

    Attributes:
        kind: stands before the inner reward's name, and before the inner terms where they are kept apart.
        elementwise: whether the state computes element by element, and so works on scalars.
    """

    kind: str = ""
    elementwise: bool = False

    def __init__(self, reward):
        self.reward = part_of(reward)

    @property
    def name(self) -> str:
        inner = self.reward.name
        return f"{self.kind}:({inner})" if " " in inner else f"{self.kind}:{inner}"

    @property
    def needs_text(self) -> bool:
        return self.reward.needs_text

    @property
    def couples_rows(self) -> bool:
        return self.reward.couples_rows

    @property
    def needs_references(self) -> bool:
        return self.reward.needs_references

    @property
    def metrics(self) -> Sequence[BatchMetric]:
        return self.reward.metrics

    def resolve(self, task):
        reward = self.reward.resolve(task)
        return self if reward is self.reward else self.replaced(reward=reward)

    def terms(self, inner: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """``inner`` terms under the names that they have here: ``delayed:delta:cer``."""
        return {f"{self.kind}:{name}": paid for name, paid in inner.items()}


class ModifiedPay(RewardState):
    """A modified reward along n rows.

    Attributes:
        inner: the state of the inner reward.
        rngs: one generator a row.
    """

    not_saved = frozenset({"recipe", "takes_scalars"})

    def __init__(self, recipe: ModifiedReward, n: int, rngs: Sequence[np.random.Generator], metrics: RunningMetrics):
        self.recipe = recipe
        self.inner = recipe.reward.start(n, rngs, metrics)
        self.rngs = rngs
        self.takes_scalars = recipe.elementwise and self.inner.takes_scalars
        self.terms = {}

    def reset(self, rows, episodes):
        self.inner.reset(rows, episodes)

    def inner_pay(self, step: Step) -> np.ndarray:
        """What the inner reward pays, float64 (k,), finite. Its terms are ``inner.terms``."""
        return checked_pay(self.recipe.reward.name, self.inner, step)

    def draws(self, step: Step, kind: str) -> np.ndarray:
        """One random number for each row of the step, float64 (k,): ``kind`` is a method of the generators."""
        return np.array([getattr(self.rngs[row], kind)() for row in step.rows.tolist()], np.float64)


# -- linear: the inner terms stay apart ------------------------------------------------------------------


class Multiplied(ModifiedReward):
    """A reward whose pay and terms are multiplied by factors of :meth:`factors`."""

    def start(self, n, rngs, metrics):
        return _Multiplied(self, n, rngs, metrics)

    @abstractmethod
    def factors(self, step: Step, state: ModifiedPay) -> np.ndarray | float:
        """The factor of each row of the step, float64 (k,), or one for all."""


class _Multiplied(ModifiedPay):
    def step(self, step):
        paid, factors = self.inner_pay(step), self.recipe.factors(step, self)
        self.terms = self.recipe.terms({name: factors * term for name, term in self.inner.terms.items()})
        return factors * paid


class Scaled(Multiplied):
    """Pays the inner reward times ``scale``: the same objective in another unit.

    With a positive scale the optimal policies stay as they are, at any discount; with a negative one the worst texts
    become the best. ``scale * reward`` pays the same and keeps the terms' names.

    Args:
        reward: the inner reward, any spec.
        scale: a finite number.
    """

    kind = "scaled"
    elementwise = True

    def __init__(self, reward, scale: float):
        super().__init__(reward)
        self.scale = number("scale", scale)

    def factors(self, step, state):
        return self.scale


class Dropout(Multiplied):
    """Pays what the inner reward pays for a token with probability ``p``, else nothing: missing feedback.

    Tokens and rows are drawn independently, the last token of an episode as the others. The EXPECTED return is ``p``
    times the inner one (with ``rescale`` equal to it), so that the optimal policies stay as they are, at any
    discount; the return of a single episode does not.

    Args:
        reward: the inner reward, any spec.
        p: the probability that a token's pay is KEPT, in (0, 1] (in ``torch.nn.Dropout`` it is that of a loss).
        rescale: divide by ``p`` what is kept.
    """

    kind = "dropout"

    def __init__(self, reward, p: float, rescale: bool = False):
        super().__init__(reward)
        self.p = number("p (the probability that a token's pay is kept)", p, above=0.0, high=1.0)
        self.rescale = bool(rescale)

    def factors(self, step, state):
        return (state.draws(step, "random") < self.p) / (self.p if self.rescale else 1.0)


class Noisy(ModifiedReward):
    """Adds Gaussian noise of mean 0 to what the inner reward pays, independently at every token: the term ``noise``.

    The EXPECTED return is the inner one, so that the optimal policies stay as they are, at any discount; the return
    of a single episode does not. Its variance grows by std² a token.

    Args:
        reward: the inner reward, any spec.
        std: standard deviation of the noise, at least 0.
    """

    kind = "noisy"

    def __init__(self, reward, std: float):
        super().__init__(reward)
        self.std = number("std", std, low=0.0)

    def start(self, n, rngs, metrics):
        return _Noisy(self, n, rngs, metrics)


class _Noisy(ModifiedPay):
    def step(self, step):
        paid, noise = self.inner_pay(step), self.recipe.std * self.draws(step, "standard_normal")
        self.terms = {**self.recipe.terms(self.inner.terms), "noise": noise}
        return paid + noise


# -- nonlinear: one term ---------------------------------------------------------------------------------


class Clipped(ModifiedReward):
    """Pays the inner reward clipped to [low, high] at every token. It changes the objective: one term, ``clipped:...``.

    Args:
        reward: the inner reward, any spec.
        low, high: the bounds, low < high; None: no bound.
    """

    kind = "clipped"
    elementwise = True

    def __init__(self, reward, low: float | None = -1.0, high: float | None = 1.0):
        super().__init__(reward)
        self.low = -np.inf if low is None else number("low", low)
        self.high = np.inf if high is None else number("high", high)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got low={low!r} and high={high!r}")

    def start(self, n, rngs, metrics):
        return _Clipped(self, n, rngs, metrics)


class _Clipped(ModifiedPay):
    def step(self, step):
        paid = np.minimum(np.maximum(self.inner_pay(step), self.recipe.low), self.recipe.high)
        self.terms = {self.recipe.name: paid}
        return paid
