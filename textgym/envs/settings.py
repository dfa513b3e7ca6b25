"""What every id takes: one place that turns keyword arguments into task, reward, mask and metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary

from textgym.envs.masks import make_mask
from textgym.envs.state import TextGenState
from textgym.errors import one_of, unknown
from textgym.rewards import make_reward, metric_alone
from textgym.tasks import Task, make_task

RENDER_MODES = ["ansi", "human", "rgb_array"]
RENDER_FPS = 8


class EnvSettings:
    """The checked keyword arguments of an environment.

    Args:
        task: a :class:`~textgym.tasks.Task`, its class, or "package.module:Class".
        reward: what :func:`~textgym.rewards.make_reward` takes.
        split, tokenizer, budget: given to the task; None leaves the task's default.
        mask: what :func:`~textgym.envs.masks.make_mask` takes.
        observe_mask: observe ``{"tokens", "action_mask"}``.
        on_illegal: "end" (the episode ends), "raise", or a number: end, and pay that.
        metrics: metrics to report at the end of each episode, names or objects.
        render_mode: None, "ansi", "human" or "rgb_array".
        task_arguments: the task's own arguments.
    """

    def __init__(
        self,
        task: Any,
        reward: Any,
        tokenizer: Any,
        split: str | None,
        budget: int | None,
        mask: Any,
        observe_mask: bool,
        on_illegal: str | float,
        metrics: Sequence[Any],
        render_mode: str | None,
        task_arguments: dict[str, Any],
    ):
        common = {"split": split, "tokenizer": tokenizer, "budget": budget}
        arguments = {k: v for k, v in common.items() if v is not None} | task_arguments
        self.task: Task = make_task(task, **arguments)
        self.reward = make_reward(reward).resolve(self.task)
        self.mask = make_mask(mask, self.task)
        if isinstance(on_illegal, Real) and not isinstance(on_illegal, bool):
            if not math.isfinite(on_illegal):
                raise ValueError(f"on_illegal must be 'end', 'raise' or a finite number, got {on_illegal}")
            self.on_illegal: float | str = float(on_illegal)
        else:
            if on_illegal not in ("end", "raise"):
                raise unknown("on_illegal", on_illegal, ("end", "raise", "a number (what an illegal end pays)"))
            self.on_illegal = 0.0 if on_illegal == "end" else "raise"
        if not isinstance(metrics, (list, tuple)):
            metrics = [] if metrics is None else [metrics]
        self.metrics = [metric_alone(metric).resolve(self.task) for metric in metrics]
        taken = {
            "end_reason",
            "score",
            "is_success",
            "text",
            "reward_terms",
            "action_mask",
            "episode_id",
            "episode",
        } | {"final_info", "final_obs"}
        for metric in self.metrics:
            if not metric.name or metric.name.startswith("_"):
                raise ValueError(f"a metric to report needs a name that does not begin with '_', got {metric.name!r}")
            if metric.name in taken:
                raise ValueError(
                    f"a metric to report cannot be called {metric.name!r}; taken: {', '.join(sorted(taken))}"
                )
            taken.add(metric.name)
        if observe_mask and self.mask is None:
            raise ValueError(
                "observe_mask=True needs a mask: give mask='task', {'name': 'banned', ...} or {'name': 'top_k', ...}"
            )
        self.observe_mask = observe_mask
        self.render_mode = None if render_mode is None else one_of("render_mode", render_mode, RENDER_MODES)

    @property
    def action_space(self) -> Discrete:
        return Discrete(self.task.vocabulary.size)

    @property
    def observation_space(self) -> Box | Dict:
        size = self.task.vocabulary.size
        tokens = Box(0, size, (self.task.prompt_length + self.task.budget,), np.int32)
        return Dict(tokens=tokens, action_mask=MultiBinary(size)) if self.observe_mask else tokens

    def start(self, n: int, group_size: int = 1, scalar: bool = False) -> TextGenState:
        """The state machine of n rows; ``group_size``, ``scalar``: as it takes them."""
        return TextGenState(
            n,
            self.task,
            self.reward,
            mask=self.mask,
            on_illegal=self.on_illegal,
            metrics=self.metrics,
            group_size=group_size,
            keep_payments=self.render_mode is not None,
            scalar=scalar,
        )
