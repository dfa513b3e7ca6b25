"""Rewards and metrics of a user's own that go wrong: a RewardError, no step until a reset, and then all is well."""

import gymnasium as gym
import numpy as np
import pytest
from helpers import MODES, Phrases, assert_same, vector

from textgym import (
    Delta,
    Episode,
    EveryStep,
    Metric,
    Progress,
    ResetNeeded,
    RewardError,
    RewardFunction,
    RewardState,
    Terminal,
    TextGenEnv,
    TextGenVectorEnv,
)
from textgym.metrics import WholeText


class Faulty(RewardFunction):
    """Pays 1 a step, until the k-th step since the reset, where it does something wrong."""

    name = "faulty"

    def __init__(self, fault, at=2):
        self.fault, self.at = fault, at

    def start(self, n, rngs, metrics):
        return _Faulty(self)


class _Faulty(RewardState):
    not_saved = frozenset({"recipe"})

    def __init__(self, recipe):
        self.recipe = recipe
        self.steps = 0

    def reset(self, rows, episodes):
        self.steps = 0

    def step(self, step):
        self.steps += 1
        paid = np.ones(len(step.rows))
        if self.steps == self.recipe.at:
            paid = self.recipe.fault(paid)
        self.terms = {"faulty": paid}
        return paid


def raises(paid):
    raise KeyError("my mistake")


def last_is(value):
    return lambda paid: np.append(paid[:-1], value)


FAULTS = {
    "raises": (raises, "KeyError: 'my mistake'"),
    "pays NaN": (last_is(np.nan), "faulty = nan"),
    "pays inf": (last_is(np.inf), "faulty = inf"),
    "pays -inf": (last_is(-np.inf), "faulty = -inf"),
    "pays too many": (lambda paid: np.append(paid, 1.0), "shape"),
    "pays a column": (lambda paid: paid[:, None], "shape"),
    "pays a number": (lambda paid: 1.0, "shape ()"),
    "pays nothing": (lambda paid: None, ""),
    "pays words": (lambda paid: ["much"] * len(paid), "much"),
}
MASKS = {"unmasked": {}, "masked": {"mask": {"name": "banned", "tokens": [7]}}}


def make(mode, reward, **kwargs):
    name = "textgym/CopyLarge-v0"
    return (
        gym.make(name, reward=reward, **kwargs).unwrapped
        if mode == "single"
        else vector(name, 3, mode, reward=reward, **kwargs)
    )


def tokens(mode, token=0):
    return token if mode == "single" else [token] * 3


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_reward_stops_the_env_until_it_is_reset(fault, mask, mode):
    wrong, words = FAULTS[fault]
    env = make(mode, Faulty(wrong), **MASKS[mask])
    env.reset(seed=0)
    env.step(tokens(mode))
    with pytest.raises(RewardError) as error:
        env.step(tokens(mode))
    assert "'faulty'" in str(error.value) and words in str(error.value)
    for _ in range(2):
        with pytest.raises(ResetNeeded, match="an earlier step failed"):
            env.step(tokens(mode))
    env.reset(seed=0)
    assert np.all(env.step(tokens(mode))[1] == 1.0)


def test_a_faulty_part_of_a_sum_is_named():
    for fault, words in (("pays NaN", "faulty = nan"), ("raises", "my mistake"), ("pays too many", "faulty")):
        for mode in ("single", "SameStep"):
            env = make(mode, Delta() + 0.5 * Faulty(FAULTS[fault][0], at=1) + Terminal("cer"))
            env.reset(seed=0)
            with pytest.raises(RewardError, match=words):
                env.step(tokens(mode))


def test_the_row_and_the_text_of_a_payment_that_is_no_number_are_named():
    env = make("SameStep", Faulty(last_is(np.nan)))
    env.reset(seed=0)
    env.step(tokens("SameStep", 2))
    with pytest.raises(RewardError, match="row 2.*'cb'"):
        env.step(tokens("SameStep", 1))


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_a_reward_that_fails_in_reset_stops_the_env(mode):
    class Moody(Faulty):
        calls = 0

        def start(self, n, rngs, metrics):
            state = super().start(n, rngs, metrics)

            def reset(rows, episodes):
                Moody.calls += 1
                if Moody.calls == 2:
                    raises(None)

            state.reset = reset
            return state

    env = make(mode, Moody(None, at=-1))
    env.reset(seed=0)
    env.step(tokens(mode))
    with pytest.raises(RewardError, match="my mistake.*at the start of an episode"):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step(tokens(mode))
    env.reset()
    env.step(tokens(mode))


def test_a_reward_that_forgets_its_terms_stops_the_env():
    class Forgetful(RewardState):
        def reset(self, rows, episodes):
            pass

        def step(self, step):
            return np.ones(len(step.rows))

    class NoTerms(RewardFunction):
        name = "no_terms"

        def start(self, n, rngs, metrics):
            return Forgetful()

    for mode in ("single", *MODES):
        env = make(mode, NoTerms())
        env.reset(seed=0)
        with pytest.raises(RewardError, match="terms"):
            env.step(tokens(mode))
        with pytest.raises(ResetNeeded):
            env.step(tokens(mode))


