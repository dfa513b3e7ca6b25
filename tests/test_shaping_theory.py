"""What each reward does to the objective, by exact dynamic programming on tasks small enough to write out whole."""

from functools import cache, lru_cache
from itertools import product

import numpy as np
import pytest
from helpers import Phrases, play
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym import (
    AtWordEnds,
    CharacterMatch,
    Clipped,
    Constant,
    DatasetTask,
    Delayed,
    Delta,
    EditDistance,
    Episode,
    EveryStep,
    ExactMatch,
    Potential,
    Scaled,
    Terminal,
    TextGenEnv,
    TextGenVectorEnv,
    Vocabulary,
    make_metric,
)
from textgym.metrics import METRICS, FunctionMetric, Metric

GAMMAS = [0.5, 0.9, 0.99, 1.0]


class Tiny(DatasetTask):
    """One episode: three kinds of symbol, four tokens."""

    metric = CharacterMatch()

    def __init__(self, vocabulary, references, split="train"):
        items = [Episode("", references)]
        super().__init__(items, vocabulary=vocabulary, prompt_length=1, budget=4, split=split, lossy=True)


LETTERS = Tiny(Vocabulary.characters(["abc"]), ["ab", "cab"])  # tokens a b c EOS
C_ENDS_IT = {"name": "banned", "tokens": [2]}
SPACED = Tiny(Vocabulary.characters(["a b"]), ["a b", "b"])
WORDS = Tiny(Vocabulary.words(["aa b", "aa b"]), ["b aa", "aa"])


@lru_cache
def anything(seed, worst=0.0):
    """A metric without rhyme or reason: each text has its own value, of few different ones, so that there are ties."""

    @cache
    def value(text, references):
        return np.random.default_rng([seed, *map(ord, text)]).integers(-2, 5) / 4

    metric = FunctionMetric(value, f"anything{seed}")
    metric.worst = worst
    return metric


POTENTIALS = [
    EditDistance("character", "rate"),
    EditDistance("word", "accuracy"),
    CharacterMatch(),
    ExactMatch(),
    "optimistic_cer",
    anything(1),
    anything(2, worst=-3.0),
]


# -- the whole tree of texts -----------------------------------------------------------------------------


@lru_cache(512)
def explore(reward, task=LETTERS, masked=False):
    """What every token pays in every state: tokens so far -> {token: (paid, the episode ends)}."""
    legal = np.flatnonzero(task.vocabulary.legal).tolist()
    sequences = np.array(list(product(legal, repeat=task.budget)))  # one a row
    mask = C_ENDS_IT if masked else None
    env = TextGenVectorEnv(task, len(sequences), reward=reward, autoreset_mode="SameStep", mask=mask)
    env.reset(seed=0)
    tree, going = {}, np.ones(len(sequences), bool)
    for t in range(task.budget):
        _, paid, ended, *_ = env.step(sequences[:, t])
        for row in np.flatnonzero(going).tolist():
            *prefix, token = sequences[row, : t + 1].tolist()
            tree.setdefault(tuple(prefix), {})[token] = float(paid[row]), bool(ended[row])
        going &= ~ended
    return tree


def action_values(tree, gamma):
    """Q* by backward induction: tokens so far -> {token: value}."""
    q = {}
    for prefix in sorted(tree, key=len, reverse=True):
        q[prefix] = {
            token: paid + (0.0 if ended else gamma * max(q[(*prefix, token)].values()))
            for token, (paid, ended) in tree[prefix].items()
        }
    return q


def optimal(tree, gamma):
    """The optimal tokens in every state."""
    q = action_values(tree, gamma)
    return {
        prefix: {token for token, value in of_token.items() if value > max(of_token.values()) - 1e-9}
        for prefix, of_token in q.items()
    }


