"""How much is missing: the shortest text that makes a prefix an expression."""

from __future__ import annotations

from functools import lru_cache

from textgym.expressions.syntax import Prefix, extend, is_complete

_WHERE_NAMES_STAND = ("open", "start", "right", "attribute", "target", "next target", "keyword")


def ending(prefix: Prefix) -> str:
    """A shortest text that makes the text an expression; "" where it is one.

    Brackets are left one after the other: how the inner one was left does not matter to the outer ones.
    """
    inner, outer = split_open(prefix)
    return _way_out(*inner) + closing(outer)


def closing(open: str) -> str:
    """A shortest text that closes these brackets, the last one first, after an expression in it."""
    return "".join([_way_out("after", "", place) for place in open[::-1]])


def split_open(prefix: Prefix) -> tuple[Prefix, str]:
    """The prefix with its innermost bracket alone, and the brackets around that."""
    mode, token, open = prefix
    outer = max(len(open.rstrip("T")) - 1, 0)  # targets are left together with their comprehension
    return Prefix(mode, token, open[outer:]), open[:outer]


@lru_cache(maxsize=1 << 14)
def _way_out(mode: str, token: str, open: str) -> str:
    """A shortest text that makes it an expression, where these brackets are all that is open."""
    first = Prefix(mode, token, open)
    found, seen = [("", first)], {first}
    for text, prefix in found:  # grows: breadth first
        if is_complete(prefix):
            return text
        # beside what ends tokens and brackets: a name, or the letters of `and`, `else`, `for`, `if`, `in`, `not`, `or`
        letters = "ain" if prefix.mode in _WHERE_NAMES_STAND else "adefilnorst"
        for character in " 0=:)]}'\"n" + letters:
            longer = extend(prefix, character)
            if longer is not None and longer not in seen:
                seen.add(longer)
                found.append((text + character, longer))
    raise AssertionError(f"{first} has no end")
