"""Potential, and rewards made of another reward: each against what it says that it pays."""

import re

import numpy as np
import pytest
from helpers import Lottery, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from test_schedules import VOCABULARIES, go_on, make, payments, some

from textgym import (
    AtWordEnds,
    Constant,
    Delayed,
    Delta,
    Dropout,
    EveryStep,
    Noisy,
    Normalised,
    Potential,
    Scaled,
    Terminal,
    make_reward,
)

# -- Potential -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(VOCABULARIES))
def test_potential_pays_its_base_and_the_discounted_step_of_the_metric_apart(kind):
    tokens = [*VOCABULARIES[kind].encode("a cat"), VOCABULARIES[kind].eos]
    paid, terms = payments(Potential("wer", 0.9, ["delta:cer", "terminal"]), tokens, kind)
    values = payments(EveryStep("wer"), tokens, kind)[0]
    before = [0.0, *values[:-1]]
    shaping = [0.9 * now - then for now, then in zip([*values[:-1], 0.0], before, strict=True)]
    assert terms["potential:wer"] == pytest.approx(shaping)
    assert terms["delta:cer"] == payments(Delta("cer"), tokens, kind)[0]
    assert terms["terminal:character_accuracy"] == payments(Terminal(), tokens, kind)[0]
    assert list(terms)[:3] == ["delta:cer", "terminal:character_accuracy", "potential:wer"]
    assert paid == pytest.approx(np.sum(list(terms.values()), axis=0))


def test_potential_pays_the_score_at_the_end_by_default_and_its_base_can_be_left_out():
    tokens = [*VOCABULARIES["byte_bpe"].encode("a b"), VOCABULARIES["byte_bpe"].eos]
    assert list(payments("potential", tokens)[1]) == ["terminal:character_accuracy", "potential:character_accuracy"]
    assert sum(payments("potential:cer", tokens)[0]) == pytest.approx(1.0)
    assert list(payments({"name": "potential", "metric": "cer", "base": None}, tokens)[1]) == ["potential:cer"]
    weaker, terms = payments(Terminal() - 0.5 * Potential("cer", base=None), tokens)
    assert sum(weaker) == pytest.approx(1.0) and terms["potential:cer"][0] < 0.0


def test_potential_takes_back_what_it_paid_when_the_episode_ends_illegally():
    paid, terms = payments(Potential("cer", 0.9), [4, 6, 5], mask={"name": "banned", "tokens": [5]})
    value = payments(EveryStep("cer"), [4, 6])[0][-1]
    assert terms["potential:cer"][-1] == -value and terms["terminal:character_accuracy"][-1] == 0.0


# -- held back -------------------------------------------------------------------------------------------


@st.composite
def texts(draw):
    """(kind of vocabulary, token ids): words, spaces of all kinds, unfinished characters; ended in every way."""
    kind = draw(st.sampled_from(sorted(VOCABULARIES)))
    vocabulary = VOCABULARIES[kind]
    likely = vocabulary.encode("the cat 我 a b").tolist()
    if kind == "byte_bpe":
        likely += [t for c in "爱 \n\u3000\t\u00a0" for t in vocabulary.encode(c).tolist()] * 2
    any_token = st.sampled_from(likely) | st.sampled_from(np.flatnonzero(vocabulary.legal).tolist())
    return kind, [*draw(st.lists(any_token, max_size=28)), vocabulary.eos]


INNER = Delta("word_accuracy") + 0.5 * EveryStep("cer") - Delta("word_accuracy")
MASK = {"mask": {"name": "banned", "tokens": [5]}}


def assert_held_back(reward, kind, tokens, releases):
    """``releases(t)``: up to which token the inner pay is out after token t."""
    paid, terms = payments(INNER, tokens, kind, **MASK)
    held, held_terms = payments(reward, tokens, kind, **MASK)
    pairs = [(held, paid), *((held_terms[f"{reward.kind}:{name}"], terms[name]) for name in terms if name != "illegal")]
    assert len(held_terms) == len(terms) == len(pairs)
    for ours, inner in pairs:
        ends = len(inner) - 1
        out = [sum(inner[: (ends if t == ends else releases(t)) + 1]) for t in range(len(inner))]
        assert np.cumsum(ours) == pytest.approx(out, abs=1e-9)


