"""Optimistic edit distance at every prefix, against the plain dynamic program and its definition."""

import copy
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diversity import check_at_every_prefix, in_units, pushes

from textgym import EditDistance, Episode
from textgym.metrics.optimistic import OptimisticEditDistance

PAIRS = [(unit, form) for unit in ("character", "word") for form in ("rate", "accuracy", "distance")]


def last_column(text, reference):
    """Edit distances of ``text`` to every prefix of ``reference``."""
    column = list(range(len(reference) + 1))
    for symbol in text:
        above = column
        column = [above[0] + 1]
        for i, other in enumerate(reference):
            column.append(min(above[i] + (symbol != other), above[i + 1] + 1, column[i] + 1))
    return column


@pytest.mark.parametrize("unit, form", PAIRS)
@settings(deadline=None, max_examples=150)
@given(pushed=st.one_of(pushes(), pushes(st.text("ab ", max_size=30))))
def test_it_is_the_smallest_cell_of_the_last_column(unit, form, pushed):
    def to_one(text, reference):
        reference = in_units(reference, unit)
        distance = min(last_column(in_units(text, unit), reference))
        rate = distance / max(len(reference), 1)
        return {"distance": distance, "rate": rate, "accuracy": max(0.0, 1 - rate)}[form]

    def expected(text, references):
        if not references:
            return {"distance": len(in_units(text, unit)), "rate": 1.0, "accuracy": 0.0}[form]
        return (max if form == "accuracy" else min)(to_one(text, r) for r in references)

    check_at_every_prefix(OptimisticEditDistance(unit, form), expected, pushed)


@settings(deadline=None, max_examples=25)
@given(st.text("abc ", max_size=120), st.text("abc ", min_size=30, max_size=300))
def test_it_is_right_for_long_references(text, reference):
    text = reference[:40] + text
    for unit in ("character", "word"):
        progress = OptimisticEditDistance(unit, "distance").start(Episode("", (reference,)))
        for i, piece in enumerate(text):
            value = progress.push(piece)
            if i % 10 == 0 or i == len(text) - 1:
                assert value == min(last_column(in_units(text[: i + 1], unit), in_units(reference, unit)))


@pytest.mark.slow
@settings(deadline=None, max_examples=3000)
@given(pushes(st.text("ab ", max_size=60)))
def test_it_is_the_smallest_cell_of_the_last_column_in_many_cases(pushed):
    for unit in ("character", "word"):
        check_at_every_prefix(
            OptimisticEditDistance(unit, "distance"),
            lambda text, references, unit=unit: min(
                [min(last_column(in_units(text, unit), in_units(r, unit))) for r in references],
                default=len(in_units(text, unit)),
            ),
            pushed,
        )


@settings(deadline=None, max_examples=100)
@given(st.text("ab", max_size=4), st.text("ab", max_size=4))
def test_no_continuation_is_nearer_and_one_is_as_near(text, reference):
    episode = Episode("", (reference,))
    whole = EditDistance("character", "distance")
    continued = (text + "".join(more) for n in range(5) for more in product("ab", repeat=n))
    best = min(whole.score(longer, episode) for longer in continued)
    assert OptimisticEditDistance(form="distance").score(text, episode) == best


@settings(deadline=None, max_examples=100)
@given(st.text("abc", max_size=40), st.lists(st.text("abc", max_size=40), min_size=1, max_size=3))
def test_a_symbol_raises_it_by_0_or_1_and_it_is_0_for_prefixes_only(text, references):
    progress = OptimisticEditDistance(form="distance").start(Episode("", references))
    before = progress.push("")
    assert before == 0.0
    for i, symbol in enumerate(text):
        value = progress.push(symbol)
        assert value - before in (0.0, 1.0)
        assert (value == 0) == any(r.startswith(text[: i + 1]) for r in references)
        before = value


def test_it_says_nothing_of_what_is_missing():
    episode = Episode("", ["the cat sat"])
    metric = OptimisticEditDistance()
    assert metric.score("", episode) == metric.score("the c", episode) == metric.score("the cat sat", episode) == 1.0
    assert metric.score("teh c", episode) == pytest.approx(1 - 2 / 11)
    assert metric.score("the cat sat down", episode) == pytest.approx(1 - 5 / 11)
    words = OptimisticEditDistance("word", "distance").start(episode)
    assert [words.push(piece) for piece in ("t", "he", " ", "cat ", "is", " sat")] == [1, 0, 0, 0, 1, 1]


def test_names_worst_and_errors():
    assert [OptimisticEditDistance(*pair).name for pair in PAIRS] == [
        "optimistic_cer",
        "optimistic_character_accuracy",
        "optimistic_character_distance",
        "optimistic_wer",
        "optimistic_word_accuracy",
        "optimistic_word_distance",
    ]
    assert OptimisticEditDistance(form="rate").worst == 1.0 and OptimisticEditDistance().worst == 0.0
    with pytest.raises(ValueError, match="Did you mean 'word'"):
        OptimisticEditDistance("words")


@pytest.mark.parametrize("metric", [EditDistance(), OptimisticEditDistance()])
def test_copies_share_the_table_of_the_reference(metric):
    progress, other = (metric.start(Episode("", ["the cat"])) for _ in range(2))
    assert copy.deepcopy(progress).pattern is progress.pattern is other.pattern
