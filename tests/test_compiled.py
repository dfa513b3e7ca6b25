"""Rows followed by compiled code: the values of the Python code and of the libraries, to the last bit."""

import copy
import pickle
import sys

import numpy as np
import pytest
from helpers import Phrases, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bleu import by_sacrebleu, texts_in_pieces
from test_chrf import FRAGMENTS, sacrebleus
from test_metrics import PAIRS
from test_structure import run

from textgym import BLEU, ROUGE, ChrF, EditDistance, Episode, OptimisticEditDistance, TextGenVectorEnv
from textgym.metrics import compiled
from textgym.metrics.base import _RowByRow
from textgym.metrics.bleu import SMOOTHINGS
from textgym.metrics.tokenization import INSIDE, SEPARATOR, SPACE, tokenization

pytest.importorskip("sacrebleu")
pytest.importorskip("numba")
from textgym.metrics.compiled import texts as kernels  # noqa: E402 (only where numba is installed)
from textgym.metrics.compiled.rows import CompiledRows, rules_of  # noqa: E402

METRICS = [BLEU(), BLEU("zh"), ChrF(), EditDistance("word"), EditDistance(), OptimisticEditDistance()]
TOKENIZATIONS = ("13a", "none", "char", "zh")
EDITS = [(kind, *pair) for kind in (EditDistance, OptimisticEditDistance) for pair in PAIRS]


def check_rows(metric, texts, order, expected=None):
    """Write ``texts``, (references, pieces) each, in some rows; those of ``order[t]`` take part in step t.

    A text that has ended makes room for another in its row. Each value must be the Python code's, and
    ``expected(text, references)``.
    """
    n, begun = 1 + max(map(max, order)), 0
    rows, each = metric.compiled_rows(n), {}

    def begin(which):
        nonlocal begun
        new = [texts[(begun + i) % len(texts)] for i in range(len(which))]
        begun += len(which)
        episodes = [Episode("", references) for references, _ in new]
        rows.reset(np.array(which), episodes)
        for row, episode, (_, pieces) in zip(which, episodes, new, strict=True):
            each[row] = metric.start(episode), [*pieces, ("", "")], [], episode.references

    begin(range(n))
    for which in map(sorted, map(set, order)):
        if ended := [row for row in which if not each[row][1]]:
            begin(ended)
        pieces, provisional = zip(*(each[row][1].pop(0) for row in which), strict=True)
        values = rows.push(np.array(which), pieces, provisional)
        for row, piece, unsure, value in zip(which, pieces, provisional, values, strict=True):
            progress, _, written, references = each[row]
            written.append(piece)
            text = "".join(written) + unsure
            assert value == progress.push(piece, unsure), (text, references)
            if expected:
                assert value == expected(text, references)


orders = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=4, max_size=12)


@pytest.mark.parametrize("kind, unit, form", EDITS)
@settings(deadline=None, max_examples=60)
@given(texts=st.lists(texts_in_pieces(), min_size=3, max_size=6), order=orders, nothing_right=st.booleans())
def test_edit_distance_is_the_python_codes(kind, unit, form, texts, order, nothing_right):
    if nothing_right:
        texts[1] = (), texts[1][1]
    check_rows(kind(unit, form), texts, order)


@pytest.mark.parametrize("unit", ["character", "word"])
@settings(deadline=None, max_examples=20)
@given(st.lists(st.text("ab c", min_size=100, max_size=400), min_size=6, max_size=6))
def test_edit_distance_of_long_texts_is_rapidfuzz(unit, texts):
    distance = pytest.importorskip("rapidfuzz").distance.Levenshtein.distance
    rows, three = EditDistance(unit, "distance").compiled_rows(3), np.arange(3)
    references, texts = [text * 4 for text in texts[:3]], texts[3:]
    rows.reset(three, [Episode("", [reference]) for reference in references])
    for t in range(0, max(map(len, texts)), 7):
        values = rows.push(three, [text[t : t + 7] for text in texts], [""] * 3)
        written = [text[: t + 7] for text in texts]
        pairs = zip(written, references, strict=True)
        expected = [distance(*(text.split() if unit == "word" else text for text in pair)) for pair in pairs]
        assert values.tolist() == expected


