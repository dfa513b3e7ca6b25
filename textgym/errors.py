"""Errors that say what was given, what is allowed, and the nearest right choice."""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
from collections.abc import Callable, Iterable
from numbers import Integral
from typing import Any


class InvalidAction(ValueError):
    """An action that is no token of the vocabulary, or (``on_illegal="raise"``) one the mask forbids.

    The environment's state is the same as before the call.
    """


class ResetNeeded(RuntimeError):
    """``step`` on an episode that has ended, has not begun, or whose reward failed."""


class RewardError(RuntimeError):
    """A reward raised, or returned something that is no finite number. ``reset`` before the next step."""


class ArgumentNeeded(ValueError):
    """A task that cannot be made without an argument, such as data, was to be made without it.

    Args:
        needs: what it needs, in a few words.
        more: what can be given.
    """

    def __init__(self, needs: str, more: str):
        super().__init__(needs, more)
        self.needs = needs

    def __str__(self) -> str:
        return ": ".join(self.args)


def said(error: Exception) -> str:
    """An exception in one line."""
    return str(error) if isinstance(error, RewardError) else f"{type(error).__name__}: {error}"


def unknown(kind: str, given: object, allowed: Iterable[str]) -> ValueError:
    """The error for a name that is not in a table: names the offender, the choices, the nearest one."""
    choices = sorted(map(str, allowed))
    return ValueError(
        f"unknown {kind} {given!r}.{did_you_mean(given, choices)} Allowed: {', '.join(choices) or 'none'}."
    )


def did_you_mean(given: object, choices: Iterable[str]) -> str:
    """`` Did you mean 'delta'?``, where one of ``choices`` is near, whatever the case; else an empty text."""
    as_lower = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(given).lower(), as_lower, n=1, cutoff=0.5)
    return f" Did you mean {as_lower[near[0]]!r}?" if near else ""


def one_of(kind: str, given: Any, allowed: Iterable[Any]) -> Any:
    """``given`` if it is allowed, else the error of :func:`unknown`."""
    allowed = list(allowed)
    if given not in allowed:
        raise unknown(kind, given, allowed)
    return given


def whole_number(name: str, given: Any, low: int, high: int | None = None) -> int:
    """``given`` as an int.

    Raises:
        ValueError: it is no whole number in low .. high.
    """
    whole = isinstance(given, Integral) and not isinstance(given, bool)
    if whole and low <= given and (high is None or given <= high):
        return int(given)
    allowed = f"at least {low}" if high is None else f"from {low} to {high}"
    raise ValueError(f"{name} must be a whole number, {allowed}, got {given!r}")


def usable_device(name: Any) -> Any:
    """The ``torch.device`` of that name; "auto": the GPU where there is one.

    Raises:
        ValueError: there is none: torch or this machine does not have it.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: torch is built without CUDA
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        there = ["auto", "cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ValueError(f"device {str(name)!r} cannot be used ({why}). Here there are: {', '.join(there)}.") from error
    return device


def call_checked(kind: str, factory: Callable[..., Any], kwargs: dict[str, Any], also: Iterable[str] = ()) -> Any:
    """``factory(**kwargs)``; ``TypeError`` names what is missing, or the nearest keyword of one it does not take.

    ``also``: keywords that stand elsewhere, and so are among the nearest, too.
    """
    parameters = inspect.signature(factory).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes = {p.name for p in named}
    if not any(p.kind == p.VAR_KEYWORD for p in parameters):
        for name in kwargs:
            if name not in takes:
                raise TypeError(str(unknown(f"keyword of {kind}", name, takes | set(also))))
    missing = [p.name for p in named if p.default is p.empty and p.name not in kwargs]
    if missing:
        raise TypeError(f"{kind} needs {', '.join(missing)}; it takes {', '.join(sorted(takes))}")
    return factory(**kwargs)


def refuse_json(kind: str, given: str) -> None:
    """Raise where a name is the text of a dict or a list: of JSON that nobody has read, or that cannot be read."""
    if given.lstrip()[:1] in ("{", "["):
        try:
            json.loads(given)
            why = "read it first, with json.loads"
        except ValueError as error:
            why = f"it is no valid JSON: {error}"
        raise ValueError(f"a {kind} is a name or a dict; {given!r} is the text of one: {why}")


def load_object(path: str) -> Any:
    """The object that ``"package.module:name"`` points to."""
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{path!r}: cannot import {module_name!r} ({error})") from error
    if not hasattr(module, name):
        public = [n for n in vars(module) if not n.startswith("_")]
        raise unknown(f"name in module {module_name}", name, public)
    return getattr(module, name)
