"""Reward functions of TRL as rewards: terminal as TRL pays them, and at every token."""

import asyncio
import functools
import math
import pickle

import numpy as np
import pytest
from helpers import MODES, Phrases, assert_same, play, some_tokens
from trl_functions import (
    FUNCTIONS,
    Answers,
    RepetitionPenalty,
    accuracy,
    as_trl_calls,
    cosine_length,
    pairs,
    slow_length,
)

from textgym import EveryStep, RewardError, TextGenEnv, TextGenVectorEnv
from textgym.rewards.trl import TRLMetric, from_trl


def played(env, mode, steps=60, seed=0):
    """What each row of each step was paid, and the episode, text and ids so far: (payment, episode, ids, ended)."""
    single = mode == "single"
    rng = np.random.default_rng(seed)
    observations, _ = env.reset(seed=seed)
    n = 1 if single else env.num_envs
    ids, over = [[] for _ in range(n)], np.zeros(n, bool)
    for _ in range(steps):
        if over.any() and mode in ("single", "Disabled"):
            observations, _ = env.reset(**({} if single else {"options": {"reset_mask": over}}))
        waiting = over & (mode == "NextStep")
        ids = [[] if done else each for each, done in zip(ids, over, strict=True)]
        episodes = [env.episode] if single else list(env.episodes)
        tokens = rng.choice([0, 1, 2, env.vocabulary.eos], n) if single else some_tokens(rng, env, observations)
        observations, paid, over, _, info = env.step(tokens[0] if single else tokens)
        paid, over = np.atleast_1d(paid), np.atleast_1d(over)
        ids = [each + [token] * (not w) for each, token, w in zip(ids, tokens.tolist(), waiting, strict=True)]
        yield [(paid[row], episodes[row], ids[row], bool(over[row])) for row in range(n) if not waiting[row]]


def make(mode, reward, task=Answers, n=3, **kwargs):
    if mode == "single":
        return TextGenEnv(task, reward=reward, **kwargs)
    return TextGenVectorEnv(task, n, reward=reward, autoreset_mode=mode, **kwargs)


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_terminal_reward_is_what_trl_computes(name, mode):
    fn, arguments = FUNCTIONS[name]
    env, ends = make(mode, from_trl(fn, **arguments)), 0
    for rows in played(env, mode):
        for paid, episode, ids, ended in rows:
            text = env.vocabulary.decode(ids)
            expected = as_trl_calls(fn, [episode], [text], [ids], **arguments)[0] if ended else 0.0
            assert paid == pytest.approx(expected, abs=1e-12)
            ends += ended
    assert ends > 10