@pytest.mark.parametrize("smooth", SMOOTHINGS)
@pytest.mark.parametrize("tokenize", TOKENIZATIONS)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), texts=st.lists(texts_in_pieces(), min_size=3, max_size=6), order=orders)
def test_bleu_is_sacrebleus_and_the_python_codes(tokenize, smooth, data, texts, order):
    value = data.draw(st.sampled_from([None, 0, 0.3, 1])) if SMOOTHINGS[smooth] else None
    orders = data.draw(st.sampled_from([4, 4, 1, 2, 6, 32]))
    metric = BLEU(tokenize, smooth, value, max_order=orders, effective_order=data.draw(st.booleans()))
    check_rows(metric, texts, order, lambda text, references: by_sacrebleu(metric, text, references))


@pytest.mark.parametrize("whitespace", [False, pytest.param(True, marks=pytest.mark.slow)])
@settings(deadline=None, max_examples=150)
@given(data=st.data(), texts=st.lists(texts_in_pieces(FRAGMENTS), min_size=3, max_size=6), order=orders)
def test_chrf_is_sacrebleus_and_the_python_codes(whitespace, data, texts, order):
    longest, beta = data.draw(st.tuples(st.sampled_from([6, 6, 1, 2, 32]), st.sampled_from([2, 0, 0.5])))
    arguments = {"char_order": longest, "beta": beta, "whitespace": whitespace}
    check_rows(ChrF(**arguments), texts, order, sacrebleus(**arguments))


@pytest.mark.parametrize("metric", METRICS)
def test_rows_with_any_number_of_references_and_empty_ones(metric):
    some = [(), ("",), ("a b c d e", ""), ("a", "a b", "x y z"), (" \n",), ("a b c d e f g h",)]
    episodes = [Episode("", references) for references in some]
    rows, every = metric.compiled_rows(len(some)), np.arange(len(some))
    for turned in (episodes, episodes[::-1]):  # every row has had more, and fewer, references before
        rows.reset(every, turned)
        each = [metric.start(episode) for episode in turned]
        for piece in ("", "a", " b", " c ", "d", " e"):
            values = rows.push(every, [piece] * len(some), [""] * len(some)).tolist()
            assert values == [progress.push(piece) for progress in each]


