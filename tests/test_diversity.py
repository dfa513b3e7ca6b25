"""Distinct n-grams, repetitions and lengths at every prefix, against their definitions."""

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import Episode
from textgym.metrics.diversity import Distinct, Length, Repetition

WHITE_SPACE = [" ", "  ", "\n", "-\n", "\t", "\u00a0", "\u3000", "\u2028", "\x85", "\x1c", "\x1f"]
WORDS = ["a", "b", "the cat", "a a ", "1,000.5", "...", "!?", "&am", "p;", "<skip", "ped>", "", "\ufffd"]
LETTERS = ["我爱", "你", "😀", "👍🏽", "é", "e\u0301", "Σ", "ΑΣ", "\u212a", "İ"]
nasty_texts = st.lists(st.sampled_from(WHITE_SPACE + WORDS + LETTERS), max_size=12).map("".join)
UNITS = ["word", "character"]


@st.composite
def pushes(draw, texts=nasty_texts):
    """(references, [(piece, provisional text), ...]): a text near a reference or any, cut anywhere."""
    references = draw(st.lists(texts, max_size=3))
    text = draw(texts)
    if references and draw(st.booleans()):
        right = draw(st.sampled_from(references))
        text = right[: draw(st.integers(0, len(right)))] + text
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    provisional = st.one_of(st.just(""), st.just("\ufffd"), texts)
    return tuple(references), [(piece, draw(provisional)) for piece in pieces]


def check_at_every_prefix(metric, expected, pushed):
    """``expected(text, references)`` is the value after each push, also of a copy that goes on in its place."""
    references, pairs = pushed
    episode = Episode("", references)
    progress, committed = metric.start(episode), ""
    for i, (piece, provisional) in enumerate(pairs):
        value = progress.push(piece, provisional)
        committed += piece
        assert value == pytest.approx(expected(committed + provisional, references), rel=1e-9, abs=1e-12)
        assert metric.score(committed + provisional, episode) == pytest.approx(value, rel=1e-9, abs=1e-12)
        if i == 2:
            progress.push("", "thrown away")
            other, progress = progress, copy.deepcopy(progress)
            other.push("something else ")
        if i == 4:
            progress = pickle.loads(pickle.dumps(progress))


def in_units(text, unit):
    return text.split() if unit == "word" else list(text)


@pytest.mark.parametrize("unit", UNITS)
@settings(deadline=None, max_examples=300)
@given(pushed=pushes(), n=st.integers(1, 4))
def test_distinct_and_repetition_are_what_counting_finds(unit, pushed, n):
    def distinct(text, references):
        units = in_units(text, unit)
        ngrams = [tuple(units[i : i + n]) for i in range(len(units) - n + 1)]
        return len(set(ngrams)) / len(ngrams) if ngrams else 0.0

    def repeated(text, references):
        units, before, again = in_units(text, unit), [], 0
        for i in range(len(units) - n + 1):
            again += units[i : i + n] in before
            before.append(units[i : i + n])
        return again / len(before) if before else 0.0

    check_at_every_prefix(Distinct(n, unit), distinct, pushed)
    check_at_every_prefix(Repetition(n, unit), repeated, pushed)


@pytest.mark.parametrize("unit", UNITS)
@settings(deadline=None, max_examples=200)
@given(pushed=pushes(), target=st.integers(1, 20))
def test_length_is_the_number_of_units_or_how_near_it_is_to_a_target(unit, pushed, target):
    def length(text, references):
        return len(in_units(text, unit))

    def near(a, b):
        return 1 - abs(a - b) / max(a, b, 1)

    check_at_every_prefix(Length(unit), length, pushed)
    check_at_every_prefix(Length(unit, target), lambda text, _: near(length(text, ()), target), pushed)
    check_at_every_prefix(
        Length(unit, "reference"),
        lambda text, references: max([near(length(text, ()), length(r, ())) for r in references], default=0.0),
        pushed,
    )


@pytest.mark.parametrize("unit", UNITS)
def test_long_texts_are_counted_piece_by_piece(unit):
    text = "".join("abcde "[i * i % 7 % 6] for i in range(3000))
    for metric in (Distinct(3, unit), Repetition(3, unit), Length(unit), Length(unit, 500)):
        progress = metric.start(Episode())
        for i in range(0, len(text), 7):
            value = progress.push(text[i : i + 7], "x y")
            if i % 70 == 0:
                assert value == pytest.approx(metric.score(text[: i + 7] + "x y", Episode()), abs=1e-12)


def test_by_hand():
    text = "the cat the cat sat"
    assert Distinct(1).score(text, Episode()) == 3 / 5
    assert Distinct(2).score(text, Episode()) == 3 / 4
    assert Repetition(2).score(text, Episode()) == 1 / 4
    assert Distinct(2, "character").score("abab", Episode()) == 2 / 3
    progress = Length("word", "reference").start(Episode("", ["a b", "a b c d e f"]))
    assert [progress.push(piece) for piece in ("a", " b", " c ", "d")] == [1 / 2, 1.0, 2 / 3, 4 / 6]
    assert Length(target="reference").score("", Episode("", [""])) == 1.0


def test_ngrams_of_words_are_told_apart_wherever_their_spaces_are():
    assert Distinct(2).score("a b\u3000c\td", Episode()) == 1.0
    assert Distinct(2, "character").score("a b a b", Episode()) == 4 / 6


def test_names_and_what_an_illegal_end_counts_as():
    assert [m.name for m in (Distinct(), Distinct(3, "character"), Repetition(1), Repetition(4, "character"))] == [
        "distinct2",
        "character_distinct3",
        "repetition1",
        "character_repetition4",
    ]
    assert [Length().name, Length("word").name, Length("word", 9).name, Length(target="reference").name] == [
        "character_count",
        "word_count",
        "word_length_match",
        "character_length_match",
    ]
    assert (Distinct().worst, Repetition().worst, Length().worst) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: Distinct(0), "n of the n-grams must be a whole number, at least 1, got 0"),
        (lambda: Repetition(2, "wrod"), "Did you mean 'word'"),
        (lambda: Length("words"), "Did you mean 'word'"),
        (lambda: Length(target=0), "at least 1, got 0"),
        (lambda: Length(target="references"), "Did you mean 'reference'"),
    ],
)
def test_bad_arguments_are_refused(make, words):
    with pytest.raises(ValueError) as raised:
        make()
    assert words in str(raised.value)
