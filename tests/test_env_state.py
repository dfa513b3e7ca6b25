"""Saving, copying, and who owns what: get_state, deepcopy, pickle, and arrays that callers may scribble on."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from helpers import MASKED, MODES, Lottery, Phrases, Vowels, assert_same, scribble_over, shown, some_tokens, vector
from hypothesis import given, settings
from hypothesis import strategies as st

import textgym
from textgym import (
    TER,
    Constant,
    Delayed,
    Delta,
    Dropout,
    EditDistance,
    Fluency,
    Length,
    Noisy,
    Potential,
    RewardFunction,
    Scaled,
    Terminal,
    TextGenEnv,
    TextGenVectorEnv,
    Vocabulary,
)


@textgym.metric
def shortness(text, references):
    return 1 / (1 + len(text))


def first_letters(text, references):
    return float(any(text[:2] == r[:2] for r in references))


EVERYTHING = {
    "reward": [
        Lottery(),
        Vowels(),
        "delta",
        "every_step:token_match",
        Delta(shortness),
        Delta(first_letters),
        "terminal:wer",
    ],
    "mask": {"name": "banned", "tokens": [7]},
    "observe_mask": True,
    "metrics": ["token_match", "cer", "exact_match", shortness],
}
VOCABULARIES = {kind: Phrases(tokenizer=kind, lossy=True).vocabulary for kind in ("byte_bpe", "character", "word")}


def make(kind="byte_bpe", n=None, mode="SameStep", **kwargs):
    kwargs = {**EVERYTHING, "tokenizer": VOCABULARIES[kind], "lossy": True, **kwargs}
    return TextGenEnv(Phrases, **kwargs) if n is None else TextGenVectorEnv(Phrases, n, autoreset_mode=mode, **kwargs)


def go_on(env, actions, mode="single"):
    """What the next steps return; episodes that end are followed by others."""
    results = []
    for action in actions:
        if mode == "single" and env.state.over[0]:
            results.append(env.reset())
        elif mode == "Disabled" and env.state.over.any():
            results.append(env.reset(options={"reset_mask": env.state.over.copy()}))
        results.append(env.step(action))
    return results


def bytes_and_others(draw_from, env, count):
    """Token ids, (count, ...): half of them parts of unfinished characters where the vocabulary has bytes."""
    tokens = env.vocabulary.encode("我爱你😀é ab" if env.vocabulary.kind != "character" else "我爱你 ab")
    return draw_from.choice(
        [*tokens, *range(min(env.vocabulary.size, 40))], (count, *np.shape(env.action_space.sample()))
    )


@settings(deadline=None, max_examples=30)
@given(
    kind=st.sampled_from(sorted(VOCABULARIES)),
    mode=st.sampled_from(["single", *MODES]),
    seed=st.integers(0, 1000),
    before=st.integers(0, 25),
    by_pickle=st.booleans(),
)
def test_a_saved_state_has_the_same_future_twice_and_in_a_fresh_env(kind, mode, seed, before, by_pickle):
    n = None if mode == "single" else 3
    env, rng = make(kind, n, mode), np.random.default_rng(seed)
    env.reset(seed=seed)
    go_on(env, bytes_and_others(rng, env, before), mode)
    saved = env.get_state()
    if by_pickle:
        saved = pickle.loads(pickle.dumps(saved))
    actions = bytes_and_others(rng, env, 30)
    expected = go_on(env, actions, mode)
    for _ in range(2):
        env.set_state(saved)
        assert_same(go_on(env, actions, mode), expected)
    fresh = make(kind, n, mode)
    if seed % 2:
        fresh.reset(seed=seed + 1)
        go_on(fresh, bytes_and_others(rng, env, 5), mode)
    fresh.set_state(saved)
    assert_same(go_on(fresh, actions, mode), expected)


def test_a_state_in_the_middle_of_a_character_is_exact():
    env = make(reward="delta")
    env.reset(seed=0, options={"prompt": "", "references": ["我"]})
    first, second, third = env.vocabulary.encode("我") if len(env.vocabulary.encode("我")) == 3 else _bytes(env, "我")
    env.step(first)
    env.step(second)
    saved = env.get_state()
    for _ in range(2):
        assert env.step(third)[1] == 1.0  # U+FFFD scored 0
        assert env.step(env.vocabulary.eos)[4]["text"] == "我"
        env.set_state(saved)


def _bytes(env, text):
    """One token a byte."""
    letters = Vocabulary.byte_bpe(["x"], size=257)
    return [env.vocabulary.tokenizer.token_to_id(letters.tokenizer.id_to_token(int(i))) for i in letters.encode(text)]


def test_the_generator_of_a_single_env_is_the_restored_one():
    env, other = make(), make()
    env.reset(seed=3)
    other.set_state(env.get_state())
    assert other.np_random.bit_generator.state == env.np_random.bit_generator.state
    assert_same([other.reset() for _ in range(5)], [env.reset() for _ in range(5)])


def test_a_single_env_and_a_batch_of_one_can_exchange_their_states():
    for kwargs in ({}, {"reward": "delta", "mask": None, "observe_mask": False, "metrics": ["token_match"]}):
        single, batch = make(**kwargs), make(n=1, mode="Disabled", **kwargs)
        single.reset(seed=4)
        single.step(3)
        batch.set_state(single.get_state())
        another = make(**kwargs)
        another.set_state(batch.get_state())
        for token in (5, 6, single.vocabulary.eos):
            expected, row = single.step(token), batch.step([token])
            assert_same(another.step(token), expected)
            for name, value in expected[4].items():
                if name != "reward_terms":
                    assert_same(row[4][name][0], np.asarray(value)[()] if not isinstance(value, str) else value)
            assert row[1].shape == (1,) and row[1][0] == expected[1]


@pytest.mark.parametrize("other", [{"n": 2}, {"n": 3, "budget": 30}, {"n": None}])
def test_a_state_of_another_shape_is_refused(other):
    env = make(n=3)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="saved with .* = .*the environment has"):
        make(**other).set_state(env.get_state())


class Bonus(RewardFunction):
    """A user's reward that keeps one of its arguments under its name."""

    name = "bonus"

    def __init__(self, words, size):
        self.words, self._size = words, size

    def start(self, n, rngs, metrics):
        return Vowels().start(n, rngs, metrics)