def returns(tree, gamma=1.0):
    """The discounted return of every finished sequence of tokens."""
    found = {}
    for prefix in tree:
        before = sum(gamma**t * tree[prefix[:t]][token][0] for t, token in enumerate(prefix))
        for token, (paid, ended) in tree[prefix].items():
            if ended:
                found[(*prefix, token)] = before + gamma ** len(prefix) * paid
    return found


def values(metric, masked=False):
    """The metric of what every finished sequence of ``returns`` has written, computed from its text."""
    metric, vocabulary, episode = make_metric(metric), LETTERS.vocabulary, LETTERS.episode(0)
    return {
        tokens: metric.worst if masked and tokens[-1] == 2 else metric.score(vocabulary.decode(tokens), episode)
        for tokens in returns(explore("constant", masked=masked))
    }


def close(some, others):
    """Whether two dicts of :func:`returns` are the same."""
    return some == pytest.approx(others, abs=1e-9)


def test_the_tree_is_the_whole_tree():
    assert len(returns(explore("constant"))) == 1 + 3 + 9 + 27 * 4  # EOS after 0, 1, 2 letters; 3, and anything
    assert len(returns(explore("constant", masked=True))) == 2 * (1 + 2 + 4) + 8 * 4
    assert optimal(explore(Terminal("exact_match")), 1.0)[0, 1] == {3}  # "ab"


# -- Terminal, Delta, EveryStep, Constant ----------------------------------------------------------------


@pytest.mark.parametrize("metric", POTENTIALS)
@pytest.mark.parametrize("masked", [False, True])
def test_at_discount_1_delta_and_terminal_are_one_objective(metric, masked):
    dense, sparse = explore(Delta(metric), masked=masked), explore(Terminal(metric), masked=masked)
    true = values(metric, masked)
    assert close(returns(dense), true) and close(returns(sparse), true)
    assert optimal(dense, 1.0) == optimal(sparse, 1.0)


def test_below_discount_1_delta_is_another_objective():
    better_late = FunctionMetric(lambda text, references: {"a": 0.6, "ab": 1.0}.get(text, 0.0), "better_late")
    dense, sparse = explore(Delta(better_late)), explore(Terminal(better_late))
    a, b, _, eos = range(4)
    assert optimal(dense, 1.0)[a,] == optimal(sparse, 1.0)[a,] == {b}
    assert optimal(sparse, 0.5)[a,] == {eos}  # 0.6 now rather than 1 a token later
    assert optimal(dense, 0.5)[a,] == {b}  # 0.6 is paid already: 0.4 more
    assert not close(returns(dense, 0.99), returns(sparse, 0.99))


def test_every_step_makes_going_on_with_a_wrong_text_better_than_ending_with_the_right_one():
    hackable, true = explore(EveryStep("character_match")), explore(Terminal("character_match"))
    right, eos = (0, 1), 3  # "ab"
    assert optimal(true, 1.0)[right] == {eos} and eos not in optimal(hackable, 1.0)[right]
    assert not close(returns(hackable), returns(true))


def test_a_constant_makes_every_policy_optimal_at_discount_1():
    for masked in (False, True):
        tree = explore(Constant(0.3), masked=masked)
        assert set(returns(tree).values()) == {0.3}
        assert optimal(tree, 1.0) == {prefix: set(tokens) for prefix, tokens in tree.items()}
    assert all(pay == 0.0 for tokens in tree.values() for pay, ended in tokens.values() if not ended)


# -- shaping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("masked", [False, True])
def test_potentials_leave_the_optimal_tokens_of_every_state_as_they_are(gamma, masked):
    for base in (Terminal(anything(0)), EveryStep(anything(7))):
        expected = optimal(explore(base, masked=masked), gamma)
        for metric in POTENTIALS:
            assert optimal(explore(Potential(metric, gamma, base), masked=masked), gamma) == expected


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(GAMMAS))
def test_shaped_action_values_are_the_others_minus_the_potential(one, other, gamma):
    base, potential = Terminal(anything(one)), anything(other)
    plain = action_values(explore(base), gamma)
    shaped = action_values(explore(Potential(potential, gamma, base)), gamma)
    for prefix, of_token in plain.items():
        phi = potential(LETTERS.vocabulary.decode(list(prefix)), ("ab", "cab")) if prefix else 0.0
        for token, value in of_token.items():
            assert shaped[prefix][token] == pytest.approx(value - phi, abs=1e-9)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("metric", POTENTIALS)
