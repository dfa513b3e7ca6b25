"""WHAT is to be written. One file a family."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from textgym.errors import call_checked, load_object
from textgym.tasks.base import SPLITS, Task
from textgym.tasks.dataset import DatasetTask
from textgym.tasks.generated import GeneratedTask

# what environments take beside their task's own, for the hints of errors; the last three only when batched
ENV_KEYWORDS = ("reward", "mask", "observe_mask", "on_illegal", "metrics", "render_mode") + (
    "autoreset_mode",
    "copy",
    "group_size",
)


def make_task(spec, **arguments: Any) -> Task:
    """A task from an object, a class, or ``"package.module:Class"`` and its arguments.

    Tasks are immutable: equal JSON arguments (and :meth:`Task.stamp`) give one shared object, so that a thousand
    environments read a corpus once.
    """
    if isinstance(spec, Task):
        if arguments:
            names = ", ".join(arguments)
            raise TypeError(f"the task is already built: give {names} to {type(spec).__name__}(...) instead")
        return spec
    if isinstance(spec, str) and ":" not in spec:
        raise ValueError(f"a task is a Task, its class, or 'package.module:Class' (ids are for gym.make); got {spec!r}")
    if isinstance(spec, str):
        path, spec = spec, load_object(spec)
        try:
            text = json.dumps(arguments, sort_keys=True)
        except TypeError:  # no JSON values
            pass
        else:
            return _shared(path, text, spec.stamp(arguments) if hasattr(spec, "stamp") else None)
    if not (isinstance(spec, type) and issubclass(spec, Task)):
        raise TypeError(f"a task is a Task, its class, or 'package.module:Class'; got {spec!r}")
    batched = [name for name in ENV_KEYWORDS[-3:] if name in arguments]
    if batched:
        raise TypeError(f"{', '.join(batched)}: only batched environments take it: gym.make_vec, TextGenVectorEnv")
    task = call_checked(spec.__name__, spec, arguments, also=ENV_KEYWORDS)
    task.arguments = arguments
    return task


@lru_cache(maxsize=64)
def _shared(path: str, arguments: str, stamp: Any) -> Task:
    return make_task(load_object(path), **json.loads(arguments))


__all__ = ["SPLITS", "DatasetTask", "GeneratedTask", "Task", "make_task"]
