"""The interpreter: values and types of Python's eval, nothing but what is whitelisted, and all of it bounded."""

import copy
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from expressions_oracle import evaluated, is_expression, random_expression
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.benchmarks.hostile_expressions import FORMS, HOSTILE, NAMES, VALUES, filled
from textgym.expressions import Expression, ExpressionError, identical
from textgym.expressions.interpreter import MAX_STEPS, Interpreter


def value_of(text, **names):
    return Expression(text).evaluate(names or NAMES)


def adds_floats(value):
    """Python 3.12 and later add floats in ``sum`` with a correction."""
    return any(map(adds_floats, value)) if isinstance(value, (list, tuple)) else isinstance(value, float)


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_pythons_eval(seed):
    rng, kinds, same = np.random.default_rng(seed), {}, 0
    for _ in range(1000):
        text = random_expression(rng)
        expected, error = evaluated(text)
        try:
            value = value_of(text)
        except ExpressionError as refused:
            if error is None:  # only for its size
                assert any(reason in str(refused) for reason in ("bits", "larger", "steps", "characters", "deep")), text
            continue
        assert error is None, text
        if not ("sum" in text and (adds_floats(value) or "2.5" in text or "/" in text)):
            assert identical(value, expected), text
            same += 1
            kinds[type(value)] = kinds.get(type(value), 0) + 1
    assert same > 500 and len(kinds) >= 7 and min(kinds.values()) >= 1


@pytest.mark.parametrize(
    "text, value",
    [
        ("[n * 2 for n in x if n * 2 > 4]", [6, 8, 10]),
        ("[n*m for n, m in zip(x, x[1:]) if n > 0]", [-3, 4, 5]),
        ("' '.join(word[::-1] for word in s.split())", "ba bac"),
        ("sorted(w, key=len)[-1] if w else ''", "cab"),
        ("  x [ - 1 ]  ", 5),
        ("any(1 // n for n in [1, 0])", True),  # lazy: the second is never divided by
        ("[n for k in [1, 2] for n in [k]] + [k]", [1, 2, 2]),  # names inside are no names outside
        ("[k for x in x for k in [x]][:2]", [3, -1]),  # the first list is looked up outside
        ("list(zip(x, 'ab', (k,)))", [(3, "a", 2)]),
        ("sum(range(5), 0.5)", 10.5),
        ("~True", -2),
        ("1 < 2 < 3 != 4", True),
        ("[] or 0 or ''", ""),
        ("{'a': 1, (1, 'b'): [2]}[(1, 'b')][0]", 2),
        ("x[k - 1:][::-1][0:10**20]", [5, 1, 4, -1]),
    ],
)
def test_values(text, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert identical(value_of(text), value)
    assert identical(evaluated(text)[0], value)


def test_floats_are_added_one_after_the_other_in_every_python():
    assert value_of("sum([0.1] * 10)") == 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 != 1.0


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "unfinished.*an operand"),
        ("sum(x", "unfinished.*an operator, `=`, or the expression's end"),
        ("x y", "'y' at 2 is out of place"),
        ("lambda: 1", "':' at 6"),
        ("y + 1", "no name 'y'; the names are: x, k"),
        ("x.append(1)", "no method 'append'"),
        ("x.__class__", "attributes are there to be called"),
        ("x.__class__()", "no method '__class__'"),
        ("[m for n in x]", "no name 'm'"),
        ("[m for n in [m] for m in x]", "no name 'm'"),
        ("open('f')", "no name 'open'"),
        ("k(1)", "int cannot be called"),
        ("x[9]", "IndexError"),
        ("d['z']", "KeyError"),
        ("{[]: 1}", "TypeError"),
        ("1 // 0", "ZeroDivisionError"),
        ("s + 1", "does not take a str and a int"),
        ("'%d' % 1", "does not take a str and a int"),
        ("(-8) ** 0.5", "complex"),
        ("2.0 ** 9999", "OverflowError"),
        ("[a for a, b in x]", "int has no items"),
        ("[a for a, b in [x]]", "5 values cannot be unpacked to 2 names"),
        ("reversed(x)", "list_reverseiterator is no value"),
        ("[zip(x)]", "zip is no value"),
        ("(n for n in x)", "generator is no value"),
        ("len", "function is no value"),
        ("s.split(sep='a')", "no keywords"),
        ("len(x, x)", "TypeError"),
        ("sorted(x, reversed=True)", "TypeError"),
        ("sorted(x, reverse='a')", "reverse is True or False"),
        ("sum(['a'], '')", "does not add strings"),
        ("max([])", "ValueError"),
        ("round(1, 2)", "TypeError"),
    ],
)
def test_no_value_and_why(text, why):
    with pytest.raises(ExpressionError, match=why):
        value_of(text)


