"""WHEN and HOW a metric is paid. One class a schedule; names in commands and JSON stand in ``SCHEDULES``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from textgym.errors import call_checked, load_object, unknown
from textgym.metrics import METRICS, BatchMetric
from textgym.rewards.base import RewardFunction, RewardState, RunningReward, Sum
from textgym.rewards.schedules import Delta, EveryStep, MetricReward, Schedule, Terminal

SCHEDULES: dict[str, type[RewardFunction]] = {
    "terminal": Terminal,
    "delta": Delta,
    "every_step": EveryStep,
}


def make_reward(spec) -> RewardFunction:
    """A reward from what a user or a JSON file says.

    Args:
        spec: one of
            a :class:`RewardFunction`;
            ``"delta"`` (pays the task's true score), ``"delta:cer"``, ``"delta:package.module:metric"``;
            ``"package.module:name"`` of a reward;
            ``{"name": "delta", "metric": "cer", "weight": 0.5, ...}``, other keys are the schedule's arguments;
            a list of these: their sum.

    Raises:
        ValueError, TypeError: names what was given, what is allowed and the nearest right name.
    """
    if isinstance(spec, RewardFunction):
        return spec
    if isinstance(spec, str):
        return _from_string(spec)
    if isinstance(spec, Mapping):
        return _from_mapping(spec)
    if isinstance(spec, (list, tuple)) and spec:
        rewards = [make_reward(item) for item in spec]
        return sum(rewards[1:], start=rewards[0])
    if callable(spec) or isinstance(spec, BatchMetric):
        raise TypeError(f"{spec!r} is a metric; say when it is paid: textgym.Delta(...) or textgym.Terminal(...)")
    raise TypeError(
        "a reward is a RewardFunction, a string such as 'delta:cer', a dict with a 'name', or a list of these; "
        f"got {spec!r}"
    )


def _from_string(spec: str) -> RewardFunction:
    name, colon, metric = spec.partition(":")
    if name in SCHEDULES:
        return SCHEDULES[name](metric) if colon else SCHEDULES[name]()
    if colon and ("." in name or find_spec(name)):
        reward = load_object(spec)
        return make_reward(reward() if isinstance(reward, type) else reward)
    if not colon and name in METRICS:
        raise ValueError(f"{name!r} is a metric; say when it is paid: 'delta:{name}' or 'terminal:{name}'")
    raise unknown("reward", name, SCHEDULES)


def _from_mapping(spec: Mapping[str, Any]) -> RewardFunction:
    arguments = dict(spec)
    weight = arguments.pop("weight", 1.0)
    if "name" not in arguments:
        raise ValueError(f"a reward's dict needs a 'name', one of {', '.join(sorted(SCHEDULES))}; got {dict(spec)!r}")
    name = arguments.pop("name")
    if not isinstance(name, str):
        raise unknown("reward", name, SCHEDULES)
    if name in SCHEDULES:
        reward = call_checked(f"reward {name!r}", SCHEDULES[name], arguments)
    elif not arguments:
        reward = _from_string(name)
    elif ":" in name and name.partition(":")[0] not in SCHEDULES:
        reward = make_reward(call_checked(f"reward {name!r}", load_object(name), arguments))
    else:
        raise unknown("reward", name, SCHEDULES)
    return reward if weight == 1.0 else reward * weight


__all__ = [
    "SCHEDULES",
    "Delta",
    "EveryStep",
    "MetricReward",
    "RewardFunction",
    "RewardState",
    "RunningReward",
    "Schedule",
    "Sum",
    "Terminal",
    "make_reward",
]
