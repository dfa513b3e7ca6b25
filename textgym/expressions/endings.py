"""How much is missing: the shortest text that makes a prefix an expression."""

from __future__ import annotations

from functools import lru_cache
from keyword import kwlist

from textgym.expressions.syntax import Prefix, extend, is_complete

_WHERE_NAMES_STAND = ("open", "start", "right", "attribute", "target", "next target", "keyword")


def ending(prefix: Prefix) -> str:
    """A shortest text that makes the text an expression; "" where it is one.

    Brackets are left one after the other: how the inner one was left does not matter to the outer ones.
    """
    mode, token, open = prefix
    if mode in _WHERE_NAMES_STAND and (token[:1].isalpha() or token[:1] == "_") and token not in (*kwlist, "i"):
        token = "a"  # all names are alike, but for the beginning of `in`
    outer = len(open.rstrip("T")) - 1  # targets are left together with their comprehension
    return "".join([_way_out(mode, token, open[max(outer, 0) :]), *map(_closed, open[: max(outer, 0)][::-1])])


def _closed(place: str) -> str:
    return _way_out("after", "", place)


@lru_cache(maxsize=1 << 12)
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