def attack(text, names=NAMES):
    """Evaluate; check what it cost: calls of functions, Python's and C's, and bytes."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    before = copy.deepcopy(names)
    tracemalloc.start()
    sys.setprofile(count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            interpreter = Interpreter()
            value = interpreter.run(Expression(text).tree, names)
    except ExpressionError as error:
        value = error
    finally:
        sys.setprofile(None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert names == before
    assert calls < 20 * MAX_STEPS and peak < 5_000_000, (text, calls, peak)
    return value


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:40])
def test_hostile_expressions_cost_little(text):
    attack(text)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(FORMS), min_size=1, max_size=7),
    st.lists(st.sampled_from(VALUES), min_size=20, max_size=20),
)
def test_whatever_is_written_costs_little_and_is_right(forms, values):
    text = filled(forms, values)
    value = attack(text)
    if not isinstance(value, ExpressionError) and not ("sum" in text and "1.5" in text):
        assert identical(value, evaluated(text)[0])


LARGE = {
    "x": list(range(-400, 400)),
    "k": 2**600,
    "s": "ab cab " * 300,
    "w": ["cab", "a", "bb" * 50] * 20,
    "d": {"a": 1, "b": [2] * 900},
    "t": ([1] * 900, "a" * 900),
}


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 25))
def test_on_large_values_too(seed, size):
    text = random_expression(np.random.default_rng(seed), size)
    value = attack(text, LARGE)
    if not isinstance(value, ExpressionError) and "sum" not in text:
        assert identical(value, evaluated(text, LARGE)[0])


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text(alphabet="x()[]{}:,.'\"0123456789*+-<>= afnorilsept_\\\n#", max_size=40))
def test_any_text_has_a_value_or_an_error_of_its_own(text):
    value = attack(text)
    if not is_expression(text):
        assert isinstance(value, ExpressionError)


@pytest.mark.parametrize("value", [{1}, b"a", object(), len, [iter([])], "a" * 5001, [[0] * 100] * 51, 1 << 2048])
def test_values_that_may_not_be_given(value):
    with pytest.raises(ExpressionError, match="no value|larger|bits"):
        value_of("1", x=value)


def test_a_list_that_holds_itself_may_not_be_given():
    value = []
    value.append(value)
    with pytest.raises(ExpressionError, match="nested"):
        value_of("1", x=value)


def test_identical_minds_types():
    assert identical([1, ("a", {"b": [None]})], [1, ("a", {"b": [None]})])
    different = [1, True, 1.0, "1", [1], (1,), [1, 1], [True], [[1]], {"a": 1}, {"a": True}, {"b": 1}, None, 0]
    for i, a in enumerate(different):
        for j, b in enumerate(different):
            assert identical(a, b) == (i == j)


def test_deep_in_other_calls_there_is_still_no_other_exception():
    def dive(depth):
        if depth:
            return dive(depth - 1)
        try:
            return value_of("[" * 15 + "1" + "]" * 15)
        except ExpressionError as error:
            return str(error)

    found = []
    for depth in range(0, 2000, 7):
        try:
            found.append(dive(depth))
        except RecursionError:  # in dive itself
            break
    assert found[0] != found[-1] and "RecursionError" in str(found)