@settings(deadline=None, max_examples=80)
@given(texts(), st.integers(1, 30))
def test_delayed_pays_the_sum_of_k_tokens_at_a_time(text, k):
    assert_held_back(Delayed(INNER, k), *text, lambda t: (t + 1) // k * k - 1)


@settings(deadline=None, max_examples=150)
@given(texts())
def test_at_word_ends_pays_what_belongs_to_complete_words(text):
    kind, tokens = text
    stream, pieces = VOCABULARIES[kind].stream(1), []
    for token in tokens:
        pieces.append(stream.push(np.array([0]), np.array([token]))[0][0])

    def releases(t):
        for u in range(t, -1, -1):
            if re.fullmatch(r"\s+\S+", pieces[u]):
                return u - 1
            if re.search(r"\s", pieces[u]):
                return u
        return -1

    assert_held_back(AtWordEnds(INNER), kind, tokens, releases)


def test_a_half_written_word_is_not_punished_at_word_ends():
    vocabulary = VOCABULARIES["character"]
    tokens = [*vocabulary.encode("the cat sat"), vocabulary.eos]
    kwargs = {"kind": "character"}
    # the words count as they stand: "the c" is one word right and one wrong of "the cat 我"
    inner = payments(-1.0 * Delta("optimistic_wer"), tokens, **kwargs)[0]
    assert min(inner) < 0.0 < max(inner)
    paid = payments(AtWordEnds(-1.0 * Delta("optimistic_wer")), tokens, **kwargs)[0]
    assert paid == pytest.approx([0.0] * 3 + [0.0] + [0.0] * 3 + [0.0] + [0.0] * 3 + [-1 / 3], abs=1e-9)


def test_unfinished_characters_end_no_word():
    vocabulary = VOCABULARIES["byte_bpe"]
    space = vocabulary.encode("\u3000").tolist()  # an ideographic space: three bytes, shown as U+FFFD until the last
    assert len(space) == 3
    paid = payments(AtWordEnds(Constant() + EveryStep(lambda text, references: 1.0)), [65, *space, 65, *space[:2]])[0]
    assert paid == [0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0]
    ending = payments(AtWordEnds(EveryStep(lambda text, references: 1.0)), [65, *space[:2], vocabulary.eos])[0]
    assert ending == [0.0, 0.0, 0.0, 4.0]


def test_delayed_is_a_dial_from_the_inner_reward_to_a_terminal_one():
    tokens = [*VOCABULARIES["byte_bpe"].encode("a cat"), VOCABULARIES["byte_bpe"].eos]
    assert payments(Delayed("delta:cer", 1), tokens)[0] == payments("delta:cer", tokens)[0]
    assert payments(Delayed("delta:cer", 28), tokens)[0] == pytest.approx(payments("terminal:cer", tokens)[0])


class Fitful(Lottery):
    """A reward that does not have the same terms in every step."""

    def start(self, n, rngs, metrics):
        state = super().start(n, rngs, metrics)
        pay = state.step

        def step(step):
            paid = pay(step)
            state.terms = {f"part{int(step.lengths[0]) % 2}": paid}
            return paid

        state.step = step
        return state


def test_terms_that_come_and_go_are_not_lost():
    env, plain = make(Delayed(Fitful(), 4), "Disabled", 1), make(Fitful(), "Disabled", 1)
    totals = {"delayed:part0": 0.0, "delayed:part1": 0.0}
    for each in (env, plain):
        each.reset(seed=0)
    for t in range(8):
        paid = plain.step([60])[1][0]
        totals[f"delayed:part{(t + 1) % 2}"] += paid
        rewards = env.step([60])[1]
        if t % 4 == 3:
            assert {name: term[0] for name, term in env.last_reward_terms.items()} == pytest.approx(totals)
            assert rewards[0] == pytest.approx(sum(totals.values()))
            totals = dict.fromkeys(totals, 0.0)


# -- noise -----------------------------------------------------------------------------------------------


def long_run(reward, n=200, steps=50, seed=0):
    """Rewards, (steps, n), and terms of some random texts."""
    env = make(reward, "SameStep", n)
    env.reset(seed=seed)
    results = go_on(env, "SameStep", some(env, steps))
    return np.array([rewards for rewards, *_ in results]), {
        name: np.array([terms[name] for _, terms, _ in results]) for name in results[0][1]
    }


def test_noise_is_gaussian_fresh_for_every_token_and_row_and_reproducible():
    plain, (paid, terms) = long_run("delta")[0], long_run(Noisy("delta", 0.5))
    noise = terms["noise"]
    np.testing.assert_allclose(paid - plain, noise, atol=1e-12)
    assert_same(terms["noisy:delta:character_accuracy"], plain)
    z, count = noise / 0.5, noise.size
    assert abs(z.mean()) < 4 / np.sqrt(count) and abs(z.std() - 1) < 4 / np.sqrt(2 * count)
    assert abs((z**3).mean()) < 4 * np.sqrt(15 / count) and abs((z**4).mean() - 3) < 4 * np.sqrt(96 / count)
    assert len(np.unique(noise)) == count
    for other in (noise[1:] * noise[:-1], noise[:, 1:] * noise[:, :-1]):
        assert abs(other.mean() / 0.25) < 4 / np.sqrt(other.size)
    assert_same(long_run(Noisy("delta", 0.5))[0], paid)
    assert not np.isin(long_run(Noisy("delta", 0.5), seed=1000)[1]["noise"], noise).any()
    assert_same(long_run(Noisy("delta", 0))[0], plain)


@pytest.mark.parametrize("rescale", [False, True])
def test_dropout_keeps_the_whole_pay_of_a_token_or_none_of_it(rescale):
    inner = EveryStep("cer") + Constant(2.0)
    plain, (paid, terms) = long_run(inner)[0], long_run(Dropout(inner, 0.25, rescale=rescale))
    scale = 4.0 if rescale else 1.0
    kept = paid != 0.0
    np.testing.assert_allclose(paid[kept], scale * plain[kept])
    owed = plain != 0.0
    assert abs(kept[owed].mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / owed.sum())
    both = long_run(inner)[1]
    for name in ("every_step:cer", "constant"):
        np.testing.assert_allclose(terms[f"dropout:{name}"], scale * both[name] * kept)
    assert_same(long_run(Dropout(inner, 1.0))[0], plain)


def test_noise_does_not_change_the_episodes():
    envs = [make(reward, "SameStep") for reward in ("delta", Noisy("delta", 1.0), Dropout("delta", 0.5))]
    observations = [env.reset(seed=0)[0] for env in envs]
    for actions in some(envs[0], 60):
        assert_same(observations[1], observations[0])
        assert_same(observations[2], observations[0])
        observations = [env.step(actions)[0] for env in envs]


# -- unit ------------------------------------------------------------------------------------------------


def test_clipped_bounds_the_pay_of_each_token():
    tokens = [*VOCABULARIES["byte_bpe"].encode("a cat"), VOCABULARIES["byte_bpe"].eos]
    plain = np.array(payments(["every_step:cer", "delta"], tokens)[0])
    assert plain.min() < 0.7 < 0.9 < plain.max()
    for low, high in ((0.7, 0.9), (None, 0.9), (0.7, None), (None, None)):
        spec = {"name": "clipped", "reward": ["every_step:cer", "delta"], "low": low, "high": high}
        paid, terms = payments(spec, tokens)
        assert paid == np.minimum(np.maximum(plain, -9 if low is None else low), 9 if high is None else high).tolist()
        assert terms == {"clipped:(every_step:cer + delta:character_accuracy)": paid}


def test_scaled_is_a_weight_with_a_name():
    tokens = [*VOCABULARIES["byte_bpe"].encode("a cat"), VOCABULARIES["byte_bpe"].eos]
    inner = make_reward(["delta", "delta:cer"])
    scaled, weighted = payments(Scaled(inner, -2), tokens), payments(-2 * inner, tokens)
    assert scaled[0] == weighted[0]
    assert scaled[1] == {f"scaled:{name}": paid for name, paid in weighted[1].items()}


@pytest.mark.parametrize("gamma, clip", [(1.0, 10.0), (0.9, 1.5)])
def test_normalised_pays_what_vec_normalize_does(gamma, clip):
    vec_env = pytest.importorskip("stable_baselines3.common.vec_env")
    from textgym.sb3 import make_vec_env

    spec = {"name": "normalised", "reward": "every_step:cer", "gamma": gamma, "clip": clip}
    envs = [make_vec_env("textgym/Spelling-v0", n_envs=4, seed=0, reward=r) for r in (spec, "every_step:cer")]
    theirs = vec_env.VecNormalize(envs[1], norm_obs=False, gamma=gamma, clip_reward=clip, epsilon=1e-8)
    envs[0].reset()
    theirs.reset()
    rng, ends, clipped = np.random.default_rng(0), 0, 0
    for _ in range(200):
        actions = rng.integers(0, envs[0].action_space.n, 4)
        (_, ours, over, _), (_, expected, *_) = envs[0].step(actions), theirs.step(actions)
        np.testing.assert_allclose(ours, expected, rtol=1e-6)
        ends, clipped = ends + over.sum(), clipped + (np.abs(expected) == clip).sum()
    assert ends > 20 and 0 < clipped < 400


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_normalised_divides_by_the_deviation_of_all_returns_so_far(gamma):
    inner = EveryStep("cer")
    env, plain = make(Normalised(inner, gamma, clip=None), "Disabled"), make(inner, "Disabled")
    rng, seen = np.random.default_rng(0), []
    returns, over = np.zeros(3), np.ones(3, bool)
    for t in range(80):
        if over.any():
            for each in (env, plain):
                each.reset(seed=0 if t == 0 else None, options={"reset_mask": over})
            returns[over] = 0.0
        rows = np.flatnonzero(rng.random(3) < 0.7) if t % 2 else np.arange(3)  # the others keep their returns
        if not len(rows):
            continue
        actions = rng.choice([60, 61, env.vocabulary.eos], len(rows), p=[0.45, 0.45, 0.1])
        paid = plain.state.append(actions, rows)[0]
        returns[rows] = gamma * returns[rows] + paid
        seen += returns[rows].tolist()
        total = len(seen) + 1e-4
        mean = sum(seen) / total
        variance = (np.square(np.subtract(seen, mean)).sum() + 1e-4 * (1 + mean**2)) / total
        assert env.state.append(actions, rows)[0] == pytest.approx(paid / np.sqrt(variance + 1e-8))
        over = env.state.over.copy()
    assert make_reward(["delta", {"name": "delayed", "reward": "normalised:delta"}]).couples_rows
    assert not make_reward(["delta", "delayed:delta"]).couples_rows