@pytest.mark.parametrize("metric", METRICS)
def test_arrays_grow_with_texts_and_references(metric):
    words = [f"w{i * i % 997}" for i in range(3000)]
    rows, two = metric.compiled_rows(2), np.arange(2)
    kept = Episode("", ["w1 w4 w9"])
    rows.reset(two, [kept, kept])
    first = metric.start(kept)  # this text goes on while the arrays grow for the other one
    for size in (1, 50, 3000):
        episode = Episode("", [" ".join(words[:size]), "w1"])
        rows.reset(two[1:], [episode])
        second = metric.start(episode)
        for piece in (" w1", " " + " ".join(words[: size // 2]), "23 w9"):
            values = rows.push(two, [" w4", piece], ["", "1"])
            assert values.tolist() == [first.push(" w4"), second.push(piece, "1")]


@pytest.mark.parametrize("name", TOKENIZATIONS)
def test_characters_are_of_the_kinds_that_tokenization_knows(name):
    cut, classes = tokenization(name), rules_of(name)[0]
    kinds = {SPACE: kernels.SPACE, SEPARATOR: kernels.SEPARATOR, INSIDE: 0}
    codes = [*range(0x10000), *range(0x10000, 0x110000, 9973)]
    ours = classes[np.minimum(codes, 0x10000)] & (kernels.SPACE | kernels.SEPARATOR)
    assert ours.tolist() == [kinds[cut._kind(chr(code))] for code in codes]


def test_scores_of_finished_texts_are_the_python_codes(monkeypatch):
    references = ["the cat sat on the mat, it is said " * 3, "", "a"]
    texts = ["the cat sat in the mat. " * 4, "a b", ""]
    episodes = [Episode("", references[:k]) for k in range(3)]
    scores = [metric.score_all(texts, episodes) for metric in METRICS]
    monkeypatch.setattr(CompiledRows, "__init__", None)  # nobody asks for compiled rows
    monkeypatch.setenv("TEXTGYM_COMPILED", "0")
    assert [metric.score_all(texts, episodes) for metric in METRICS] == scores


# -- when it is used ------------------------------------------------------------------------------------


class Mine(EditDistance):
    """What a subclass computes must be asked for."""

    def start(self, episode):
        return super().start(Episode("", [reference[::-1] for reference in episode.references]))


def test_many_rows_are_followed_by_compiled_code(monkeypatch):
    n = compiled.FEW_ROWS
    for metric in METRICS:
        assert isinstance(metric.start_rows(n), CompiledRows)
        assert isinstance(metric.start_rows(n - 1), _RowByRow)
    others = [BLEU(lowercase=True), BLEU("intl"), BLEU(max_order=33), Mine(), ROUGE("L"), ChrF(33)]
    others += [ChrF(word_order=2), ChrF(lowercase=True), ChrF(eps_smoothing=True)]
    for metric in others:
        assert isinstance(metric.start_rows(n), _RowByRow)
    monkeypatch.setenv("TEXTGYM_COMPILED", "0")
    assert isinstance(EditDistance().start_rows(n), _RowByRow)
    monkeypatch.delenv("TEXTGYM_COMPILED")
    compiled._has_numba.cache_clear()
    monkeypatch.setitem(sys.modules, "numba", None)  # as if it were not installed
    assert isinstance(EditDistance().start_rows(n), _RowByRow)
    compiled._has_numba.cache_clear()


def test_nothing_is_loaded_or_compiled_before_many_rows_are_followed():
    loaded = run(f"""
import json, sys, gymnasium, textgym
arguments = {{"reward": ["delta:bleu", "delta:cer"], "metrics": ["wer"]}}
env = gymnasium.make_vec("textgym/Copy-v0", num_envs={compiled.FEW_ROWS - 1}, **arguments)
env.reset(seed=0)
env.step(env.action_space.sample())
few = "numba" in sys.modules
gymnasium.make_vec("textgym/Copy-v0", num_envs={compiled.FEW_ROWS}, **arguments)
from textgym.metrics.compiled.texts import append
print(json.dumps([few, "numba" in sys.modules, len(append.signatures)]))
""")
    assert loaded == [False, True, 0]


# -- environments ---------------------------------------------------------------------------------------

REWARDS = ["delta:bleu", "delta:chrf", "delta:cer", "every_step:wer", "delta:optimistic_edit_distance", "terminal:bleu"]


def make(kind, mask=None, n=9):
    return TextGenVectorEnv(
        Phrases(tokenizer=kind, lossy=True),
        n,
        reward=REWARDS,
        autoreset_mode="SameStep",
        mask=mask,
        metrics=["bleu", "wer"],
    )


def play(env, actions):
    return [env.step(action) for action in actions]


def some_actions(env, steps):
    """int64 (steps, n): tokens of the references, parts of unfinished characters, now and then EOS."""
    tokens = [*env.vocabulary.encode("我爱你😀é ab naïve cat sat"), env.vocabulary.eos]
    return np.random.default_rng(0).choice([*tokens, *range(min(env.vocabulary.size, 40))], (steps, env.num_envs))


@pytest.mark.parametrize("mask", [None, {"name": "banned", "tokens": [7]}])
@pytest.mark.parametrize("kind", ["byte_bpe", "character", "word"])
def test_environments_pay_the_same(monkeypatch, kind, mask):
    results = []
    for switch in ("1", "0"):
        monkeypatch.setenv("TEXTGYM_COMPILED", switch)
        env = make(kind, mask)
        followed = [isinstance(each.progress, CompiledRows) for each in env.state.paying.metrics.followed]
        assert followed == [switch == "1"] * 5
        results.append([env.reset(seed=0), *play(env, some_actions(env, 80))])
    assert_same(*results)


def test_saved_and_copied_environments_go_on_alike(monkeypatch):
    env = make("byte_bpe")
    env.reset(seed=0)
    actions = some_actions(env, 60)
    play(env, actions[:17])
    saved = pickle.loads(pickle.dumps(env.get_state()))
    others = [copy.deepcopy(env), pickle.loads(pickle.dumps(env)), make("byte_bpe")]
    others[2].reset(seed=1)
    others[2].set_state(saved)
    monkeypatch.setenv("TEXTGYM_COMPILED", "0")
    by_python = make("byte_bpe")
    by_python.reset(seed=1)
    by_python.set_state(saved)
    results = play(env, actions[17:])
    for other in (*others, by_python):
        assert_same(play(other, actions[17:]), results)


def test_a_state_saved_by_python_code_cannot_be_gone_on_with(monkeypatch):
    env = make("character")
    env.reset(seed=0)
    monkeypatch.setenv("TEXTGYM_COMPILED", "0")
    by_python = make("character")
    by_python.reset(seed=0)
    with pytest.raises(ValueError, match="TEXTGYM_COMPILED to 0"):
        env.set_state(by_python.get_state())
