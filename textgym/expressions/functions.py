"""The functions and methods that expressions may call. Each pays for what it goes through and makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from textgym.expressions.operators import add
from textgym.expressions.values import MAX_BITS, ExpressionError, checked_size, size_of

if TYPE_CHECKING:
    from textgym.expressions.interpreter import Interpreter

Function = Callable[..., Any]
"""``function(interpreter, *arguments)``"""

_MOST_DIGITS = MAX_BITS * 3 // 10  # of a decimal number of MAX_BITS bits


def _len(run: Interpreter, value, /):
    return len(value)


def _abs(run: Interpreter, value, /):
    return abs(value)


def _round(run: Interpreter, value, /):
    return run.kept(round(value))  # no digits: they would be a power of ten


def _str(run: Interpreter, value="", /):
    run.spend(size_of(value))
    return run.kept(str(value))


def _int(run: Interpreter, value=0, /):
    if isinstance(value, str) and len(value) > _MOST_DIGITS:
        raise ExpressionError(f"int() of more than {_MOST_DIGITS} characters")
    return run.kept(int(value))


def _bool(run: Interpreter, value=False, /):
    return bool(value)


def _ord(run: Interpreter, value, /):
    return ord(value)


def _chr(run: Interpreter, value, /):
    return chr(value)


def _range(run: Interpreter, /, *limits):
    return run.kept(range(*limits))


def _list(run: Interpreter, items=(), /):
    return run.kept(list(run.items(items)))


def _tuple(run: Interpreter, items=(), /):
    return run.kept(tuple(run.items(items)))


def _sum(run: Interpreter, items, /, start=0):
    if isinstance(start, str):
        raise ExpressionError("sum() does not add strings: use ''.join()")
    for item in run.items(items):
        start = run.kept(add(start, item))
    return start


def _any(run: Interpreter, items, /):
    return any(run.items(items))


def _all(run: Interpreter, items, /):
    return all(run.items(items))


def _sorted(run: Interpreter, items, /, *, key=None, reverse=False):
    values = run.kept(list(run.items(items)))
    keys = _keys(run, values, key)
    run.spend(size_of(keys) * len(keys).bit_length())
    if not isinstance(reverse, int):
        raise ExpressionError(f"reverse is True or False, got a {type(reverse).__name__}")
    order = sorted(range(len(values)), key=keys.__getitem__, reverse=reverse)
    return [values[i] for i in order]


_NO_VALUE = object()


def _extreme(choose: Callable, run: Interpreter, first, /, *others, key=None, default=_NO_VALUE):
    if others and default is not _NO_VALUE:
        raise ExpressionError("default goes with a single argument")
    values = run.kept([first, *others] if others else list(run.items(first)))
    if not values and default is not _NO_VALUE:
        return default
    keys = _keys(run, values, key)
    return values[choose(range(len(values)), key=keys.__getitem__)]


def _keys(run: Interpreter, values: list, key: Function | None) -> list:
    return values if key is None else run.kept([run.call(key, [value]) for value in values])


def _zip(run: Interpreter, /, *several):
    return zip(*map(run.items, several))  # noqa: B905


def _enumerate(run: Interpreter, items, /, start=0):
    return enumerate(run.items(items), start)


def _reversed(run: Interpreter, items, /):
    return reversed(items)


def _map(run: Interpreter, function, /, first, *others):
    several = [run.items(items) for items in (first, *others)]
    return (run.call(function, arguments) for arguments in zip(*several))  # noqa: B905


def _filter(run: Interpreter, function, items, /):
    keep = bool if function is None else lambda item: run.call(function, [item])
    return (item for item in run.items(items) if keep(item))


FUNCTIONS: dict[str, Function] = {
    "abs": _abs,
    "all": _all,
    "any": _any,
    "bool": _bool,
    "chr": _chr,
    "enumerate": _enumerate,
    "filter": _filter,
    "int": _int,
    "len": _len,
    "list": _list,
    "map": _map,
    "max": partial(_extreme, max),
    "min": partial(_extreme, min),
    "ord": _ord,
    "range": _range,
    "reversed": _reversed,
    "round": _round,
    "sorted": _sorted,
    "str": _str,
    "sum": _sum,
    "tuple": _tuple,
    "zip": _zip,
}


def _own(kind: type, name: str) -> Function:
    """A method whose result is at most a few times as large as what it is given."""
    method = getattr(kind, name)

    def call(run: Interpreter, owner, /, *arguments):
        run.spend(size_of(owner) + sum(map(size_of, arguments)))
        return run.kept(method(owner, *arguments))

    return call


def _join(run: Interpreter, glue: str, items: Iterable, /):
    texts = run.kept(list(run.items(items)))
    checked_size(size_of(texts) + len(glue) * len(texts))
    return run.kept(glue.join(texts))


def _replace(run: Interpreter, text: str, old: str, new: str, count: int = -1, /):
    run.spend(size_of(text) + size_of(old) + size_of(new))
    times = text.count(old) if count < 0 else min(text.count(old), count)
    checked_size(len(text) + times * max(len(new) - len(old), 0))
    return run.kept(text.replace(old, new, count))


def _padded(name: str) -> Function:
    method = getattr(str, name)

    def call(run: Interpreter, text: str, width: int, /, *fill):
        checked_size(width)
        return run.kept(method(text, width, *fill))

    return call


def _view(name: str) -> Function:
    method = getattr(dict, name)
    return lambda run, owner: iter(method(owner))


_OF_STRINGS = """capitalize count endswith find index isalnum isalpha isdigit islower isspace isupper lower lstrip
    removeprefix removesuffix rstrip split startswith strip swapcase title upper""".split()

METHODS: dict[type, dict[str, Function]] = {
    str: {name: _own(str, name) for name in _OF_STRINGS}
    | {name: _padded(name) for name in ("center", "ljust", "rjust", "zfill")}
    | {"join": _join, "replace": _replace},
    **{kind: {name: _own(kind, name) for name in ("count", "index")} for kind in (list, tuple, range)},
    dict: {"get": _own(dict, "get")} | {name: _view(name) for name in ("items", "keys", "values")},
}
