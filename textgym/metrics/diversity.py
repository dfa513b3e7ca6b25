"""What a text says about itself, without a reference: how much of it is new, and how long it is.

Units are characters or words (``str.split``); the last, perhaps unfinished, word counts as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from textgym.errors import one_of, whole_number
from textgym.metrics.base import Metric, Progress
from textgym.metrics.units import UNITS


class Distinct(Metric):
    """Distinct-n (Li et al. 2016): distinct n-grams / n-grams of the text, in [0, 1]; 0 where there is none.

    Args:
        n: units of an n-gram, at least 1.
        unit: "word" or "character".
    """

    kind = "distinct"

    def __init__(self, n: int = 2, unit: str = "word"):
        self.n = whole_number("n of the n-grams", n, 1)
        self.unit = one_of("unit of n-grams", unit, UNITS)
        self.name = f"{self.kind}{n}" if unit == "word" else f"{unit}_{self.kind}{n}"

    def start(self, episode):
        return _NGrams(self)

    def value(self, distinct: int, total: int) -> float:
        return distinct / total if total else 0.0


class Repetition(Distinct):
    """The share of n-grams that occurred before in the text: 1 - distinct-n, in [0, 1]; 0 where there is none.

    Lower is better, and an empty text has none: pay it with a negative weight, beside a reward for the content.

    Args:
        n: units of an n-gram, at least 1.
        unit: "word" or "character".
    """

    kind = "repetition"
    worst = 1.0
    lower_is_better = True

    def value(self, distinct, total):
        return (total - distinct) / total if total else 0.0


class _NGrams(Progress):
    def __init__(self, metric: Distinct):
        self.metric = metric
        self.units = UNITS[metric.unit]()
        self.glue = " " if metric.unit == "word" else ""  # no word holds it: joined n-grams are as different as lists
        self.recent: list[str] = []  # the last n - 1 settled units
        self.seen: set[str] = set()
        self.total = 0

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        if settled:
            new = self._completed(settled)
            self.seen.update(new)
            self.total += len(new)
            self.recent = [*self.recent, *settled][max(0, len(self.recent) + len(settled) - self.metric.n + 1) :]
        distinct, total = len(self.seen), self.total
        if unsettled:
            new = self._completed(unsettled)
            distinct += len(set(new) - self.seen)
            total += len(new)
        return self.metric.value(distinct, total)

    def _completed(self, units: Sequence[str]) -> list[str]:
        """The n-grams that end in one of ``units``, which follow the settled ones."""
        n, window = self.metric.n, [*self.recent, *units]
        return [self.glue.join(window[i : i + n]) for i in range(len(window) - n + 1)]


class Length(Metric):
    """The length of the text.

    Args:
        unit: "character" or "word".
        target: None: the value is the number of units. A whole number, at least 1, or "reference": the value says how
            near the length is to the target, 1 - |length - target| / max(length, target), in [0, 1] and 1 only at
            the target (of an empty reference: for an empty text). The best of several references counts, and without
            any the value is 0.
    """

    def __init__(self, unit: str = "character", target: int | str | None = None):
        self.unit = one_of("unit of length", unit, UNITS)
        if isinstance(target, str):
            self.target = one_of("target of length", target, ["reference"])
        else:
            self.target = None if target is None else whole_number("target of length", target, 1)
        self.needs_references = target == "reference"
        self.name = f"{unit}_count" if target is None else f"{unit}_length_match"

    def start(self, episode):
        if self.target is None:
            return _Count(self.unit)
        if self.target != "reference":
            return _LengthMatch(self.unit, (self.target,))
        return _LengthMatch(self.unit, tuple(_length(self.unit, reference) for reference in episode.references))


@lru_cache(maxsize=4096)
def _length(unit: str, text: str) -> int:
    return len(UNITS[unit].split(text))


class _Count(Progress):
    def __init__(self, unit: str):
        self.units = UNITS[unit]()
        self.settled = 0

    def push(self, piece, provisional=""):
        settled, unsettled = self.units.push(piece, provisional)
        self.settled += len(settled)
        return float(self.settled + len(unsettled))


class _LengthMatch(_Count):
    def __init__(self, unit: str, targets: tuple[int, ...]):
        super().__init__(unit)
        self.targets = targets

    def push(self, piece, provisional=""):
        length = super().push(piece, provisional)
        return max([_match(length, target) for target in self.targets], default=0.0)


def _match(length: float, target: int) -> float:
    # the same as 1 - |length - target| / max(length, target)
    return min(length, target) / max(length, target) if length != target else 1.0