def test_at_discount_1_shaping_sums_to_0_and_delta_is_a_shaped_terminal(metric, masked):
    alone = returns(explore(Potential(metric, base=None), masked=masked))
    assert close(alone, dict.fromkeys(alone, 0.0))
    shaped, dense = (
        explore(Potential(metric, 1.0, Terminal(metric)), masked=masked),
        explore(Delta(metric), masked=masked),
    )
    for prefix, tokens in dense.items():
        for token, (paid, _) in tokens.items():
            assert shaped[prefix][token][0] == pytest.approx(paid, abs=1e-12)


class KeptAtTheEnd(Potential):
    """The common mistake: the potential of the finished text is kept."""

    def pay(self, value, before, step):
        return self.gamma * value - before


@pytest.mark.parametrize("gamma", GAMMAS)
def test_a_potential_that_is_not_0_at_the_end_changes_what_is_optimal(gamma):
    base = Terminal("exact_match")
    right, wrong = Potential("length", gamma, base), KeptAtTheEnd("length", gamma, base)  # characters written
    expected = optimal(explore(base), gamma)
    assert optimal(explore(right), gamma) == expected
    assert optimal(explore(wrong), gamma) != expected
    if gamma == 1.0:
        assert 3 not in optimal(explore(wrong), gamma)[0, 1]  # it goes on after "ab"


def test_a_potential_with_another_discount_than_the_agents_changes_what_is_optimal():
    base = Terminal("exact_match")
    for own, agents in ((1.0, 0.5), (0.5, 1.0)):
        assert optimal(explore(Potential("length", own, base)), agents) != optimal(explore(base), agents)


# -- rewards made of another reward ----------------------------------------------------------------------


@pytest.mark.parametrize("task", [LETTERS, SPACED, WORDS])
@pytest.mark.parametrize("inner", [Delta(anything(3)), EveryStep(anything(4)), Potential("cer", 1.0)])
def test_pay_that_is_held_back_keeps_every_return_at_discount_1(inner, task):
    plain = explore(inner, task)
    for reward in (Delayed(inner, 1), Delayed(inner, 2), Delayed(inner, 3), Delayed(inner, 99), AtWordEnds(inner)):
        held = explore(reward, task)
        assert held.keys() == plain.keys()
        assert returns(held) == pytest.approx(returns(plain), abs=1e-9)
        assert optimal(held, 1.0) == optimal(plain, 1.0)


def test_pay_that_is_held_back_is_another_objective_below_discount_1():
    inner = Delta(FunctionMetric(lambda text, references: 0.5 * text.startswith("a"), "begins_well"))
    space, a, b, eos = range(4)
    releases = [(inner, {space, a, b, eos}), (Delayed(inner, 3), {eos}), (AtWordEnds(inner), {space, eos})]
    for reward, at_once in releases:
        tree = explore(reward, SPACED)
        assert optimal(tree, 1.0)[a,] == {space, a, b, eos}
        assert optimal(tree, 0.5)[a,] == at_once


def test_clipping_keeps_neither_returns_nor_what_is_optimal():
    inner = Delta(anything(5))
    plain, clipped = explore(inner), explore(Clipped(inner, 0.0, 0.25))
    assert not close(returns(clipped), returns(plain))
    assert optimal(clipped, 1.0) != optimal(plain, 1.0)
    assert explore(Clipped(inner, -9, 9)) == plain


