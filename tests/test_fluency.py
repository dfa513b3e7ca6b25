"""Fluency at every prefix: the geometric mean of what the model gives each unit, computed again on the whole text."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diversity import check_at_every_prefix, in_units, nasty_texts, pushes

from textgym import Episode
from textgym.metrics.fluency import Fluency
from textgym.ngram import NGramModel
from textgym.tasks import make_task

ENGLISH = ["the cat sat on the mat", "a cat is on a mat", "the dog sat", "b a a b"] * 3


@pytest.mark.parametrize("unit", ["character", "word"])
@settings(deadline=None, max_examples=200)
@given(
    train=st.lists(nasty_texts, max_size=4),
    order=st.integers(1, 4),
    smoothing=st.sampled_from(["kneser_ney", "laplace"]),
    pushed=pushes() | pushes(st.sampled_from(ENGLISH)),
)
def test_it_is_the_geometric_mean_of_the_probabilities_of_the_units(unit, train, order, smoothing, pushed):
    train = [*train, *ENGLISH]
    units = [in_units(text, unit) for text in train]
    known = sorted({u for text in units for u in text})

    def to_ids(text):
        return [known.index(u) if u in known else len(known) for u in text]

    model = NGramModel(len(known) + 1, order, smoothing).fit(map(to_ids, units))

    def expected(text, references):
        ids = to_ids(in_units(text, unit))
        if not ids:
            return 0.0
        log_p = model.log_probs([ids[:i] for i in range(len(ids))])  # (length, V)
        return np.exp(log_p[np.arange(len(ids)), ids].mean())

    check_at_every_prefix(Fluency(train, order, unit, smoothing), expected, pushed)


@pytest.mark.parametrize("unit, order", [("character", 3), ("character", 1), ("word", 2)])
def test_long_texts_are_followed_unit_by_unit(unit, order):
    metric = Fluency(ENGLISH, order, unit)
    text = " ".join(ENGLISH[i * i % 4] + " zebra" for i in range(60))
    progress = metric.start(Episode())
    for i, piece in enumerate(text):
        value = progress.push(piece)
        if i % 100 == 0:
            assert value == pytest.approx(metric.score(text[: i + 1], Episode()), rel=1e-9)
    assert 0 < value < 1


@pytest.mark.parametrize("unit", ["character", "word"])
@pytest.mark.parametrize("smoothing", ["kneser_ney", "laplace"])
def test_language_is_more_fluent_than_its_letters_or_words_in_disorder(unit, smoothing):
    metric = Fluency(ENGLISH, 3, unit, smoothing)
    good, order, strange = (
        metric.score(text, Episode()) for text in ("the cat sat on a mat", "mat a the on sat cat", "zzz yyy xxx www")
    )
    assert 1 > good > order > strange > 0
    assert metric.score("", Episode()) == metric.score("" if unit == "character" else " \n", Episode()) == 0.0


def test_by_hand():
    metric = Fluency(["ab"], order=2, discount=0.5)  # units: a, b, <unk>
    anywhere = (1 - 0.5 + 0.5 * 2 / 3) / 2  # p(a) = p(b): each was seen after one thing (a after the start)
    first = 0.5 + 0.5 * anywhere  # p(a | start)
    assert metric.score("a", Episode()) == pytest.approx(first)
    assert metric.score("ab", Episode()) == pytest.approx(first)  # p(b | a) is the same number
    unknown = 0.5 * (0.5 * 2 / 3 / 2)  # p(<unk> | start) = p(<unk> | a)
    assert metric.score("x", Episode()) == pytest.approx(unknown)
    assert metric.score("ax", Episode()) == pytest.approx((first * unknown) ** 0.5)


def test_it_learns_from_the_train_split_of_a_task():
    task = make_task("textgym.tasks.symbolic:Copy", split="train")
    metric = Fluency("task", order=2, unit="character", smoothing="laplace", alpha=0.5)
    trained = metric.resolve(task)
    assert type(trained) is Fluency and trained.name == metric.name == "fluency" and trained.resolve(task) is trained
    assert trained.model.order == 2 and trained.model.alpha == 0.5 and trained.model.smoothing == "laplace"
    references = {c for i in range(100) for c in task.episode(i).references[0]}
    assert references <= set(trained.ids) and trained.start(Episode()).push("ab") > 0
    test = make_task("textgym.tasks.symbolic:Copy", split="test")
    with pytest.raises(ValueError, match="split 'train' cannot be made"):
        metric.resolve(type(test)(split="test"))  # an object, whose arguments nobody knows
    assert metric.resolve(test).model.counts == trained.model.counts
    assert Fluency(ENGLISH).resolve(test).model.counts == Fluency(ENGLISH).model.counts
    with pytest.raises(ValueError, match="resolve"):
        metric.start(Episode())


def test_names_copies_and_errors():
    assert Fluency(ENGLISH).name == "fluency" and Fluency(ENGLISH, unit="word").name == "word_fluency"
    progress = Fluency(ENGLISH).start(Episode())
    assert copy.deepcopy(progress).metric is progress.metric
    for make, words in [
        (lambda: Fluency(["", ""]), "no character"),
        (lambda: Fluency([" \n"], unit="word"), "no word"),
        (lambda: Fluency("tasks"), "Did you mean 'task'"),
        (lambda: Fluency(unit="letter"), "unit of fluency"),
        (lambda: Fluency(order=0), "at least 1, got 0"),
        (lambda: Fluency(smoothing="kneserney"), "Did you mean 'kneser_ney'"),
    ]:
        with pytest.raises(ValueError) as raised:
            make()
        assert words in str(raised.value)
