"""WHEN and HOW a metric is paid. One class a schedule; names in commands and JSON stand in ``SCHEDULES``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from textgym.errors import call_checked, load_object, refuse_json, unknown
from textgym.metrics import METRICS, BatchMetric, make_metric
from textgym.rewards.base import RewardFunction, RewardState, RunningReward, Sum, number
from textgym.rewards.held_back import AtWordEnds, Delayed, HeldBack
from textgym.rewards.modified import Clipped, Dropout, ModifiedPay, ModifiedReward, Noisy, Scaled
from textgym.rewards.normalised import Normalised
from textgym.rewards.potential import Potential
from textgym.rewards.schedules import Constant, Delta, EveryStep, MetricReward, Schedule, Terminal
from textgym.rewards.trl import TRLMetric, from_trl
from textgym.rewards.trl_export import TRLReward, to_trl

SCHEDULES: dict[str, type[RewardFunction]] = {
    "terminal": Terminal,
    "delta": Delta,
    "potential": Potential,
    "every_step": EveryStep,
    "constant": Constant,
    "delayed": Delayed,
    "at_word_ends": AtWordEnds,
    "noisy": Noisy,
    "dropout": Dropout,
    "scaled": Scaled,
    "clipped": Clipped,
    "normalised": Normalised,
}


def make_reward(spec) -> RewardFunction:
    """A reward from what a user or a JSON file says.

    Args:
        spec: one of
            a :class:`RewardFunction`;
            ``"delta"`` (pays the task's true score), ``"delta:cer"``, ``"delta:package.module:metric"``: what follows
            the schedule's name is its first argument;
            ``"package.module:name"`` of a reward;
            ``{"name": "delta", "metric": "cer", "weight": 0.5, ...}``, other keys are the schedule's arguments, rewards
            among them: ``{"name": "delayed", "k": 4, "reward": "delta:cer"}``;
            a list of these: their sum.

    Raises:
        ValueError, TypeError: names what was given, what is allowed and the nearest right name.
    """
    if isinstance(spec, RewardFunction):
        return spec
    if isinstance(spec, (str, Mapping)):
        return _from_arguments(spelt_out(spec))
    if isinstance(spec, (list, tuple)) and spec:
        rewards = [make_reward(item) for item in spec]
        return sum(rewards[1:], start=rewards[0])
    if isinstance(spec, type) and issubclass(spec, RewardFunction):
        raise TypeError(f"{spec.__name__} is a class, and a reward an object of it: {spec.__name__}(...)")
    if callable(spec) or isinstance(spec, BatchMetric):
        raise TypeError(f"{spec!r} is a metric; say when it is paid: textgym.Delta(...) or textgym.Terminal(...)")
    raise TypeError(
        "a reward is a RewardFunction, a string such as 'delta:cer', a dict with a 'name', or a list of these; "
        f"got {spec!r}"
    )


def metric_alone(spec) -> BatchMetric:
    """:func:`~textgym.metrics.make_metric`, where a reward may be given by mistake.

    Raises:
        ValueError: ``spec`` is a reward; what its metric and its schedule are. And what ``make_metric`` raises.
    """
    name = spec.get("name") if isinstance(spec, Mapping) else spec
    schedule = name.partition(":")[0] if isinstance(name, str) else None
    if isinstance(spec, RewardFunction) or schedule in SCHEDULES:
        metric = None if isinstance(spec, RewardFunction) else spelt_out(spec).get("metric")
        hint = "" if metric is None else f": {metric!r} (its schedule is {schedule!r})"
        raise ValueError(
            f"{spec!r} is a reward, which says when a metric is paid; here the metric alone is needed{hint}"
        )
    return make_metric(spec)


def spelt_out(spec: str | Mapping[str, Any]) -> dict[str, Any]:
    """The dict of a string, or of a dict, with the schedule's first argument by name.

    ``"delta:cer"`` and ``{"name": "delta:cer"}`` are ``{"name": "delta", "metric": "cer"}``; a name that is none of
    ``SCHEDULES`` stays as it is.

    Raises:
        TypeError: the dict has this argument already.
    """
    arguments = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = arguments.get("name")
    schedule, colon, argument = name.partition(":") if isinstance(name, str) else ("", "", "")
    if colon and schedule in SCHEDULES:
        first = next(iter(inspect.signature(SCHEDULES[schedule]).parameters))
        if first in arguments:
            raise TypeError(f"the {first} of reward {schedule!r} is given twice: {spec!r}")
        arguments |= {"name": schedule, first: argument}
    return arguments


def _from_arguments(arguments: dict[str, Any]) -> RewardFunction:
    if "name" not in arguments:
        raise ValueError(f"a reward's dict needs a 'name', one of {', '.join(sorted(SCHEDULES))}; got {arguments!r}")
    name, weight = arguments.pop("name"), number("weight", arguments.pop("weight", 1.0))
    if not isinstance(name, str):
        raise unknown("reward", name, SCHEDULES)
    reward = _named(name, arguments)
    return reward if weight == 1.0 else reward * weight


def _named(name: str, arguments: dict[str, Any]) -> RewardFunction:
    if name in SCHEDULES:
        _say_that_it_wraps(name, arguments)
        return call_checked(f"reward {name!r}", SCHEDULES[name], arguments, also=["weight"])
    refuse_json("reward", name)
    module, colon, _ = name.partition(":")
    if colon and ("." in module or (module and find_spec(module))):
        reward = load_object(name)
        if isinstance(reward, type) or arguments:
            reward = call_checked(f"reward {name!r}", reward, arguments)
        return make_reward(reward)
    if name in METRICS:
        raise ValueError(f"{name!r} is a metric; say when it is paid: 'delta:{name}' or 'terminal:{name}'")
    raise unknown("reward", module, SCHEDULES)


def _say_that_it_wraps(name: str, arguments: Mapping[str, Any]) -> None:
    """Raise where a schedule of rewards is given a metric, or nothing to change."""
    takes = inspect.signature(SCHEDULES[name]).parameters
    if "reward" not in takes or "reward" in arguments:
        return
    if "metric" in arguments or takes["reward"].default is inspect.Parameter.empty:
        inner = f"delta:{arguments['metric']}" if isinstance(arguments.get("metric"), str) else "delta"
        example = json.dumps({"name": name, "reward": inner})
        raise TypeError(
            f"{name!r} changes what another reward pays: say which, as in {example}; it takes {', '.join(takes)}"
        )


__all__ = [
    "AtWordEnds",
    "Clipped",
    "Constant",
    "Delayed",
    "Delta",
    "Dropout",
    "EveryStep",
    "HeldBack",
    "MetricReward",
    "ModifiedPay",
    "ModifiedReward",
    "Noisy",
    "Normalised",
    "Potential",
    "RewardFunction",
    "RewardState",
    "RunningReward",
    "SCHEDULES",
    "Scaled",
    "Schedule",
    "Sum",
    "TRLMetric",
    "TRLReward",
    "Terminal",
    "from_trl",
    "make_reward",
    "metric_alone",
    "spelt_out",
    "to_trl",
]