@pytest.mark.parametrize("mode", ["single", "SameStep", "Disabled"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_other_schedules_evaluate_the_function_on_the_text_so_far(name, mode):
    fn, arguments = FUNCTIONS[name]
    delta, every = (from_trl(fn, **arguments, when=when) for when in ("delta", EveryStep))
    for reward in (delta, every):
        env, before = make(mode, reward), {}
        for rows in played(env, mode):
            for row, (paid, episode, ids, ended) in enumerate(rows):
                last = before.get(row, 0.0)
                text, none = env.vocabulary.decode(ids), 0.0 if ended else last  # None of a prefix: as it was
                value = as_trl_calls(fn, [episode], [text], [ids], **arguments, none=none)[0]
                if reward is delta:
                    assert paid == pytest.approx(value - last, abs=1e-12)
                else:
                    assert paid == pytest.approx(value, abs=1e-12)
                before[row] = 0.0 if ended else value


class Spy:
    """Keeps what it was called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, **kwargs):
        self.calls.append(kwargs)
        return [0.5] * len(kwargs["completions"])


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_one_call_a_step_for_all_rows_that_end_and_none_without(mode):
    spy = Spy()
    for rows in played(make(mode, from_trl(spy)), mode):
        ending = [(episode, ids) for _, episode, ids, ended in rows if ended]
        assert len(spy.calls) == bool(ending)
        if ending:
            (call,) = spy.calls
            assert call["completion_ids"] == [ids for _, ids in ending]
            assert call["prompts"] == [episode.prompt for episode, _ in ending]
            assert all(type(i) is int for ids in call["completion_ids"] for i in ids)
        spy.calls.clear()


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("when", ["delta", "every_step", {"name": "potential", "gamma": 0.5, "base": None}])
def test_one_call_a_step_for_all_rows_however_they_are_paid(when, mode):
    spy = Spy()
    for rows in played(make(mode, from_trl(spy, when=when)), mode, steps=20):
        assert len(spy.calls) == bool(rows)
        assert all(len(call["prompts"]) == len(rows) for call in spy.calls)
        spy.calls.clear()


def test_what_a_function_is_given():
    spy = Spy()
    columns = {"level": "level", "gold": "reference", "all_gold": "references", "asked": "prompt"}
    env = TextGenVectorEnv(Answers, 2, reward=from_trl(spy, columns=columns, chat=True), autoreset_mode="SameStep")
    env.reset(seed=0, options={"index": [0, 1]})
    episodes = list(env.episodes)
    env.step([0, 1])
    env.step([env.vocabulary.eos] * 2)
    (call,) = spy.calls
    assert call["log_extra"]("column", [1, 2]) is None and call["log_metric"]("name", 1.0) is None
    assert {name: value for name, value in call.items() if not name.startswith("log_")} == {
        "prompts": [[{"role": "user", "content": episode.prompt}] for episode in episodes],
        "completions": [[{"role": "assistant", "content": text}] for text in (" ", "0")],
        "completion_ids": [[0, env.vocabulary.eos], [1, env.vocabulary.eos]],
        "level": [episode.meta["level"] for episode in episodes],
        "gold": [episode.references[0] for episode in episodes],
        "all_gold": [list(episode.references) for episode in episodes],
        "asked": [episode.prompt for episode in episodes],
        "trainer_state": None,
    }


def test_weights_and_names():
    env = make("single", [from_trl(slow_length, weight=0.5), from_trl(RepetitionPenalty(), when="delta")])
    results = play(env, [0, 1, 2, env.vocabulary.eos])
    assert results[-1][4]["reward_terms"] == {"terminal:slow_length": 0.15, "delta:repetition_penalty": 0.0}
    assert TRLMetric(functools.partial(slow_length, x=1)).name == "partial"
    assert from_trl(slow_length, weight=-2).name == "-2*terminal:slow_length"


def test_none_of_an_unfinished_text_pays_nothing_and_of_a_finished_one_counts_as_0():
    def closed(completions, **kwargs):
        return [{1: 0.5, 3: 1.0}.get(len(text)) for text in completions]

    env = make("single", from_trl(closed, when="delta"))
    eos = env.vocabulary.eos
    for tokens, paid in [([0, 0, 0, eos], [0.5, 0, 0.5, 0]), ([0, 0, eos], [0.5, 0, -0.5]), ([eos], [0])]:
        assert [result[1] for result in play(env, tokens)[1:]] == paid
    env = make("single", from_trl(closed, when="every_step"))
    assert [result[1] for result in play(env, [0, 0, 0, eos])[1:]] == [0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_delta_sums_to_what_trl_computes(name):
    fn, arguments = FUNCTIONS[name]
    env, total, ends = make("single", from_trl(fn, **arguments, weight=2.0, when="delta")), 0.0, 0
    for [(paid, episode, ids, ended)] in played(env, "single", steps=200):
        total += paid
        if ended:
            expected = 2 * as_trl_calls(fn, [episode], [env.vocabulary.decode(ids)], [ids], **arguments)[0]
            assert total == pytest.approx(expected, abs=1e-9)
            total, ends = 0.0, ends + 1
    assert ends > 30


def test_illegal_ends_count_as_nothing():
    for when in ("terminal", "delta"):
        env = make("single", from_trl(slow_length, when=when), mask={"name": "banned", "tokens": [1]})
        results = play(env, [0, 0, 1])
        assert results[-1][2] and sum(result[1] for result in results[1:]) == pytest.approx(0.0)


def test_async_functions_share_one_loop_and_run_within_another_one():
    loops = []

    class Client:
        async def __call__(self, completions, **kwargs):
            loops.append(asyncio.get_running_loop())
            return [1.0] * len(completions)

    async def notebook():
        return play(make("single", from_trl(Client(), when="delta")), [0, 0, 0])

    assert asyncio.run(notebook())[1][1] == 1.0
    assert len(loops) == 3 and len(set(map(id, loops))) == 1


def test_it_can_be_a_metric_to_report():
    env = make("SameStep", "delta", metrics=[TRLMetric(slow_length)])
    env.reset(seed=0)
    *_, info = env.step([env.vocabulary.eos, 0, env.vocabulary.eos])
    assert info["final_info"]["slow_length"].tolist() == [0.0, 0.0, 0.0]
    assert info["final_info"]["_slow_length"].tolist() == [True, False, True]


def test_going_on_from_a_saved_state_and_pickled_recipes():
    reward = [pickle.loads(pickle.dumps(from_trl(fn, when="delta"))) for fn in (cosine_length, pairs)]
    env = TextGenVectorEnv(Phrases, 2, reward=reward, autoreset_mode="SameStep")
    env.reset(seed=0)
    env.step([1, 2])
    saved = pickle.loads(pickle.dumps(env.get_state()))
    first = [env.step([t, t])[:2] for t in range(40)]
    env.set_state(saved)
    assert_same([env.step([t, t])[:2] for t in range(40)], first)


# -- what goes wrong


def needs_more(completions, solution, tests):
    return [0.0] * len(completions)


def by_position(completions, /):
    return [0.0]


@pytest.mark.parametrize(
    "fn, arguments, words",
    [
        (needs_more, {"columns": ["solution"]}, "'needs_more' needs 'tests'.*columns"),
        (accuracy, {}, "'accuracy' needs 'solution'.*reference"),
        (needs_more, {"columns": ["solution", "tests", "test"]}, "'test'.*Did you mean 'tests'"),
        (by_position, {}, "by position"),
        ("model/name", {}, "function"),
        (RepetitionPenalty, {}, "function"),
        (accuracy, {"columns": "solution"}, "sequence of names"),
        (accuracy, {"columns": ["solution", "completions"]}, "'completions'"),
        (slow_length, {"when": "detla"}, "Did you mean 'delta'"),
        (slow_length, {"when": 3}, "when"),
        (slow_length, {"when": RepetitionPenalty}, "when"),
        (slow_length, {"weight": math.nan}, "weight"),
    ],
)
def test_what_cannot_be_called_is_refused_at_once(fn, arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        from_trl(fn, **arguments)


def returns(value):
    def mine(completions, **kwargs):
        return value

    return mine


def raises(completions, **kwargs):
    raise KeyError("no such thing")


async def raises_later(completions, **kwargs):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    "fn, words",
    [
        (returns([1.0, 2.0]), "'mine' returned 2 values for 1 completions"),
        (returns([]), "0 values for 1"),
        (returns(1.0), r"'mine' returned 1.0 for 1 completions"),
        (returns(None), "returned None for 1"),
        (returns(np.ones((1, 1))), "finite number"),
        (returns("?"), "returned '\\?' for completion 0"),
        (returns(["1.0"]), "'mine' returned '1.0' for completion 0"),
        (returns([[1.0]]), "finite number"),
        (returns([math.nan]), "None where it does not apply"),
        (returns([-math.inf]), "returned -inf"),
        (raises, "'raises' raised KeyError: 'no such thing'"),
        (raises_later, "'raises_later' raised KeyError: 'no such thing'"),
    ],
)
@pytest.mark.parametrize("when", ["terminal", "delta"])
def test_what_a_function_does_wrong_names_it(when, fn, words):
    env = make("single", from_trl(fn, when=when))
    env.reset(seed=0)
    with pytest.raises(RewardError, match=words):
        env.step(env.vocabulary.eos)


@pytest.mark.parametrize("value", [[True], (1,), np.ones(1, np.float32), [np.int64(1)], np.ones(1, bool), {1: "?"}])
def test_numbers_of_many_kinds(value):
    env = make("single", from_trl(returns(value)))
    assert play(env, [0, env.vocabulary.eos])[-1][1] == 1.0


def test_a_missing_column_is_told_with_what_there_is():
    for when in ("terminal", "delta"):
        with pytest.raises(
            ValueError, match="'spy' 'solutoin'.*Did you mean 'solution'.*level, prompt, reference, ref"
        ):
            make("single", from_trl(spy, columns={"solution": "solutoin"}, when=when))
    with pytest.raises(ValueError, match="Did you mean 'reference'"):
        make("single", "delta", metrics=[TRLMetric(spy, columns={"solution": "refrence"})])
    for column in ("reference", "solution"):  # which this episode does not have
        env = make("single", from_trl(spy, columns=[column]))
        env.reset(options={"prompt": "0"})
        with pytest.raises(RewardError, match=f"'spy' '{column}'.*Allowed: prompt, references.*the prompt '0'"):
            env.step(env.vocabulary.eos)


def spy(**kwargs):
    return [0.5] * len(kwargs["completions"])
