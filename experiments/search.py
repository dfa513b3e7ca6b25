"""Search spaces of arms, and the points in them that are tried.

A space says for each flag a list of values or a range. The points are a fixed design, random search (Bergstra & Bengio
2012, "Random Search for Hyper-Parameter Optimization"): arms with the same space are tried at the same points, so that
none has luckier draws than another; all trials can be made side by side; who is killed goes on without the state of a
sampler; and N points are the first N of more. A sampler that learns from trials begins with ten random ones anyway.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = dict[str, Any]  # flag -> value


@dataclass(frozen=True)
class LogUniform:
    """A range of which each factor is as likely; values have 3 digits.

    Raises:
        ValueError: not 0 < low < high.
    """

    low: float
    high: float

    def __post_init__(self):
        if not 0 < self.low < self.high:
            raise ValueError(f"a LogUniform needs 0 < low < high, got low={self.low!r}, high={self.high!r}")

    def __contains__(self, value: object) -> bool:
        return isinstance(value, float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


Space = Mapping[str, "Sequence[Any] | LogUniform"]  # flag, "hyperparams.gae_lambda" for one within a setting -> values


def points(space: Space, count: int) -> list[Point]:
    """``count`` different points of a space.

    Raises:
        ValueError: it has fewer.
        ImportError: Optuna is not installed.
    """
    size = math.prod(math.inf if isinstance(values, LogUniform) else len(values) for values in space.values())
    if count > size:
        raise ValueError(f"--tune {count}: the space of {', '.join(space)} has no more than {size} points")
    try:
        import optuna
    except ImportError as error:
        raise ImportError('--tune needs Optuna: pip install "textgym[tune]"') from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = {
        flag: optuna.distributions.FloatDistribution(values.low, values.high, log=True)
        if isinstance(values, LogUniform)
        else optuna.distributions.IntDistribution(0, len(values) - 1)  # the place in the list
        for flag, values in space.items()
    }
    found: list[Point] = []
    for _ in range(1000 * count):
        drawn = study.ask(distributions).params
        point = {flag: _value(values, drawn[flag]) for flag, values in space.items()}
        if point not in found:
            found.append(point)
        if len(found) == count:
            return found
    raise ValueError(f"--tune {count}: in the space of {', '.join(space)} only {len(found)} points were found")


def _value(values: Sequence[Any] | LogUniform, drawn: Any) -> Any:
    if isinstance(values, LogUniform):
        return min(max(float(f"{drawn:.3g}"), values.low), values.high)
    return values[drawn]


def with_point(settings: Mapping[str, Any], point: Point) -> dict[str, Any]:
    """Settings with the values of a point in them."""
    changed = json.loads(json.dumps(settings))
    for flag, value in point.items():
        *path, last = flag.split(".")
        place = changed
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return changed


def point_in(settings: Mapping[str, Any], space: Space) -> Point:
    """The values that settings have of the flags of a space, None: it has none."""
    point: Point = {}
    for flag in space:
        value: Any = settings
        for name in flag.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        point[flag] = value
    return point


def outside(point: Point, space: Space) -> list[str]:
    """The flags whose values are none of the space's, in words."""
    wrong = {flag: values for flag, values in space.items() if point[flag] not in values}
    return [
        f"{flag} was {point[flag]!r}, is searched in {values if isinstance(values, LogUniform) else list(values)}"
        for flag, values in wrong.items()
    ]
