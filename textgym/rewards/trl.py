"""Reward functions of TRL's trainers (GRPO, RLOO) as rewards here. The way back is in ``trl_export.py``.

TRL calls ``fn(prompts=[...], completions=[...], completion_ids=[[...]], **columns, ...)`` and gets one number, or
None, for each completion. It need not be installed.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from textgym.episode import Episode, Step
from textgym.errors import RewardError, one_of, unknown
from textgym.metrics import BatchMetric, BatchProgress
from textgym.rewards.base import RewardFunction, number, part_of
from textgym.rewards.schedules import MetricReward

TEXTS = ("prompts", "completions", "completion_ids")
OF_EPISODE = ("prompt", "references", "reference")  # beside the names of its meta
OF_TRAINER = ("trainer_state", "log_extra", "log_metric", "environments")  # passed like columns, but none


def from_trl(
    fn: Callable[..., Any],
    weight: float = 1.0,
    columns: Sequence[str] | Mapping[str, str] = (),
    chat: bool = False,
    when: str | Mapping[str, Any] | type[MetricReward] = "terminal",
) -> RewardFunction:
    """A TRL reward function as a reward.

    Args:
        fn, columns, chat: as for :class:`TRLMetric`.
        weight: what the pay is multiplied by, as TRL's ``reward_weights``.
        when: "terminal", as TRL pays: ``fn`` is called once in a step of the environment, with all rows that end in
            it. "delta", "every_step", another schedule that pays a metric, its class, or a dict with its arguments,
            ``{"name": "potential", "gamma": 0.99}``: ``fn`` is called once in every step, with what each row has
            written so far. Of many functions the value of an unfinished text says nothing (a format with a
            closing tag): look at it first, or let the function return None until it applies.

    What "terminal" and "delta" pay in an episode sums to what TRL's trainer adds up for the completion, ``weight``
    times the function's number, where None, "this does not apply", counts as 0. See :class:`TRLMetric` for None
    of an unfinished text.

    Raises:
        TypeError, ValueError: ``fn`` cannot be called with what it would be given, or a wrong argument.
    """
    metric = TRLMetric(fn, columns, chat)
    if isinstance(when, type) and issubclass(when, MetricReward):
        reward = when(metric)
    elif isinstance(when, (str, Mapping)):
        reward = part_of({**({"name": when} if isinstance(when, str) else when), "metric": metric})
    else:
        raise TypeError(f"when is the name of a schedule, a dict with its arguments, or its class; got {when!r}")
    weight = number("weight", weight)
    return reward if weight == 1.0 else reward * weight


class TRLMetric(BatchMetric):
    """What a TRL reward function says of a text, finished or not, recomputed on the whole text each time.

    None, "this does not apply", of a finished text counts as 0, as in TRL's sum. Of an unfinished text it says
    nothing: the value stays what it was at the last prefix that the function gave a number (0 before the first), so
    that "delta" pays 0 for the token, and "every_step" the same as before.

    ``fn`` gets, by keyword, what TRL would pass: ``prompts``, ``completions`` (without EOS), ``completion_ids`` (with
    EOS, where it was written), the columns, ``trainer_state=None``, and ``log_extra`` and ``log_metric``, which do
    nothing here; of these what its signature takes. An ``async`` function is waited for.

    Args:
        fn: returns one number, or None, for each completion. (TRL leaves out NaN, too; here it is an error.)
        columns: what TRL would take from the columns of its data set: names of ``episode.meta``, or a mapping from
            column to where it comes from, ``{"solution": "reference"}``. Beside the names of ``meta`` there are
            "prompt", "references" (a list of strings) and "reference" (the first one).
        chat: prompts and completions are lists of one message, ``[{"role": "assistant", "content": ...}]``.

    Raises:
        TypeError: ``fn`` cannot be called, needs an argument that is no column, or does not take a column.
        ValueError: a column has the name of another argument; or, when an environment is made, comes from what the
            task's episodes do not have.
    """

    def __init__(self, fn: Callable[..., Any], columns: Sequence[str] | Mapping[str, str] = (), chat: bool = False):
        if not callable(fn) or isinstance(fn, type):
            raise TypeError(f"a TRL reward function is a function fn(prompts, completions, ...), got {fn!r}")
        if isinstance(columns, str):
            raise TypeError(f"columns is a sequence of names, or a mapping, got {columns!r}")
        self.fn = fn
        self.name = getattr(fn, "__name__", None) or type(fn).__name__
        self.columns = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
        self.chat = bool(chat)
        for column in self.columns:
            if column in TEXTS + OF_TRAINER:
                raise ValueError(f"{column!r} is passed to every TRL reward function: it cannot be a column")
        self.takes = _keywords(fn, self.name, self.columns)
        self.needs_references = not {"reference", "references"}.isdisjoint(self.columns.values())

    def resolve(self, task):
        if len(task):  # a name that is wrong is told before the first episode
            for source in self.columns.values():
                one_of(f"column of TRL reward function {self.name!r}", source, {*OF_EPISODE, *task.episode(0).meta})
        return self

    def start_rows(self, n, vocabulary):
        return _OfPrefixes(self, n)

    def score_rows(self, step):
        return np.nan_to_num(self.called(step))

    def called(self, step: Step) -> np.ndarray:
        """What ``fn`` says of the texts so far, float64 (k,), NaN where it says None, in one call.

        Raises:
            RewardError: ``fn`` raised, or returned something else than a finite number or None for each text; or an
                episode lacks a column.
        """
        episodes, texts = step.episodes, step.texts
        lengths = np.atleast_1d(step.lengths).tolist()
        arguments = {
            "prompts": [self._message("user", episode.prompt) for episode in episodes],
            "completions": [self._message("assistant", text) for text in texts],
            "completion_ids": [ids[:size].tolist() for ids, size in zip(step.tokens, lengths, strict=True)],
            **{column: [self._cell(column, episode) for episode in episodes] for column in self.columns},
            "trainer_state": None,
            "log_extra": _ignore,
            "log_metric": _ignore,
        }
        try:
            values = self.fn(**{key: arguments[key] for key in arguments if self.takes is None or key in self.takes})
            if inspect.isawaitable(values):
                values = _waited_for(values)
        except Exception as error:
            raise RewardError(f"TRL reward function {self.name!r} raised {type(error).__name__}: {error}") from error
        return self._numbers(values, len(texts))

    def _message(self, role: str, text: str) -> str | list[dict[str, str]]:
        return [{"role": role, "content": text}] if self.chat else text

    def _cell(self, column: str, episode: Episode) -> Any:
        cells = {**episode.meta, "prompt": episode.prompt, "references": list(episode.references)}
        if episode.references:
            cells["reference"] = episode.references[0]
        source = self.columns[column]
        if source not in cells:
            words = unknown(f"column of TRL reward function {self.name!r}", source, cells)
            raise RewardError(f"{words} That is what the episode with the prompt {episode.prompt!r} has")
        return cells[source]

    def _numbers(self, values: Any, count: int) -> np.ndarray:
        try:
            values = list(values)  # TRL takes whatever can be iterated over
        except TypeError:
            raise RewardError(
                f"TRL reward function {self.name!r} returned {values!r} for {count} completions, not a list"
            ) from None
        if len(values) != count:
            raise RewardError(
                f"TRL reward function {self.name!r} returned {len(values)} values for {count} completions"
            )
        numbers = np.full(count, np.nan)
        for i, value in enumerate(values):
            if value is None:
                continue
            value = value.item() if getattr(value, "ndim", None) == 0 else value  # of an array, or a tensor
            if not isinstance(value, Real) or not np.isfinite(value):
                raise RewardError(
                    f"TRL reward function {self.name!r} returned {value!r} for completion {i}: a finite number is "
                    "needed, or None where it does not apply"
                )
            numbers[i] = value
        return numbers


class _OfPrefixes(BatchProgress):
    not_saved = frozenset({"metric"})

    def __init__(self, metric: TRLMetric, n: int):
        self.metric = metric
        self.values = np.zeros(n)  # the last number that each row's text was given

    def reset(self, rows, episodes):
        self.values = self.values.copy()  # it may be what the last step returned
        self.values[rows] = 0.0

    def value(self, step):
        given = self.metric.called(step)
        without = np.where(step.ended, 0.0, step.take(self.values))
        values = np.where(np.isnan(given), without, given)
        self.values = step.put(self.values, values)
        return values


def _keywords(fn: Callable[..., Any], name: str, columns: Mapping[str, str]) -> frozenset[str] | None:
    """The keywords that ``fn`` takes; None: all of them."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # some functions written in C have none
        return None
    takes = frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    offered = {*TEXTS, *OF_TRAINER[:3], *columns}
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.default is not p.empty:
            continue
        if p.kind == p.POSITIONAL_ONLY:
            raise TypeError(f"TRL calls by keyword, but {name!r} takes {p.name!r} by position only")
        if p.name not in offered:
            raise TypeError(
                f"TRL reward function {name!r} needs {p.name!r}: say where it comes from, columns=[{p.name!r}] for "
                f"episode.meta, or columns={{{p.name!r}: 'reference'}}"
            )
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return None
    for column in columns:
        if column not in takes:
            raise TypeError(str(unknown(f"keyword of TRL reward function {name!r}", column, takes)))
    return takes


def _ignore(*args: Any, **kwargs: Any) -> None:
    """In place of the trainer's loggers."""


def _waited_for(awaitable: Awaitable[Any]) -> Any:
    """Its result. It runs in another thread, since in a notebook a loop is running in this one already."""
    import asyncio

    async def result():
        return await awaitable

    return asyncio.run_coroutine_threadsafe(result(), _loop(os.getpid())).result()


@lru_cache(maxsize=1)
def _loop(process: int):
    """The event loop of a process: always the same, as clients of servers expect. A forked child has its own."""
    import asyncio
    import threading

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="textgym TRL functions", daemon=True).start()
    return loop
