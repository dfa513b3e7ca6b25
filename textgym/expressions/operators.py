"""The operators, each of which knows how large its result will be before there is one."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from textgym.expressions.values import ExpressionError, checked_bits, checked_size, size_of

_NUMBERS = (int, float)  # bool is an int
_SEQUENCES = (str, list, tuple)


def add(a: Any, b: Any) -> Any:
    numbers = isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS)
    if not numbers and not (type(a) is type(b) and isinstance(a, _SEQUENCES)):
        raise _wrong_types("+", a, b)
    return a + b  # at most twice as large as a value may be


def multiply(a: Any, b: Any) -> Any:
    if isinstance(a, _NUMBERS) and isinstance(b, _NUMBERS):
        if isinstance(a, int) and isinstance(b, int):
            checked_bits(a.bit_length() + b.bit_length())
        return a * b
    sequence, times = (b, a) if isinstance(a, int) else (a, b)
    if not isinstance(sequence, _SEQUENCES) or not isinstance(times, int):
        raise _wrong_types("*", a, b)
    checked_size(size_of(sequence) * max(times, 0))
    return a * b


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int) and b > 0:
        checked_bits(max(abs(a) - 1, 0).bit_length() * b)  # |a| <= 2 ** that
    result = a**b
    if isinstance(result, complex):
        raise ExpressionError(f"{a!r} ** {b!r} is a complex number")
    return result


def _shift_left(a: int, b: int) -> int:
    checked_bits(a.bit_length() + max(b, 0))
    return a << b


def _invert(a: Any) -> int:
    return ~int(a) if isinstance(a, bool) else ~a  # of a bool, Python warns


def _wrong_types(symbol: str, a: Any, b: Any) -> ExpressionError:
    return ExpressionError(f"{symbol} does not take a {type(a).__name__} and a {type(b).__name__}")


def _on(kinds: type | tuple[type, ...], symbol: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``apply``, for operands of these kinds only: `%` formats no strings, `|` joins no dicts."""

    def operate(a: Any, b: Any) -> Any:
        if not (isinstance(a, kinds) and isinstance(b, kinds)):
            raise _wrong_types(symbol, a, b)
        return apply(a, b)

    return operate


BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: add,
    ast.Sub: _on(_NUMBERS, "-", operator.sub),
    ast.Mult: multiply,
    ast.Div: _on(_NUMBERS, "/", operator.truediv),
    ast.FloorDiv: _on(_NUMBERS, "//", operator.floordiv),
    ast.Mod: _on(_NUMBERS, "%", operator.mod),
    ast.Pow: _on(_NUMBERS, "**", _power),
    ast.LShift: _on(int, "<<", _shift_left),
    ast.RShift: _on(int, ">>", operator.rshift),
    ast.BitAnd: _on(int, "&", operator.and_),
    ast.BitOr: _on(int, "|", operator.or_),
    ast.BitXor: _on(int, "^", operator.xor),
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: _invert,
    ast.Not: operator.not_,
}
# `in` is the interpreter's: it may have to go through a generator
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
