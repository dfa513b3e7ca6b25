"""Which texts are expressions and which can become one: equal to Python's parser, by brute force."""

import itertools
import pickle
import re

import numpy as np
import pytest
from expressions_oracle import is_expression
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.expressions import BEGINNING, ending, extend, is_complete
from textgym.expressions.syntax import MAX_OPEN

# symbols that may follow each other in any order, and how many of them
ALPHABETS = [
    ("a1.' ", 6),
    ("a0=(),", 5),
    ("a1:[] ,", 5),
    ("a{}:1,", 5),
    ("ar'\\n ", 5),
    ('a"\\t#', 6),
    ("x-<=>*!", 4),
    ("+~%&|^/@;1", 4),
    ("a.1(\t", 5),
    (["a", "1", "not ", "if ", "else ", " in ", ",", "("], 4),
    (["[", "]", "a", " for a", " in a", " if ", ","], 5),
    (["(", ")", "a", " for a", " in a", ",", "not"], 5),
    (["f(", ")", "a", "=", ",", " for a in b"], 6),
    (["[", "]", "a", " for a in b", " if ", " else "], 6),
    (["None", "True", "is", "lambda", " ", "and", "a"], 4),
]


def words(alphabet, length):
    for n in range(length + 1):
        yield from map("".join, itertools.product(alphabet, repeat=n))


@pytest.mark.parametrize("alphabet, length", ALPHABETS, ids=str)
def test_equal_to_pythons_parser_by_brute_force(alphabet, length):
    members = []
    for text in words(alphabet, length):
        complete = is_complete(extend(BEGINNING, text))
        assert complete == is_expression(text), text
        if complete:
            members.append(text)
    shortest = {}  # prefix of members -> the shortest way to go on to one
    for text in members:
        for end in range(len(text) + 1):
            prefix, rest = text[:end], text[end:]
            shortest[prefix] = min(shortest.get(prefix, rest), rest, key=len)
    for text in words(alphabet, min(length, 4)):
        prefix = extend(BEGINNING, text)
        if prefix is None:
            assert text not in shortest
        else:
            rest = ending(prefix)
            assert is_expression(text + rest), text
            assert text not in shortest or len(rest) <= len(shortest[text]), text


@pytest.mark.parametrize(
    "text, rest",
    [
        ("", "a"), ("f(", ")"), ("f(a=", "a)"), ("f(a=1,", ")"), ("{", "}"), ("{a", ":a}"), ("{a:", "a}"), ("x[", "a]"),
        ("x[:", "]"), ("x.", "a"), ("x n", "ot in a"), ("x f", None), ("(x f", "or a in a)"), ("[a for a,", "in a]"),
        ("[a for a, i", "n a]"), ("[a for (a", ")in a]"), ("a if b", " else a"), ("a if b ", "else a"), ("'a\\", "''"),
        ("1.", "0"), ("a!", "=a"), ("not", "a"), ("lambda", "a"), ("{[(", ")]:0}"), ("if", "a"), ("1 if", "''else''"),
        ("0if", None), ("x is", None), ("f'", None), ("[a, b f", None), ("f(a, b f", None), ("a = ", None),
    ],
)  # fmt: skip
def test_what_is_missing(text, rest):
    prefix = extend(BEGINNING, text)
    assert (None if prefix is None else len(ending(prefix))) == (None if rest is None else len(rest))
    assert rest is None or is_expression(text + rest)


ATOMS = ["x", "y1", "0", "12", "1.5", "'a b'", '"\\n"', "None", "[]", "()", "{}"]
FORMS = """(A)+(B)|-(A)|not (A)|(A)not in(B)|(A) and (B)|(A)if(B)else(C)|[A, B]|(A, B,)|{A: B, C: A}|(A)[B]|(A)[B:C]
    (A)[::C]|(A)[B,]|(A).upper()|(A).split(B, C)|sorted(A, key=B)|len(A)|[A for n in (B)]|sum(A for n, m in (B) if (C))
    [A for (n, m), k in (B) for n, in (C)]|(A)**(B)|(A) <= (B)!=(C)|A|"x"|'it\\'s'""".replace("\n    ", "|").split("|")


@st.composite
def expressions(draw):
    """Any expression of the language."""
    text = "A"
    for _ in range(draw(st.integers(0, 3))):
        form = draw(st.sampled_from(FORMS))
        text = re.sub("[ABC]", lambda _: form, text, count=1)  # noqa: B023
    return re.sub("[ABC]", lambda _: draw(st.sampled_from(ATOMS)), text)


@settings(max_examples=200, deadline=None)
@given(expressions())
def test_every_prefix_of_an_expression_can_become_one(text):
    prefix = BEGINNING
    for character in text:
        prefix = extend(prefix, character)
        assert prefix is not None
    assert is_complete(prefix) and ending(prefix) == "" and is_expression(text)


@settings(max_examples=300, deadline=None)
@given(expressions(), st.data())
def test_a_change_is_seen_as_python_sees_it(text, data):
    """A character put in or replaced: complete, dead or unfinished exactly as with Python."""
    at = data.draw(st.integers(0, len(text)))
    symbol = data.draw(st.sampled_from(list("()[]{},:.='\" 0a+<!\\")) | st.characters(categories=["L", "N", "S", "Z"]))
    changed = text[:at] + symbol + text[at + data.draw(st.integers(0, 1)) :]
    prefix = extend(BEGINNING, changed)
    assert is_complete(prefix) == is_expression(changed), changed
    assert prefix is None or is_expression(changed + ending(prefix))


@pytest.mark.parametrize("symbol", ["\0", "\t", "\n", "\r", "\x0c", "\x7f", "\ud800", "\udfff"])
def test_no_control_characters_and_no_halves_of_characters(symbol):
    assert extend(BEGINNING, f"x{symbol}") is None and extend(BEGINNING, f"'{symbol}") is None


def test_the_end_is_the_shortest():
    """Breadth first, over all symbols there are."""
    symbols = "aifnort01 ().,:='\"[]{}<!*-esld\\"
    rng = np.random.default_rng(0)
    for _ in range(40):
        text = ""
        while len(text) < rng.integers(1, 12):
            longer = text + symbols[rng.integers(len(symbols))]
            text = longer if extend(BEGINNING, longer) is not None else text
        prefix = extend(BEGINNING, text)
        layer = {prefix}
        for _ in range(min(len(ending(prefix)), 4)):
            assert not any(map(is_complete, layer)), text
            layer = {longer for one in layer for c in symbols if (longer := extend(one, c)) is not None}


def test_how_many_brackets_may_be_open():
    full = extend(BEGINNING, "(" * MAX_OPEN)
    assert extend(full, "(") is None and extend(full, "[") is None and is_complete(extend(full, "1" + ")" * MAX_OPEN))
    assert extend(full, "1 i") is not None and extend(full, "1 if") is None  # could be `in`, but no condition
    assert extend(full, "f(") is None and extend(full, "x[") is None


def test_a_prefix_is_a_value():
    prefix = extend(BEGINNING, "f([x")
    assert pickle.loads(pickle.dumps(prefix)) == prefix == extend(extend(BEGINNING, "f("), "[x")
    assert extend(None, "a") is None and extend(extend(BEGINNING, ")"), "") is None
