"""What goes wrong in a task, a mask, a metric or a reward is told by name and leaves nothing half-made."""

import numpy as np
import pytest
from helpers import MODES, Phrases, assert_same

from textgym import (
    Delta,
    Episode,
    Metric,
    ResetNeeded,
    RewardError,
    RewardFunction,
    RewardState,
    TextGenEnv,
    TextGenVectorEnv,
)
from textgym.envs.masks import Mask
from textgym.metrics import Progress


def vector_of(reward, n=1, mode="SameStep", **kwargs):
    return TextGenVectorEnv(Phrases, n, reward=reward, autoreset_mode=mode, **kwargs)


class Moody(Mask):
    """A mask that raises when it is told to."""

    broken = False

    def legal_tokens(self, tokens, lengths, episodes):
        if Moody.broken:
            raise KeyError("no mask today")
        return np.ones((len(lengths), 40), bool)


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_a_mask_that_raises_stops_the_env_until_a_reset(mode):
    kwargs = {"mask": Moody(), "tokenizer": "character"}
    env = TextGenEnv(Phrases, **kwargs) if mode == "single" else vector_of("delta", 2, mode, **kwargs)
    Moody.legal_tokens = lambda self, tokens, lengths, episodes: _legal(env, lengths)
    token = 0 if mode == "single" else [0, 0]
    env.reset(seed=0)
    env.step(token)
    Moody.broken = True
    with pytest.raises(KeyError, match="no mask today"):
        env.step(token)
    Moody.broken = False
    with pytest.raises(ResetNeeded, match="no mask today"):
        env.step(token)
    first = env.reset(seed=0)
    again = env.reset(seed=0)
    assert_same(first, again)
    env.step(token)


def _legal(env, lengths):
    if Moody.broken:
        raise KeyError("no mask today")
    return np.ones((len(lengths), env.vocabulary.size), bool)


class Wrong(Phrases):
    """A task whose true score is no score."""

    value = float("nan")

    def score(self, text, episode):
        return Wrong.value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, 1.5])
@pytest.mark.parametrize("mode", ["single", "SameStep"])
def test_a_true_score_outside_of_0_to_1_is_refused(mode, value):
    Wrong.value = 0.5
    env = (
        TextGenEnv(Wrong, reward="delta:cer")
        if mode == "single"
        else TextGenVectorEnv(Wrong, 1, reward="delta:cer", autoreset_mode=mode)
    )
    env.reset(seed=0)
    Wrong.value = value
    eos = env.vocabulary.eos
    with pytest.raises(RewardError, match="score is .*must be in"):
        env.step(eos if mode == "single" else [eos])
    Wrong.value = 0.5
    env.reset(seed=0)
    env.step(eos if mode == "single" else [eos])


def test_a_term_cannot_be_called_illegal_where_the_environment_has_one():
    class Mine(Delta):
        schedule = "illegal"

        def _set_metric(self, metric):
            super()._set_metric(metric)
            self.name = "illegal"

    env = TextGenEnv(Phrases, reward=Mine("cer"), mask={"name": "banned", "tokens": [7]})
    env.reset(seed=0)
    with pytest.raises(RewardError, match="'illegal' is the environment's"):
        env.step(60)


def test_a_metric_that_raises_names_the_row_and_the_prompt():
    class Picky(Metric):
        name = "picky"

        def start(self, episode):
            return _Picky(episode)

    class _Picky(Progress):
        def __init__(self, episode):
            self.episode = episode

        def push(self, piece, provisional=""):
            if self.episode.prompt == "words" and piece:
                raise ArithmeticError("cannot")
            return 0.0

    env = vector_of(Delta(Picky()), 3)
    env.reset(seed=0, options={"prompt": ["two", "words", ""]})
    with pytest.raises(RewardError, match="'picky' raised ArithmeticError: cannot in row 1, prompt 'words'"):
        env.step([60, 60, 60])


@pytest.mark.parametrize(
    "options, words",
    [
        ([1], "are a dict"),
        ({"prompt": "a", "references": None}, "list of texts"),
        ({"prompt": "a", "references": "a"}, "list of texts"),
        ({"prompt": "a", "references": [1]}, "list of texts"),
        ({"prompt": "a", "references": [["a"], "b"]}, "list of texts"),
    ],
)
def test_reset_options_of_the_wrong_type_are_named(options, words):
    for env in (TextGenEnv(Phrases), vector_of("delta", 2)):
        with pytest.raises(TypeError, match=words):
            env.reset(seed=0, options=options)
    with pytest.raises(TypeError, match="references"):
        Episode("a", None)
    assert TextGenEnv(Phrases, metrics=None).state.metrics == ()


def test_masks_that_leave_no_token_are_refused():
    masks = [{"name": "banned", "tokens": list(range(5))}, {"name": "banned", "tokens": list(range(5, 300))}]
    vocabulary = Phrases().vocabulary
    masks[1]["tokens"] = list(range(5, vocabulary.size))
    with pytest.raises(ValueError, match="every token is banned"):
        TextGenEnv(Phrases, mask=masks)


class Unlucky(Phrases):
    """A task that sometimes cannot make an episode."""

    broken = False

    def sample(self, rng):
        if Unlucky.broken:
            raise OSError("the disk is gone")
        return super().sample(rng)


def test_a_task_that_raises_in_a_reset_stops_the_env():
    env = TextGenVectorEnv(Unlucky, 2)
    env.reset(seed=0)
    env.step([60, 60])
    Unlucky.broken = True
    with pytest.raises(OSError, match="disk"):
        env.reset(seed=9)
    Unlucky.broken = False
    with pytest.raises(ResetNeeded, match="the disk is gone"):
        env.step([60, 60])
    env.reset(seed=0)
    env.step([60, 60])


def test_terms_must_be_finite_too():
    class Odd(RewardFunction):
        name = "odd"
        needs_text = False

        def start(self, n, rngs, metrics):
            return _Odd()

    class _Odd(RewardState):
        def reset(self, rows, episodes):
            pass

        def step(self, step):
            self.terms = {"a": np.full(len(step.rows), np.nan), "b": np.zeros(len(step.rows))}
            return np.zeros(len(step.rows))

    for env, action in ((TextGenEnv(Phrases, reward=Odd()), 60), (vector_of(Odd(), 2), [60, 60])):
        env.reset(seed=0)
        with pytest.raises(RewardError, match="a = nan"):
            env.step(action)


def test_a_finished_task_takes_no_arguments():
    with pytest.raises(TypeError, match="already built: give typo"):
        TextGenEnv(Phrases(), typo=None)
    for given in ("a number (what an illegal end pays)", "stop"):
        with pytest.raises(ValueError, match="unknown on_illegal"):
            TextGenEnv(Phrases, on_illegal=given)


def test_near_misses_are_named():
    with pytest.raises(TypeError, match="references come second"):
        Episode(["the cat"])
    with pytest.raises(TypeError, match="group_size: only batched"):
        TextGenEnv(Phrases, group_size=4)
    with pytest.raises(TypeError, match="Did you mean 'weight'"):
        TextGenEnv(Phrases, reward={"name": "delta", "metric": "chrf", "wieght": 0.5})
    for spec, words in (('{"name": "delta"}', "json.loads"), ("{'name': 'delta'}", "no valid JSON")):
        with pytest.raises(ValueError, match=words):
            TextGenEnv(Phrases, reward=spec)
        with pytest.raises(ValueError, match=words):
            TextGenEnv(Phrases, metrics=[spec])
