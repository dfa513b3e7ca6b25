"""TER of finished texts is sacrebleu's."""

import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diversity import nasty_texts

from textgym import Episode
from textgym.metrics import ter
from textgym.metrics.ter import TER

ARGUMENTS = ("normalized", "no_punct", "asian_support", "case_sensitive")


@settings(deadline=None, max_examples=300)
@given(
    text=nasty_texts,
    references=st.lists(nasty_texts, min_size=1, max_size=3),
    arguments=st.fixed_dictionaries({name: st.booleans() for name in ARGUMENTS}),
)
def test_it_is_sacrebleus(text, references, arguments):
    library = pytest.importorskip("sacrebleu.metrics").TER(**arguments)
    expected = library.sentence_score(text, references).score / 100
    assert TER(**arguments).score(text, Episode("", references)) == expected


def test_by_hand():
    pytest.importorskip("sacrebleu")
    episode = Episode("", ["the cat sat on the mat"])
    metric = TER()
    assert metric.score("the cat sat on the mat", episode) == metric.score("The Cat sat on the mat", episode) == 0.0
    assert metric.score("on the mat the cat sat", episode) == pytest.approx(1 / 6)  # one shift
    assert metric.score("", episode) == 1.0 and metric.score("a b c d e f g h", episode) == pytest.approx(8 / 6)
    assert metric.score("anything", Episode()) == metric.worst == 1.0
    assert metric.score("x", Episode("", [""])) == 1.0 and metric.score("", Episode("", [""])) == 0.0
    assert TER(case_sensitive=True).score("The Cat sat on the mat", episode) == pytest.approx(2 / 6)
    assert TER(no_punct=True).score("the cat, sat on the mat!", episode) == 0.0 != metric.score("the cat, sat", episode)


def test_it_is_paid_at_the_end_only():
    pytest.importorskip("sacrebleu")
    assert TER.only_at_end and TER().name == "ter"
    for follow in (lambda: TER().start(Episode("", ["a"])), lambda: TER().start_rows(2, None)):
        with pytest.raises(ValueError, match="token by token.*terminal:ter.*delta:wer"):
            follow()


def test_copies_are_the_same_metric():
    pytest.importorskip("sacrebleu")
    metric = pickle.loads(pickle.dumps(TER(case_sensitive=True)))
    assert metric.score("A", Episode("", ["a"])) == 1.0


def test_without_sacrebleu_it_says_what_to_install(monkeypatch):
    ter._library.cache_clear()
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(ImportError, match="pip install sacrebleu"):
        TER()
