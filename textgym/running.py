"""Recipes and running states: what is shared by many environments, and what one environment owns.

A *recipe* (task, vocabulary, metric, reward) never changes once it is built, may hold tables and
models, and is shared freely: copying an environment never copies it. A *running state* is what a
recipe remembers about the rows of one environment; it can be saved and restored exactly.
"""

from __future__ import annotations

import copy
import inspect
import re
import reprlib
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from typing import Any


class Recipe:
    """An immutable description; ``copy.copy`` and ``copy.deepcopy`` return the same object."""

    __slots__ = ()

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


class _Whole(reprlib.Repr):
    """``repr``, with sets in order, and without the addresses of objects: the same in every process."""

    def __init__(self):
        super().__init__()
        vars(self).update({name: 10**9 for name in vars(self) if name.startswith("max")}, maxlevel=9)

    def repr_instance(self, x, level):
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(x))


_WHOLE = _Whole()


@reprlib.recursive_repr("...")
def described(recipe: Recipe) -> str:
    """A recipe as the call that makes it, the same in every process: ``"Delayed(reward=Constant(value=2.0), k=4)"``.

    Of its arguments it knows those that it keeps in attributes of their names, or calls its class with in
    ``__reduce__``; it names the ones that are not the default. A long one is cut, and told apart by digits of its hash.
    """
    own, defaults = vars(recipe), _defaults(type(recipe))
    if type(recipe).__reduce__ is not object.__reduce__:
        maker, arguments, *_ = recipe.__reduce__()
        own = dict(zip(defaults, arguments, strict=False)) if maker is type(recipe) else own
    kept = {name: _in_short(own[name]) for name in defaults if name in own}
    changed = [f"{name}={text}" for name, text in kept.items() if text != defaults[name]]
    return f"{type(recipe).__name__}({', '.join(changed)})"


@lru_cache(maxsize=1024)
def _defaults(recipe: type) -> dict[str, str | None]:
    """Argument -> its default in words, None where it has none."""
    parameters = inspect.signature(recipe).parameters.values()
    return {p.name: None if p.default is p.empty else _in_short(p.default) for p in parameters}


def _in_short(value: Any, longest: int = 500) -> str:
    text = _WHOLE.repr(value)
    return text if len(text) <= longest else f"{text[:longest]}... ({sha256(text.encode()).hexdigest()[:8]})"


class RunningState:
    """What a recipe remembers about n rows.

    Attributes named in ``not_saved`` belong to somebody else (the generators are the environment's)
    and stay as they are on :meth:`set_state`. Everything else is saved: nested running states, alone or in a
    list, tuple or dict, by their own ``get_state``, the rest by ``copy.deepcopy``. What is saved can be pickled
    where the metrics' progress can.
    """

    not_saved: frozenset[str] = frozenset({"rngs"})

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # what a subclass names is added to what its parents do: nobody loses the generators by naming a recipe
        cls.not_saved = frozenset().union(*(vars(parent).get("not_saved", ()) for parent in cls.__mro__))

    def get_state(self) -> dict[str, Any]:
        """A copy of all that this state remembers; it shares nothing mutable with the state."""
        return {name: _save(value) for name, value in vars(self).items() if name not in self.not_saved}

    def set_state(self, saved: dict[str, Any]) -> None:
        """Go back to what :meth:`get_state` returned; ``saved`` can be used again."""
        for name, value in saved.items():
            setattr(self, name, _restore(getattr(self, name, None), value))


def _save(value: Any) -> Any:
    if isinstance(value, RunningState):
        return value.get_state()
    if _holds_states(value):
        return _each(value, _save)
    return copy.deepcopy(value)


def _restore(current: Any, saved: Any) -> Any:
    if isinstance(current, RunningState):
        current.set_state(saved)
        return current
    if _holds_states(current):
        if isinstance(current, dict):
            return {key: _restore(state, saved[key]) for key, state in current.items()}
        return type(current)(_restore(state, kept) for state, kept in zip(current, saved, strict=True))
    return copy.deepcopy(saved)


def _holds_states(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(isinstance(item, RunningState) for item in inside)


def _each(value: Any, function: Callable[[Any], Any]) -> Any:
    return {k: function(v) for k, v in value.items()} if isinstance(value, dict) else [function(v) for v in value]