@pytest.mark.parametrize("gamma", GAMMAS)
def test_a_positive_scale_changes_the_unit_and_a_negative_one_the_aim(gamma):
    inner = Delta(anything(6))
    plain = explore(inner)
    twice, negative = explore(Scaled(inner, 2)), explore(Scaled(inner, -1))
    assert optimal(twice, gamma) == optimal(plain, gamma) != optimal(negative, gamma)
    assert close(returns(twice, gamma), {tokens: 2 * value for tokens, value in returns(plain, gamma).items()})


# -- the sum of Delta, over every metric there is --------------------------------------------------------


def _followed():
    """The names of the metrics that can be followed token by token, without arguments, with what is installed."""
    for name in METRICS:
        try:
            if not make_metric(name).resolve(Phrases()).only_at_end:
                yield name
        except (ImportError, TypeError, ValueError):  # ValueError: naive Bayes learns from tasks with classes
            pass


FOLLOWED = list(_followed())
FORBIDDEN = 5
VOCABULARIES = {kind: Phrases(tokenizer=kind, lossy=True).vocabulary for kind in ("byte_bpe", "character", "word")}


@st.composite
def texts(draw):
    """(kind of vocabulary, 8 token ids, references): near a reference or any, forbidden ones and EOS among them."""
    kind = draw(st.sampled_from(sorted(VOCABULARIES)))
    vocabulary = VOCABULARIES[kind]
    references = draw(st.lists(st.sampled_from([r for _, rs in Phrases.ITEMS for r in rs]), max_size=2))
    near = vocabulary.encode(" ".join(references)).tolist() or [0]
    others = [FORBIDDEN, vocabulary.eos, *np.flatnonzero(vocabulary.legal).tolist()]
    tokens = draw(st.lists(st.sampled_from(near) | st.sampled_from(others), min_size=8, max_size=8))
    return kind, near[: draw(st.integers(0, 6))] + tokens, references


@settings(deadline=None, max_examples=150)
@given(texts(), st.sets(st.sampled_from(FOLLOWED), min_size=2, max_size=5))
def test_delta_sums_to_the_metric_of_the_final_text_however_an_episode_ends(text, names):
    kind, tokens, references = text
    env = TextGenEnv(
        Phrases(tokenizer=VOCABULARIES[kind], lossy=True, budget=8),
        reward=[f"delta:{name}" for name in sorted(names)],
        mask={"name": "banned", "tokens": [FORBIDDEN]},
    )
    results = play(env, tokens, options={"prompt": "", "references": references})[1:]
    info = results[-1][4]
    terms = [list(result[4]["reward_terms"].values())[:-1] for result in results]  # without "illegal"
    for (_, delta), paid in zip(env.state.reward.parts, np.transpose(terms), strict=True):
        assert sum(paid) == pytest.approx(worth(delta.metric, env, info), abs=1e-9), delta.name
    assert sum(result[1] for result in results) == pytest.approx(np.sum(terms), abs=1e-9)


def worth(metric, env, info):
    """The metric of the text that has ended, computed from the text where it can be."""
    if info["end_reason"] == "illegal":
        return metric.after_illegal(metric.score(info["text"], env.episode)) if metric.lower_is_better else metric.worst
    if isinstance(metric, Metric):
        return metric.score(info["text"], env.episode)
    return metric.score_rows(env.state.last_step(np.array([0])))[0]


@pytest.mark.parametrize("tokens, reason", [([0, 1, 3], "eos"), ([0, 0, 1, 1], "budget"), ([0, 2], "illegal")])
def test_delta_sums_to_the_metric_at_each_kind_of_end(tokens, reason):
    for metric in ("cer", "character_match", anything(8, worst=-2.0)):
        env = TextGenEnv(LETTERS, reward=Delta(metric), mask=C_ENDS_IT)
        *_, (*_, info) = results = play(env, tokens)
        assert info["end_reason"] == reason and len(results) == 1 + len(tokens)
        assert sum(paid for _, paid, *_ in results[1:]) == pytest.approx(worth(env.state.reward.metric, env, info))
