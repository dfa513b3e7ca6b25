"""Which texts are expressions, and which can still become one: decided character by character.

The language is the part of Python's expression syntax that :mod:`textgym.expressions` evaluates, spelt plainly:

* names of ASCII characters, ``True``, ``False``, ``None``, numbers such as ``12`` and ``1.5`` (no other spelling),
  and strings in single or double quotes on one line, with the escapes ``\\\\ \\' \\" \\n \\t``, no prefix and no other
  control character;
* lists, tuples (in parentheses, but for an index), dicts, comprehensions of lists and of generators, whose targets
  are names and tuples of names;
* arithmetic and bit operators, comparisons (without ``is``), ``in``, ``and``, ``or``, ``not``, ``a if b else c``;
* indexing and slicing, attributes, calls with positional and keyword arguments;
* spaces, also before the text; no other white space, no comments.

Names are not looked up: any name may stand where Python wants one. At most ``MAX_OPEN`` brackets and conditions
may be open at a time. Within these bounds a text is in the language exactly if Python parses it as an expression, and
:func:`extend` gives None exactly where no text at all could be added to make it one.

An automaton with a stack: tokens alternate between "an operand is wanted" and "an operand stands there", which is
all there is to know, as precedence changes the tree but hardly ever whether there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from keyword import kwlist
from typing import NamedTuple

MAX_OPEN = 20


class Prefix(NamedTuple):
    """Where a text stands that can become an expression.

    Attributes:
        mode: what the complete tokens ask for, a key of this module's ``_WANTED``.
        token: the last token, where more characters could belong to it; else "". Only what matters of it: one quote
            of a string, "_" for a name that is not the beginning of a keyword.
        open: the brackets and conditions that are open, the innermost last; a letter of ``_PLACES`` each.
    """

    mode: str = "open"
    token: str = ""
    open: str = ""


BEGINNING = Prefix()

_WANTED = {
    "open": "an operand, or what may stand in its place (the bracket's end, a colon)",
    "start": "an operand, perhaps after `not`",
    "right": "an operand, but no `not`: after an operator that binds more tightly",
    "after": "an operator, or the expression's end",
    "argument": "an operator, `=`, or the expression's end",  # after a name that begins an argument of a call
    "in": "`in`, after `not`",
    "attribute": "a name, after a dot",
    "target": "a name or a tuple of names, after `for`",
    "next target": "another one, or the end of the targets",
    "targeted": "a comma, or the end of the targets",
    "keyword": "the name of a keyword argument, or the end of the call",
    "equals": "`=`, after that name",
}
_OPERAND = {"open", "start", "right"}
_AFTER = {"after", "argument"}


@dataclass(frozen=True)
class _Place:
    """A place where expressions stand.

    Attributes:
        closing: the bracket that ends it.
        then: character after the expression -> the place that follows.
        bare: characters that may stand there without an expression.
        comprehension: the place that `for` leads to, "" where it may not stand.
        condition: `if` and `else` may follow the expression.
    """

    closing: str = ""
    then: tuple[tuple[str, str], ...] = ()
    bare: str = ""
    comprehension: str = ""
    condition: bool = True

    def after(self, character: str) -> str | None:
        return next((place for symbol, place in self.then if symbol == character), None)


_PLACES = {
    "": _Place(),
    "(": _Place(")", ((",", "t"),), ")", "g"),
    "t": _Place(")", ((",", "t"),), ")"),  # a tuple, after a comma
    "[": _Place("]", ((",", "l"),), "]", "m"),
    "l": _Place("]", ((",", "l"),), "]"),  # a list, after a comma
    "c": _Place(")", ((",", "a"),), ")", "g"),  # the first argument of a call
    "a": _Place(")", ((",", "a"),), ")"),  # an argument after a comma
    "k": _Place(")", ((",", "k"),)),  # the value of a keyword argument
    "{": _Place("", ((":", "v"),), "}"),  # the key of a dict
    "v": _Place("}", ((",", "{"),)),  # its value
    "s": _Place("]", ((",", "i"), (":", "1")), ":"),  # an index
    "i": _Place("]", ((",", "i"),), "]"),  # a tuple as index, after a comma
    "1": _Place("]", ((":", "2"),), "]:"),  # a slice, after its first colon
    "2": _Place("]", (), "]"),  # after its second
    "g": _Place(")", (), "", "g", condition=False),  # the clauses of a generator
    "m": _Place("]", (), "", "m", condition=False),  # the clauses of a list comprehension
    "?": _Place(condition=False),  # between `if` and `else`
    "T": _Place(")"),  # a tuple of targets
}
_BEGINNINGS = {keyword[:end] for keyword in kwlist for end in range(1, len(keyword) + 1)}
_LONGER = {"=": "=", "!": "=", "<": "=<", ">": "=>", "*": "*", "/": "/"}  # operators -> what may belong to them, too


def extend(prefix: Prefix | None, text: str) -> Prefix | None:
    """Where the text stands after ``text`` more; None where it can no longer become an expression."""
    for character in text:
        if prefix is None:
            return None
        prefix = _add(prefix, character)
    return prefix


def is_complete(prefix: Prefix | None) -> bool:
    """Whether the text is an expression as it stands."""
    if prefix is None or prefix.open:
        return False
    ended = _end_token(prefix)
    return ended is not None and ended.mode in _AFTER


def wanted(prefix: Prefix) -> str:
    """In words: what may stand after the text."""
    return _WANTED[(_end_token(prefix) or prefix).mode]


@lru_cache(maxsize=1 << 14)
def _add(prefix: Prefix, character: str) -> Prefix | None:
    mode, token, open = prefix
    if token:
        if token[0] in "'\"":
            return _add_to_string(prefix, character)
        if token[0].isdigit():
            if character == "." and "." not in token:
                return Prefix(mode, "1.", open)
            if character.isdigit() and character.isascii() and token != "0":
                return Prefix(mode, "1" if "." not in token else "1.5", open)
            if _in_word(character):
                return None
        elif token in _LONGER:
            if character in _LONGER[token]:
                return Prefix("right", "", open)
        elif _in_word(character):
            return _add_to_word(mode, token + character, open)
    ended = _end_token(prefix)
    return None if ended is None else _begin_token(ended.mode, character, ended.open)


def _in_word(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character == "_")


def _add_to_string(prefix: Prefix, character: str) -> Prefix | None:
    mode, token, open = prefix
    quote, escaped = token[0], len(token) > 1
    if escaped:
        return Prefix(mode, quote, open) if character in "\\'\"nt" else None
    if character == quote:
        return Prefix("after", "", open)
    if character == "\\":
        return Prefix(mode, quote + "\\", open)
    printable = " " <= character != "\x7f" and not "\ud800" <= character <= "\udfff"
    return prefix if printable else None


def _add_to_word(mode: str, word: str, open: str) -> Prefix | None:
    """``word`` may be unfinished: it has to be the beginning of one that may stand there."""
    if mode in _AFTER or mode in ("in", "targeted"):
        return Prefix(mode, word, open) if any(w.startswith(word) for w in _operators(mode, open)) else None
    return Prefix(mode, word if word in _BEGINNINGS else "_", open)


def _operators(mode: str, open: str) -> list[str]:
    """The keywords that may follow an operand (mode "after") or targets."""
    if mode not in _AFTER:
        return [] if mode == "targeted" and open[-1] == "T" else ["in"]
    place = _PLACES[open[-1:]]
    words = ["and", "or", "in", "not"]
    if open[-1:] == "?":
        words.append("else")
    elif not place.condition or len(open) < MAX_OPEN:
        words.append("if")
    if place.comprehension:
        words.append("for")
    return words


def _end_token(prefix: Prefix) -> Prefix | None:
    """The prefix when nothing more belongs to its last token; None where that token is unfinished or out of place."""
    mode, token, open = prefix
    if not token:
        return prefix
    if token[0] in "'\"!" or token == "1.":
        return None
    if token[0].isdigit():
        return Prefix("after", "", open)
    if token == "=":
        return Prefix("start", "", open[:-1] + "k") if mode == "argument" else None
    if token in _LONGER:
        return Prefix("right", "", open)
    return _end_word(mode, token, open)


def _end_word(mode: str, word: str, open: str) -> Prefix | None:
    place = open[-1:]
    if mode in _AFTER or mode in ("in", "targeted") or (mode == "next target" and word == "in"):
        if word not in _operators("targeted" if mode == "next target" else mode, open):
            return None
        if word == "in":
            return Prefix("right" if mode in _AFTER or mode == "in" else "start", "", open)
        if word == "if":
            return Prefix("start", "", open + "?" if _PLACES[place].condition else open)
        if word == "else":
            return Prefix("start", "", open[:-1])
        if word == "for":
            return Prefix("target", "", open[:-1] + _PLACES[place].comprehension)
        return Prefix("in" if word == "not" else "start", "", open)
    if mode in _OPERAND:
        if word == "not":
            return None if mode == "right" else Prefix("start", "", open)
        if word in ("True", "False", "None"):
            return Prefix("after", "", open)
    if word in kwlist:
        return None
    if mode in _OPERAND:
        return Prefix("argument" if mode == "open" and place and place in "ca" else "after", "", open)
    return Prefix({"attribute": "after", "keyword": "equals"}.get(mode, "targeted"), "", open)


def _begin_token(mode: str, character: str, open: str) -> Prefix | None:
    if character == " ":
        return Prefix(mode, "", open)
    if _in_word(character) and not character.isdigit():
        return _add_to_word(mode, character, open) if mode != "equals" else None
    place = _PLACES[open[-1:]]
    if mode in _OPERAND:
        if character.isdigit() and character.isascii():
            return Prefix(mode, "0" if character == "0" else "1", open)
        if character in "'\"":
            return Prefix(mode, character, open)
        if character in "([{":
            return _enter("open", open, character)
        if character in "+-~":
            return Prefix("right", "", open)
        if mode == "open" and character in place.bare:
            return _leave_or_go_on(character, open)
        return None
    if mode in _AFTER:
        if character in _LONGER:
            return Prefix(mode, character, open)
        if character in "+-%&|^":
            return Prefix("right", "", open)
        if character in "([":
            return _enter("open", open, "c" if character == "(" else "s")
        if character == ".":
            return Prefix("attribute", "", open)
        if character == place.closing or place.after(character):
            return _leave_or_go_on(character, open)
        return None
    if mode in ("target", "next target") and character == "(":
        return _enter("target", open, "T")
    if mode in ("next target", "targeted") and character == ")" and open[-1] == "T":
        return Prefix("targeted", "", open[:-1])
    if mode == "targeted" and character == ",":
        return Prefix("next target", "", open)
    if mode == "keyword" and character == ")":
        return Prefix("after", "", open[:-1])
    if mode == "equals" and character == "=":
        return Prefix("start", "", open)
    return None


def _enter(mode: str, open: str, place: str) -> Prefix | None:
    return Prefix(mode, "", open + place) if len(open) < MAX_OPEN else None


def _leave_or_go_on(character: str, open: str) -> Prefix:
    following = _PLACES[open[-1]].after(character)
    if following is None:
        return Prefix("after", "", open[:-1])
    return Prefix("keyword" if following == "k" else "open", "", open[:-1] + following)
