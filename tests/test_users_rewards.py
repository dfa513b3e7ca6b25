"""Rewards and metrics of a user's own: what they are told, how often, and what becomes of what they pay."""

import numpy as np
import pytest
from helpers import MODES, Lottery, Phrases, Vowels, assert_same, play

from textgym import (
    BatchMetric,
    BatchProgress,
    Delta,
    EditDistance,
    EveryStep,
    RewardFunction,
    RewardState,
    Schedule,
    Terminal,
    TextGenEnv,
    TextGenVectorEnv,
)

VOCABULARIES = {kind: Phrases(tokenizer=kind).vocabulary for kind in ("character", "byte_bpe")}


def share_of_vowels(text, references):
    return sum(map("aeiou".count, text)) / (1 + len(text))


def make(reward, kind="byte_bpe", **kwargs):
    return TextGenEnv(Phrases, tokenizer=VOCABULARIES[kind], reward=reward, **kwargs)


def test_a_users_schedule_keeps_its_arguments():
    class Late(Schedule):
        """Pays the metric from token ``after`` on."""

        schedule = "late"

        def __init__(self, metric=None, after=1):
            super().__init__(metric)
            self.after = after

        def pay(self, value, before, step):
            return np.where(step.lengths >= self.after, value, 0.0)

    for metric in ("character_match", None):
        env = make(Late(metric, after=3))
        rewards = [r for _, r, *_ in play(env, [0] * 5, options={"prompt": "", "references": ["!!!!!"]})[1:]]
        assert rewards == pytest.approx([0, 0, 0.6, 0.8, 1.0])


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_a_users_reward_state_sees_every_piece_of_every_row(mode):
    env = make(Vowels()) if mode == "single" else TextGenVectorEnv(Phrases, 2, reward=Vowels(), autoreset_mode=mode)
    text = "a cat sits"
    env.reset(seed=0)
    for t, token in enumerate(env.vocabulary.encode(text)):
        _, reward, *_ = env.step(token if mode == "single" else [token, 0])
        so_far = env.vocabulary.decode(env.vocabulary.encode(text)[: t + 1])
        before = env.vocabulary.decode(env.vocabulary.encode(text)[:t])
        count, new = (sum(map("aeiou".count, s)) for s in (so_far, so_far[len(before) :]))
        assert np.atleast_1d(reward)[0] == pytest.approx(new + 0.1 * count)
        if mode != "single":
            assert reward[1] == 0.0


class Counter(RewardFunction):
    """Pays 1, in the given type."""

    name = "counter"
    needs_text = False

    def __init__(self, dtype, couples_rows=False):
        self.dtype, self.couples_rows = dtype, couples_rows

    def start(self, n, rngs, metrics):
        return _Counter(self.dtype)


class _Counter(RewardState):
    def __init__(self, dtype):
        self.dtype = dtype

    def reset(self, rows, episodes):
        pass

    def step(self, step):
        assert step.pieces is None  # nobody asked for text
        self.terms = {"counter": np.ones(len(step.rows), self.dtype)}
        return self.terms["counter"]


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_rewards_and_terms_are_float64_whatever_a_user_pays_in(dtype):
    for mode in MODES:
        env = TextGenVectorEnv(Phrases, 2, reward=Counter(dtype), autoreset_mode=mode)
        env.reset(seed=0)
        for actions in ([1, 1], [1, env.vocabulary.eos]):
            _, rewards, _, _, infos = env.step(actions)
            found = [rewards, *env.last_reward_terms.values()]
            found += [i["reward_terms"]["counter"] for i in (infos, infos.get("final_info", infos))]
            assert [array.dtype for array in found] == [np.float64] * 4


def test_a_sum_couples_rows_and_needs_text_where_one_of_its_parts_does():
    alone, coupled = Counter(float), Counter(float, couples_rows=True)
    assert not (alone + alone).couples_rows and (alone + 2 * coupled).couples_rows
    for other, needs in ((Delta("token_match"), False), (Delta("cer"), True), (Terminal("cer"), False)):
        assert (alone + other).run(1, [None], VOCABULARIES["character"]).needs_text is needs


class Lengths(BatchMetric):
    """As a metric with a model would be: one call a step for all rows. Here: characters of the text / 10."""

    name = "lengths"
    needs_text = True

    def start_rows(self, n, vocabulary):
        return _Lengths(n)


class _Lengths(BatchProgress):
    def __init__(self, n):
        self.size, self.calls = np.zeros(n), 0

    def reset(self, rows, episodes):
        self.size[rows] = 0

    def value(self, step):
        self.calls += 1
        self.size[step.rows] += list(map(len, step.pieces))
        return (self.size[step.rows] + list(map(len, step.provisional))) / 10