def test_resetting_some_rows_is_not_enough():
    env = make("Disabled", Faulty(raises))
    env.reset(seed=0)
    env.step(tokens("Disabled"))
    with pytest.raises(RewardError):
        env.step(tokens("Disabled"))
    env.reset(options={"reset_mask": np.array([True, True, False])})
    with pytest.raises(ResetNeeded, match="reset all rows"):
        env.step(tokens("Disabled"))
    env.reset()
    env.step(tokens("Disabled"))


# -- metrics ------------------------------------------------------------------------------------------


def when_long(result):
    def f(text, references):
        if len(text) < 2:
            return 0.5
        return result() if callable(result) else result

    return f


def divides():
    return 1 / 0


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("result", [float("nan"), float("inf"), None, "good", [1.0, 2.0], divides])
def test_a_faulty_metric_stops_the_env_until_it_is_reset(result, mask, mode):
    for schedule in (Delta, EveryStep):
        env = make(mode, schedule(when_long(result)), **MASKS[mask])
        env.reset(seed=0)
        assert np.all(env.step(tokens(mode))[1] == 0.5)
        with pytest.raises(RewardError):
            env.step(tokens(mode))
        with pytest.raises(ResetNeeded):
            env.step(tokens(mode))
        env.reset(seed=0)
        assert np.all(env.step(tokens(mode))[1] == 0.5)


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_a_metric_to_report_that_raises_stops_the_env_until_it_is_reset(mode):
    def never_short(text, references):
        return 1 / (len(text) - 1)

    env = make(mode, "delta", metrics=["cer", never_short])
    env.reset(seed=0)
    env.step(tokens(mode))
    with pytest.raises(RewardError, match="never_short.*ZeroDivisionError"):
        env.step(tokens(mode, env.vocabulary.eos))
    with pytest.raises(ResetNeeded):
        env.step(tokens(mode))
    env.reset(seed=0)
    for token in (0, 0, env.vocabulary.eos):
        results = env.step(tokens(mode, token))
    assert np.all(results[4].get("final_info", results[4])["never_short"] == 1.0)


def first_reference(text, references):
    return float(text == references[0])


class Prepared(Metric):
    name = "first_reference"

    def start(self, episode):
        return WholeText(self, Episode("", [episode.references[0]]))

    def score(self, text, episode):
        return first_reference(text, episode.references)


@pytest.mark.parametrize("mode", ["single", "SameStep"])
@pytest.mark.parametrize("reward", [Delta(first_reference), Terminal(first_reference), Delta(Prepared())])
def test_a_metric_that_has_no_value_without_references_names_row_episode_and_term(reward, mode):
    n, reward = (1, 3)[mode != "single"], 0.5 * reward + Delta("cer")
    env = TextGenEnv(Phrases, reward=reward) if n == 1 else TextGenVectorEnv(Phrases, n, reward=reward)
    options = {"prompt": ["some", "some", "none"][-n:], "references": [["a"], ["a"], []][-n:]}
    with pytest.raises(RewardError) as found:
        env.reset(options={name: value[0] for name, value in options.items()} if n == 1 else options)
        env.step(env.vocabulary.eos if n == 1 else [env.vocabulary.eos] * 3)
    for part in (
        f"{reward.parts[0][1].name}",
        "'first_reference'",
        f"row {n - 1}",
        "'none' (which has no references)",
        "IndexError",
    ):
        assert part in str(found.value)


class Longest(Metric):
    """A user's metric in ten lines: the longest run of one character."""

    name = "longest_run"

    def start(self, episode):
        return _Run()


class _Run(Progress):
    def __init__(self):
        self.text = ""

    def push(self, piece, provisional=""):
        self.text += piece
        text = self.text + provisional
        return max((len(run) for c in set(text) for run in _runs(text, c)), default=0)


def _runs(text, c):
    return "".join(x if x == c else " " for x in text).split()


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_a_users_metric_is_paid_and_reported_and_copied(mode):
    env = make(mode, Delta(Longest()), metrics=[Longest(), when_long(2)])
    env.reset(seed=0)
    rewards = [np.max(env.step(tokens(mode, token))[1]) for token in (0, 1, 1, 2, 1, 1, 1)]
    assert rewards == [1, 0, 1, 0, 0, 0, 1]
    saved = env.get_state()
    again = []
    for _ in range(2):
        env.set_state(saved)
        results = env.step(tokens(mode, env.vocabulary.eos))
        info = results[4].get("final_info", results[4])
        assert np.all(info["longest_run"] == 3.0) and np.all(info["f"] == 2.0)
        again.append(results)
    assert_same(*again)