OTHER_RECIPES = [
    (Delayed(k=4), Delayed(k=5), "k=4)', the environment has 'Delayed(reward=Delta(metric=EditDistance()),"),
    (Dropout("delta", 0.5), Dropout("delta", 0.25), "p=0.25"),
    (Potential("cer", gamma=0.9), Potential("cer", gamma=0.8), "gamma=0.9"),
    (Potential("cer"), Potential("cer", base="delta"), "base=Terminal("),
    (Delta(Length(target=3)), Delta(Length(target=4)), "target=4"),
    (Constant(), Constant(2), "'Constant()', the environment has 'Constant(value=2.0)'"),
    (Constant() + 0.5 * Noisy("delta", 1), Constant() + 0.5 * Noisy("delta", 2), "std=2.0"),
    (Noisy(Scaled("delta", 2), 1), Noisy("delta", 1), "reward = 'noisy:scaled:delta"),
    (Bonus({"a", "b"}, 1), Bonus({"a", "c"}, 1), "{'a', 'c'}"),
    (Vowels(), Lottery(), "the environment has 'lottery'"),
]


@pytest.mark.parametrize("reward, other, words", OTHER_RECIPES, ids=shown)
def test_a_state_of_another_recipe_is_refused(reward, other, words):
    env, another = make(reward=reward), make(reward=other)
    env.reset(seed=0)
    another.reset(seed=0)
    before = another.get_state()
    with pytest.raises(ValueError, match="saved with reward") as refused:
        another.set_state(env.get_state())
    assert words in str(refused.value)
    assert_same(another.get_state(), before)
    make(reward=copy.deepcopy(reward)).set_state(env.get_state())


@pytest.mark.parametrize(
    "reward, words",
    [
        (Delta("cer"), "Delta(metric=EditDistance(form='rate'))"),
        (Delayed(k=4), "Delayed(reward=Delta(), k=4)"),
        (Terminal(TER(no_punct=True)), "Terminal(metric=TER(no_punct=True))"),
        (
            0.5 * Delta(first_letters) + Lottery(),
            "Sum(parts=((0.5, Delta(metric=FunctionMetric(function=<function first",
        ),
        (Bonus(frozenset("dcab"), 1), "Bonus(words=frozenset({'a', 'b', 'c', 'd'}))"),
        (Bonus(object(), 1), "Bonus(words=<object object>)"),
        (Delta(Fluency(["a b"], order=2)), "Delta(metric=Fluency(order=2))"),
    ],
)
def test_a_recipe_says_how_it_is_made(reward, words):
    assert repr(reward).startswith(words)


def test_long_arguments_are_cut_and_still_told_apart():
    one, another = Bonus(list(range(10**4)), 1), Bonus([*range(10**4 - 1), 0], 1)
    assert len(repr(one)) < 600 and repr(one) != repr(another) and repr(one) == repr(Bonus(list(range(10**4)), 2))


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("kind", sorted(VOCABULARIES))
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["deepcopy", "pickle"]
)
def test_a_copy_in_mid_episode_has_the_same_future_and_a_life_of_its_own(copied, kind, mode):
    env, rng = make(kind, None if mode == "single" else 3, mode), np.random.default_rng(1)
    env.reset(seed=1)
    go_on(env, bytes_and_others(rng, env, 10), mode)
    twin, another = copied(env), copied(env)
    actions = bytes_and_others(rng, env, 40)
    expected = go_on(env, actions, mode)
    assert_same(go_on(twin, actions, mode), expected)
    assert_same(go_on(another, actions, mode), expected)
    assert_same(twin.reset(), env.reset())