@pytest.mark.parametrize("mode", ["single", *MODES])
def test_a_metric_for_all_rows_at_once_is_called_once_a_step(mode):
    metric = Lengths()
    kwargs = {"reward": [Delta(metric), EveryStep(metric)], "metrics": [metric]}
    env = make(**kwargs) if mode == "single" else TextGenVectorEnv(Phrases, 2, autoreset_mode=mode, **kwargs)
    env.reset(seed=0)
    text, results = "我 am", None
    tokens = [*env.vocabulary.encode(text).tolist(), env.vocabulary.eos]
    total = 0
    for token in tokens:
        results = env.step(token if mode == "single" else [token, token])
        info = results[4].get("final_info", results[4])
        total += info["reward_terms"]["delta:lengths"]
    assert np.all(total == pytest.approx(len(text) / 10)) and np.all(info["lengths"] == len(text) / 10)
    followed = env.state.paying.metrics.followed
    assert len(followed) == 1 and followed[0].progress.calls == len(tokens)  # one metric, however many pay it


class Reader(RewardFunction):
    """Keeps what it is told of each row."""

    name = "reader"

    def start(self, n, rngs, metrics):
        return _Reader(n)


class _Reader(RewardState):
    def __init__(self, n):
        self.committed, self.shown, self.episodes = [""] * n, [""] * n, [None] * n

    def reset(self, rows, episodes):
        for row, episode in zip(rows.tolist(), episodes, strict=True):
            self.committed[row], self.shown[row], self.episodes[row] = "", "", episode

    def step(self, step):
        assert step.episodes == [self.episodes[row] for row in step.rows.tolist()]
        for row, piece, provisional, ended in zip(step.rows, step.pieces, step.provisional, step.ended, strict=True):
            self.committed[row] += piece
            self.shown[row] = self.committed[row] + provisional
            assert not (ended and provisional)
        self.terms = {"reader": np.zeros(len(step.rows))}
        return self.terms["reader"]


@pytest.mark.parametrize("mode", ["single", *MODES])
@pytest.mark.parametrize("kind", sorted(VOCABULARIES))
def test_rewards_are_told_the_text_of_every_row_at_every_token(kind, mode):
    kwargs = {"tokenizer": VOCABULARIES[kind], "reward": Reader(), "mask": {"name": "banned", "tokens": [1]}}
    single = mode == "single"
    env = TextGenEnv(Phrases, **kwargs) if single else TextGenVectorEnv(Phrases, 3, autoreset_mode=mode, **kwargs)
    rng, texts, ends = np.random.default_rng(0), [[]] if single else [[], [], []], 0
    env.reset(seed=0)
    some = [*env.vocabulary.encode("我爱a"), 1, env.vocabulary.eos, *range(2, 12)]
    over, reader = np.zeros(len(texts), bool), env.state.paying.state
    for _ in range(150):
        if over.any() and mode in ("single", "Disabled"):
            env.reset(**({} if single else {"options": {"reset_mask": over}}))
        tokens = rng.choice(some, len(texts))
        waiting = over & (mode == "NextStep")
        for row, token in enumerate(tokens.tolist()):
            texts[row] = [] if over[row] and mode != "NextStep" else texts[row]
            texts[row] = [] if waiting[row] else texts[row] + [token] * (token != 1)
        results = env.step(tokens[0] if single else tokens)
        over = np.atleast_1d(results[2])
        final = results[4].get("final_info", results[4]).get("text")
        for row in range(len(texts)):
            text = env.vocabulary.decode(texts[row])
            if over[row]:
                assert (final if single else final[row]) == text
            else:
                assert reader.shown[row] == text
            if over[row] and mode != "SameStep":
                assert reader.committed[row] == text
        ends += over.sum()
    assert ends > 5


def test_one_recipe_shared_by_many_environments_pays_each_as_if_alone():
    shared = Lottery() + Delta(share_of_vowels) + Vowels() + Delta("token_match") + EveryStep(EditDistance("word"))
    seeds, rng = [0, 1, 2], np.random.default_rng(0)
    tokens = {seed: rng.integers(0, 100, 20) for seed in seeds}
    alone = {}
    for seed in seeds:
        env = make(
            Lottery() + Delta(share_of_vowels) + Vowels() + Delta("token_match") + EveryStep(EditDistance("word"))
        )
        alone[seed] = play(env, tokens[seed], seed=seed)[1:]
    envs = {seed: make(shared) for seed in seeds}
    for seed, env in envs.items():
        env.reset(seed=seed)
    for t in range(20):  # interleaved
        for seed, env in envs.items():
            if t < len(alone[seed]):
                assert_same(env.step(int(tokens[seed][t])), alone[seed][t])
