"""What expressions compute with: plain values of bounded size."""

from __future__ import annotations

from typing import Any

MAX_SIZE = 5_000
MAX_BITS = 2_048  # 617 digits: fewer than Python's own limit for the conversion to a string can be set to
_MAX_LEVELS = 60  # lists in lists that a caller may give; expressions make fewer


class ExpressionError(ValueError):
    """An expression that cannot be read, or has no value. The message says why."""


def size_of(value: Any) -> int:
    """What a value counts: one for every number, character, list, ..., and one more for every 32 bits of an integer.

    Lists in lists count as often as they stand there, shared or not.

    Raises:
        ExpressionError: more than ``MAX_SIZE``; an integer of more than ``MAX_BITS`` bits; something else than
            int, float, bool, str, None, list, tuple, dict and range.
    """
    return _size_of(value, 0)


def _size_of(value: Any, level: int) -> int:
    kind = type(value)
    if kind is int:
        return 1 + checked_bits(value.bit_length()) // 32
    if kind is str:
        return checked_size(1 + len(value))
    if kind is list or kind is tuple or kind is dict:
        if level > _MAX_LEVELS:
            raise ExpressionError(f"lists are nested more than {_MAX_LEVELS} deep")
        size = 1
        for items in (value.keys(), value.values()) if kind is dict else (value,):
            for item in items:
                size += _size_of(item, level + 1)
                if size > MAX_SIZE:
                    break
        return checked_size(size)
    if kind is range:
        longest = max(abs(value.start), abs(value.stop)).bit_length()
        return checked_size(1 + len(value) * (1 + checked_bits(longest) // 32))
    if value is None or kind is bool or kind is float:
        return 1
    raise ExpressionError(f"a {kind.__name__} is no value that can be kept, compared or returned")


def checked_size(size: int) -> int:
    if size > MAX_SIZE:
        raise ExpressionError(f"a value is larger than {MAX_SIZE:,}")
    return size


def checked_bits(bits: int) -> int:
    if bits > MAX_BITS:
        raise ExpressionError(f"an integer has more than {MAX_BITS:,} bits")
    return bits


def identical(a: Any, b: Any) -> bool:
    """Whether two values are equal and of the same types all the way down: 1, 1.0 and True are three values."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    return a == b