def test_every_id_can_be_copied_and_pickled(env_id):
    env, rng = gym.make(env_id), np.random.default_rng(0)
    env.reset(seed=0)
    copies = [env, copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    action = int(rng.integers(env.action_space.n - 1))
    assert_same(copies[1].step(action), copies[0].step(action))
    assert_same(copies[2].reset(), copies[0].reset())


def test_copies_share_tasks_vocabularies_and_rewards():
    env = make(n=2)
    twin = copy.deepcopy(env)
    assert twin.task is env.task and twin.vocabulary is env.vocabulary and twin.state.reward is env.state.reward
    assert copy.copy(EditDistance("word")) is not None and copy.deepcopy(env.task) is env.task
    assert twin.state.window is not env.state.window


@pytest.mark.parametrize("kwargs", [{}, MASKED, EVERYTHING], ids=["plain", "masked", "everything"])
@pytest.mark.parametrize("mode", MODES)
def test_what_callers_do_to_returned_arrays_changes_nothing(mode, kwargs):
    kwargs = {**kwargs, "autoreset_mode": mode, "group_size": 2}
    env, twin = TextGenVectorEnv(Phrases, 4, **kwargs), TextGenVectorEnv(Phrases, 4, **kwargs)
    rng, kept = np.random.default_rng(0), []

    def same(name, *args, **kwargs):
        """The twin's result, as it is and remembered; ours, and what we gave, is scribbled over."""
        theirs = getattr(twin, name)(*args, **kwargs)
        given = copy.deepcopy((args, kwargs))
        ours = getattr(env, name)(*given[0], **given[1])
        assert_same(given, (args, kwargs), "arguments")
        assert_same(ours, theirs, name)
        scribble_over([ours, given])
        kept.append((theirs, copy.deepcopy(theirs)))
        return theirs

    observations, _ = same("reset", seed=0)
    for _ in range(60):
        observations, _, over, _, _ = same("step", some_tokens(rng, twin, observations))
        for name in ("action_masks", "get_state"):
            scribble_over(getattr(env, name)())
        scribble_over(env.last_reward_terms)
        assert_same(env.get_state(), twin.get_state())
        if mode == "Disabled" and over.any():
            observations, _ = same("reset", options={"reset_mask": over.copy()})
    for now, then in kept:
        assert_same(now, then, "an earlier result")


@pytest.mark.parametrize("kwargs", [MASKED, EVERYTHING], ids=["masked", "everything"])
def test_what_callers_do_to_arrays_of_a_single_env_changes_nothing(kwargs):
    env, twin, rng = TextGenEnv(Phrases, **kwargs), TextGenEnv(Phrases, **kwargs), np.random.default_rng(0)
    kept = []
    for _ in range(5):
        kept += [(twin.reset(seed=1), env.reset(seed=1))]
        for _ in range(30):
            scribble_over(kept[-1][1])
            scribble_over([env.action_masks(), env.last_reward_terms, env.get_state()])
            action = int(rng.integers(1, 7))
            kept.append((twin.step(action), env.step(action)))
            assert_same(kept[-1][1], kept[-1][0])
            if kept[-1][1][2]:
                break


@pytest.mark.parametrize("observe_mask", [False, True])
def test_without_copy_the_tokens_are_a_read_only_view_of_one_buffer(observe_mask):
    kwargs = {**MASKED, "observe_mask": observe_mask}
    env, usual = vector("textgym/Copy-v0", 3, copy=False, **kwargs), vector("textgym/Copy-v0", 3, **kwargs)

    def tokens(observations):
        return observations["tokens"] if observe_mask else observations

    first, wanted = env.reset(seed=0)[0], usual.reset(seed=0)[0]
    assert_same(tokens(first), tokens(wanted))
    with pytest.raises(ValueError, match="read-only"):
        tokens(first)[0, 0] = 1
    rng, kept = np.random.default_rng(0), []
    for _ in range(30):
        actions = some_tokens(rng, usual, wanted)
        results, usual_results = env.step(actions), usual.step(actions)
        assert_same(results, usual_results)
        assert np.shares_memory(tokens(results[0]), tokens(first))
        assert not np.shares_memory(tokens(usual_results[0]), tokens(wanted))
        wanted = usual_results[0]
        if "final_obs" in results[4]:
            kept += [(results[4]["final_obs"], usual_results[4]["final_obs"])]
    assert len(kept) > 3
    assert_same(*zip(*kept, strict=True))  # the last observations are copies


def test_the_saved_state_is_not_touched_by_what_follows():
    env, rng = make(n=3), np.random.default_rng(0)
    env.reset(seed=0)
    saved = env.get_state()
    before = pickle.dumps(saved)
    go_on(env, bytes_and_others(rng, env, 30))
    env.set_state(saved)
    go_on(env, bytes_and_others(rng, env, 30))
    assert pickle.dumps(saved) == before
